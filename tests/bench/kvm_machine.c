/* SPDX-License-Identifier: MIT */
#include "bench/kvm_machine.h"
#include "bench/measure.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define GIB (1ull << 30)

/* What the guest has at 0: page tables and code. The region is at 1 GiB. */
#define LOW_BYTES (64ull << 10)
#define LEVEL4 0x1000ull
#define LEVEL3 0x2000ull
#define LEVEL2 0x3000ull /* one for each GiB */
#define CODE 0x8000ull

enum { LOW_SLOT, REGION_SLOT };

static const uint8_t code[] = {
	0x48, 0xff, 0x07, /* next:	incq (%rdi)	*/
	0x48, 0x01, 0xd7, /*	add %rdx, %rdi	*/
	0xff, 0xc9,       /*	dec %ecx	*/
	0x75, 0xf6,       /*	jnz next	*/
	0xf4,             /*	hlt		*/
};

static int checked(int result, const char *what)
{
	if (result < 0)
		measure_die(what);
	return result;
}

__attribute__((noreturn)) static void die_of(const char *what, const struct rs_error *error)
{
	fprintf(stderr, "%s: %s\n", what, error->text);
	exit(1);
}

static void *map_shared(int fd, size_t length)
{
	void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (memory == MAP_FAILED)
		measure_die("mmap");
	return memory;
}

/* ---- memory -------------------------------------------------------------------------------- */

static void add_slot(struct kvm_machine *machine, uint32_t number, uint64_t address, size_t length,
		     void *host)
{
	struct kvm_userspace_memory_region memory = {
		.slot = number,
		.guest_phys_addr = address,
		.memory_size = length,
		.userspace_addr = (uint64_t)(uintptr_t)host,
	};

	checked(ioctl(machine->vm_fd, KVM_SET_USER_MEMORY_REGION, &memory), "memory slot");
}

/* Addresses are what they are, up to 2 GiB, in pages of 2 MiB. */
static void make_low(struct kvm_machine *machine)
{
	const uint64_t writable = 3, large = 0x80;

	machine->low = map_memory(LOW_BYTES);
	uint64_t *level4 = (uint64_t *)(void *)(machine->low + LEVEL4);
	uint64_t *level3 = (uint64_t *)(void *)(machine->low + LEVEL3);
	uint64_t *level2 = (uint64_t *)(void *)(machine->low + LEVEL2);

	level4[0] = LEVEL3 | writable;
	level3[0] = LEVEL2 | writable;
	level3[1] = (LEVEL2 + KVM_MACHINE_PAGE) | writable;
	for (uint64_t i = 0; i < 2 * GIB / MEASURE_HUGE_BYTES; i++)
		level2[i] = i * MEASURE_HUGE_BYTES | large | writable;
	memcpy(machine->low + CODE, code, sizeof(code));
	add_slot(machine, LOW_SLOT, 0, LOW_BYTES, machine->low);
}

static void make_region(struct kvm_machine *machine)
{
	machine->memory_fd = checked(memfd_create("bench", MFD_CLOEXEC), "memfd");
	checked(ftruncate(machine->memory_fd, (off_t)machine->bytes), "memfd");
	machine->memory = map_shared(machine->memory_fd, machine->bytes);
	memset(machine->memory, 1, machine->bytes);
	const struct rs_region_config config = {
		.host = machine->memory,
		.fd = machine->memory_fd,
		.used_bytes = machine->bytes,
		.flags = RS_REGION_HAS_FD | RS_REGION_SHARED,
	};

	checked(tracked_region_init(&machine->tracked, (uint32_t)KVM_MACHINE_PAGE, config),
		"region");
}

static void watch_region(struct kvm_machine *machine)
{
	struct rs_region *region = machine->tracked.region;
	const struct rs_kvm_slot slot = {
		.size = sizeof(slot),
		.slot = REGION_SLOT,
		.guest_address = GIB,
		.bytes = machine->bytes,
	};
	struct rs_error error = { 0 };

	if (machine->kvm == NULL) {
		add_slot(machine, REGION_SLOT, GIB, machine->bytes, machine->memory);
		checked(rs_region_add_dirty_log(region, &rs_dirty_log_userfaultfd, NULL),
			"dirty log");
	} else if (rs_kvm_add_region(machine->kvm, region, &error) != 0 ||
		   rs_kvm_add_slot(machine->kvm, region, &slot, &error) != 0) {
		die_of("dirty log", &error);
	}
}

/* ---- the vCPU ------------------------------------------------------------------------------ */

static void enter_long_mode(int vcpu_fd)
{
	const struct kvm_segment data = {
		.limit = ~0u, .selector = 16, .present = 1, .type = 3, .s = 1, .db = 1, .g = 1
	};
	struct kvm_segment text = data;
	struct kvm_sregs sregs;

	text.selector = 8;
	text.type = 11;
	text.db = 0;
	text.l = 1;
	checked(ioctl(vcpu_fd, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	sregs.cs = text;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.cr0 = 0x80000011; /* paged, protected */
	sregs.cr3 = LEVEL4;
	sregs.cr4 = 0x20;   /* physical address extension */
	sregs.efer = 0x500; /* long mode */
	checked(ioctl(vcpu_fd, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
}

static void make_vcpu(struct kvm_machine *machine)
{
	struct rs_error error = { 0 };

	machine->vcpu_fd = checked(ioctl(machine->vm_fd, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	machine->run_bytes = (size_t)checked(ioctl(machine->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0),
					     "KVM_GET_VCPU_MMAP_SIZE");
	machine->run = map_shared(machine->vcpu_fd, machine->run_bytes);
	enter_long_mode(machine->vcpu_fd);
	if (machine->kvm != NULL && rs_kvm_add_vcpu(machine->kvm, machine->vcpu_fd, &error) != 0)
		die_of("vCPU", &error);
}

/* Whether the vCPU can go on. */
static bool take_exit(struct kvm_machine *machine)
{
#ifdef KVM_EXIT_DIRTY_RING_FULL
	if (machine->run->exit_reason == KVM_EXIT_DIRTY_RING_FULL)
		return rs_kvm_ring_full(machine->kvm) == 0;
#endif
	return false;
}

static void run_until_halt(struct kvm_machine *machine)
{
	for (;;) {
		checked(ioctl(machine->vcpu_fd, KVM_RUN, 0), "KVM_RUN");
		if (machine->run->exit_reason == KVM_EXIT_HLT)
			return;
		if (take_exit(machine))
			continue;
		fprintf(stderr, "the guest ended with exit reason %u\n", machine->run->exit_reason);
		exit(1);
	}
}

double kvm_machine_write(struct kvm_machine *machine, size_t count)
{
	if (count == 0)
		return 0;
	const struct kvm_regs regs = {
		.rip = CODE,
		.rflags = 2,
		.rdi = GIB,
		.rdx = machine->bytes / KVM_MACHINE_PAGE / count * KVM_MACHINE_PAGE,
		.rcx = count,
	};

	checked(ioctl(machine->vcpu_fd, KVM_SET_REGS, &regs), "KVM_SET_REGS");
	uint64_t start = rs_clock_ns();

	run_until_halt(machine);
	return seconds_since(start) * 1e9 / (double)count;
}

/* ---- life ---------------------------------------------------------------------------------- */

static int choose_log(struct kvm_machine *machine, enum kvm_machine_log log, struct rs_error *error)
{
	if (log == KVM_MACHINE_USERFAULTFD)
		return rs_dirty_log_userfaultfd_probe(error);
	const struct rs_kvm_config config = {
		.size = sizeof(config),
		.vm_fd = machine->vm_fd,
		.log = (enum rs_kvm_log)log,
	};

	return rs_kvm_create(&config, &machine->kvm, error);
}

int kvm_machine_create(struct kvm_machine *machine, enum kvm_machine_log log, size_t bytes,
		       struct rs_error *error)
{
	*machine = (struct kvm_machine){ .bytes = bytes };
	machine->kvm_fd = checked(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	machine->vm_fd = checked(ioctl(machine->kvm_fd, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	if (choose_log(machine, log, error) != 0) {
		close(machine->vm_fd);
		close(machine->kvm_fd);
		return -1;
	}
	make_low(machine);
	make_region(machine);
	watch_region(machine);
	make_vcpu(machine);
	return 0;
}

void kvm_machine_destroy(struct kvm_machine *machine)
{
	munmap(machine->run, machine->run_bytes);
	close(machine->vcpu_fd);
	tracked_region_fini(&machine->tracked);
	rs_kvm_destroy(machine->kvm);
	close(machine->vm_fd);
	close(machine->kvm_fd);
	munmap(machine->low, LOW_BYTES);
	munmap(machine->memory, machine->bytes);
	close(machine->memory_fd);
}
