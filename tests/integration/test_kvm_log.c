/* SPDX-License-Identifier: MIT */
/* KVM's dirty logs, and userfaultfd's, under a real guest: what it writes is reported, and nothing
 * else. The guest is a few bytes of real-mode code, which writes to a list of pages and halts. */
#include "support/plain_region.h"
#include "support/test_random.h"
#include "support/tracked_region.h"

#include <ramsync/kvm.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#define PAGE 4096ull
#define LOW_PAGES 16u   /* of the code and the list: slot 0 */
#define GAP_PAGES 3u    /* of the region, in no slot */
#define HIGH_PAGES 128u /* what the guest writes: slot 1, not on a border of 64 pages */
#define REGION_PAGES (LOW_PAGES + GAP_PAGES + HIGH_PAGES)
#define CODE_AT 0x1000u
#define LIST_AT 0x2000u
#define ROUNDS 100

struct machine {
	int kvm_fd, vm_fd, vcpu_fd;
	struct kvm_run *run;
	size_t run_bytes;
	uint8_t *memory;
	struct tracked_region tracked;
	struct rs_kvm *kvm;
};

static struct machine machine;

/* ---- the guest ----------------------------------------------------------------------------- */

static const uint8_t code[] = {
	0xbe, 0x00, 0x20,             /*	mov si, LIST_AT		*/
	0xad,                         /* next:	lodsw			*/
	0x85, 0xc0,                   /*	test ax, ax		*/
	0x74, 0x09,                   /*	jz done			*/
	0x8e, 0xc0,                   /*	mov es, ax		*/
	0x26, 0xff, 0x06, 0x00, 0x00, /*	inc word [es:0]		*/
	0xeb, 0xf2,                   /*	jmp next		*/
	0xf4,                         /* done:	hlt			*/
};

static void must(int result)
{
	if (result < 0)
		fail_msg("%s", strerror(errno));
}

static void run_guest(void)
{
	struct kvm_regs regs = { .rip = CODE_AT, .rflags = 2 };
	struct kvm_sregs sregs;

	must(ioctl(machine.vcpu_fd, KVM_GET_SREGS, &sregs));
	sregs.cs.base = sregs.cs.selector = 0;
	sregs.ds.base = sregs.ds.selector = 0;
	must(ioctl(machine.vcpu_fd, KVM_SET_SREGS, &sregs));
	must(ioctl(machine.vcpu_fd, KVM_SET_REGS, &regs));
	for (;;) {
		must(ioctl(machine.vcpu_fd, KVM_RUN, 0));
		if (machine.run->exit_reason == KVM_EXIT_HLT)
			return;
#ifdef KVM_EXIT_DIRTY_RING_FULL
		if (machine.run->exit_reason == KVM_EXIT_DIRTY_RING_FULL) {
			assert_int_equal(rs_kvm_ring_full(machine.kvm), 0);
			continue;
		}
#endif
		fail_msg("the guest ended with exit reason %u", machine.run->exit_reason);
	}
}

/* Have the guest write these pages of the high slot. */
static void write_pages(const uint16_t *pages, size_t count)
{
	uint16_t *list = (uint16_t *)(void *)(machine.memory + LIST_AT);

	for (size_t i = 0; i < count; i++)
		list[i] = (uint16_t)((LOW_PAGES + pages[i]) * PAGE / 16);
	list[count] = 0;
	run_guest();
}

/* ---- the machine --------------------------------------------------------------------------- */

static void add_slot(uint32_t slot, uint64_t guest_page, uint64_t region_page, uint64_t pages)
{
	const struct rs_kvm_slot config = {
		.size = sizeof(config),
		.slot = slot,
		.guest_address = guest_page * PAGE,
		.region_offset = region_page * PAGE,
		.bytes = pages * PAGE,
	};
	struct rs_error error = { 0 };

	if (rs_kvm_add_slot(machine.kvm, machine.tracked.region, &config, &error) != 0)
		fail_msg("%s", error.text);
}

/* As a VMM does that has another log. */
static void add_slot_unlogged(uint32_t slot, uint64_t guest_page, uint64_t region_page,
			      uint64_t pages)
{
	struct kvm_userspace_memory_region memory = {
		.slot = slot,
		.guest_phys_addr = guest_page * PAGE,
		.memory_size = pages * PAGE,
		.userspace_addr = (uint64_t)(uintptr_t)machine.memory + region_page * PAGE,
	};

	must(ioctl(machine.vm_fd, KVM_SET_USER_MEMORY_REGION, &memory));
}

static void make_region(void)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);

	must(fd);
	must(ftruncate(fd, REGION_PAGES * (off_t)PAGE));
	machine.memory = mmap(NULL, REGION_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(machine.memory, MAP_FAILED);
	const struct rs_region_config config = {
		.host = machine.memory,
		.fd = fd,
		.used_bytes = REGION_PAGES * PAGE,
		.flags = RS_REGION_HAS_FD | RS_REGION_SHARED,
	};

	/* All of it is there, so that no log has to tell holes from pages. */
	memset(machine.memory, 0, REGION_PAGES * PAGE);
	memcpy(machine.memory + CODE_AT, code, sizeof(code));
	assert_int_equal(tracked_region_init(&machine.tracked, (uint32_t)PAGE, config), 0);
}

static void make_vcpu(void)
{
	struct rs_error error = { 0 };

	machine.vcpu_fd = ioctl(machine.vm_fd, KVM_CREATE_VCPU, 0);
	must(machine.vcpu_fd);
	machine.run_bytes = (size_t)ioctl(machine.kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	machine.run =
	    mmap(NULL, machine.run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, machine.vcpu_fd, 0);
	assert_ptr_not_equal(machine.run, MAP_FAILED);
	if (rs_kvm_add_vcpu(machine.kvm, machine.vcpu_fd, &error) != 0)
		fail_msg("%s", error.text);
}

static void open_machine(enum rs_kvm_log log)
{
	struct rs_error error = { 0 };

	machine.kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (machine.kvm_fd < 0) {
		print_message("SKIP: /dev/kvm cannot be opened: %s\n", strerror(errno));
		skip();
	}
	machine.vm_fd = ioctl(machine.kvm_fd, KVM_CREATE_VM, 0);
	must(machine.vm_fd);
	const struct rs_kvm_config config = { .size = sizeof(config),
					      .vm_fd = machine.vm_fd,
					      .log = log };

	if (rs_kvm_create(&config, &machine.kvm, &error) != 0) {
		print_message("SKIP: %s\n", error.text);
		close(machine.vm_fd);
		close(machine.kvm_fd);
		skip();
	}
	make_region();
	make_vcpu();
}

static void close_machine(void)
{
	int fd = rs_region_fd(machine.tracked.region);

	munmap(machine.run, machine.run_bytes);
	close(machine.vcpu_fd);
	tracked_region_fini(&machine.tracked);
	rs_kvm_destroy(machine.kvm);
	close(machine.vm_fd);
	close(machine.kvm_fd);
	munmap(machine.memory, REGION_PAGES * PAGE);
	close(fd);
}

/* ---- tests --------------------------------------------------------------------------------- */

static void clear_all(void)
{
	struct tracked_region *tracked = &machine.tracked;

	tracked->state.dirty_pages -=
	    rs_bitmap_clear_range(&tracked->region->dirty, 0, REGION_PAGES);
	assert_int_equal(rs_dirty_logs_clear(tracked->region, 0, REGION_PAGES), 0);
}

static void sync_log(void)
{
	if (tracked_region_sync(&machine.tracked) != 0)
		fail_msg("%s", machine.tracked.error.text);
}

/* Just the pages that the guest wrote, in every round anew. */
static void check_rounds(struct test_random *random)
{
	uint16_t pages[HIGH_PAGES];

	for (int round = 0; round < ROUNDS; round++) {
		bool written[HIGH_PAGES] = { false };
		size_t count = test_random_below(random, 20);

		for (size_t i = 0; i < count; i++) {
			pages[i] = (uint16_t)test_random_below(random, HIGH_PAGES);
			written[pages[i]] = true;
		}
		write_pages(pages, count);
		sync_log();
		for (uint64_t i = 0; i < HIGH_PAGES; i++)
			if (rs_bitmap_test(&machine.tracked.region->dirty,
					   LOW_PAGES + GAP_PAGES + i) != written[i])
				fail_msg("round %d, page %llu: %s", round, (unsigned long long)i,
					 written[i] ? "lost" : "was not written");
		clear_all();
	}
}

static void follow_the_guest(void)
{
	struct test_random random = { .state = 4 };

	if (tracked_region_start(&machine.tracked) != 0)
		fail_msg("%s", machine.tracked.error.text);
	/* What a log calls dirty at first. */
	sync_log();
	clear_all();
	check_rounds(&random);
	tracked_region_stop(&machine.tracked);
	close_machine();
}

static void the_bitmap(void **state)
{
	(void)state;
	open_machine(RS_KVM_LOG_BITMAP);
	assert_int_equal(rs_kvm_add_region(machine.kvm, machine.tracked.region, NULL), 0);
	add_slot(0, 0, 0, LOW_PAGES);
	add_slot(1, LOW_PAGES, LOW_PAGES + GAP_PAGES, HIGH_PAGES);
	follow_the_guest();
}

/* A slot that comes during the migration, and one that goes. */
static void slots_that_come_and_go(void **state)
{
	static const uint16_t pages[] = { 5, 77 };

	(void)state;
	open_machine(RS_KVM_LOG_BITMAP);
	assert_int_equal(rs_kvm_add_region(machine.kvm, machine.tracked.region, NULL), 0);
	add_slot(0, 0, 0, LOW_PAGES);
	assert_int_equal(tracked_region_start(&machine.tracked), 0);
	add_slot(1, LOW_PAGES, LOW_PAGES + GAP_PAGES, HIGH_PAGES);
	sync_log();
	clear_all();
	sync_log();
	clear_all();
	write_pages(pages, 2);
	sync_log();
	assert_true(rs_bitmap_test(&machine.tracked.region->dirty, LOW_PAGES + GAP_PAGES + 5));
	assert_true(rs_bitmap_test(&machine.tracked.region->dirty, LOW_PAGES + GAP_PAGES + 77));
	assert_false(rs_bitmap_test(&machine.tracked.region->dirty, LOW_PAGES + GAP_PAGES + 6));
	assert_int_equal(rs_kvm_remove_slot(machine.kvm, 1, NULL), 0);
	sync_log();
	assert_int_equal(rs_bitmap_find_clear(&machine.tracked.region->dirty, LOW_PAGES + GAP_PAGES,
					      REGION_PAGES),
			 REGION_PAGES);
	tracked_region_stop(&machine.tracked);
	close_machine();
}

static void the_ring(void **state)
{
	(void)state;
	/* It hands a full ring's worth of writes over at once, and drops what does not fit. */
	if (access("/sys/module/kvm_pvm", F_OK) == 0) {
		print_message("SKIP: kvm_pvm loses entries of the dirty ring\n");
		skip();
	}
	open_machine(RS_KVM_LOG_RING);
	assert_int_equal(rs_kvm_add_region(machine.kvm, machine.tracked.region, NULL), 0);
	add_slot(0, 0, 0, LOW_PAGES);
	add_slot(1, LOW_PAGES, LOW_PAGES + GAP_PAGES, HIGH_PAGES);
	follow_the_guest();
}

/* The guest writes through KVM's mapping, which is ours. */
static void userfaultfd(void **state)
{
	struct rs_error error = { 0 };

	(void)state;
	if (rs_dirty_log_userfaultfd_probe(&error) != 0) {
		print_message("SKIP: %s\n", error.text);
		skip();
	}
	open_machine(RS_KVM_LOG_BITMAP);
	add_slot_unlogged(0, 0, 0, LOW_PAGES);
	add_slot_unlogged(1, LOW_PAGES, LOW_PAGES + GAP_PAGES, HIGH_PAGES);
	assert_int_equal(
	    rs_region_add_dirty_log(machine.tracked.region, &rs_dirty_log_userfaultfd, NULL), 0);
	follow_the_guest();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_bitmap),
		cmocka_unit_test(slots_that_come_and_go),
		cmocka_unit_test(the_ring),
		cmocka_unit_test(userfaultfd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
