/* SPDX-License-Identifier: MIT */
/* KVM's dirty logs on a KVM that the test plays: which log, slots that come and go, what is written
 * and what is reported. The real one is in integration/test_kvm_log.c. */
#include "support/fake_kvm.h"
#include "support/plain_region.h"
#include "support/test_random.h"
#include "support/tracked_region.h"
#include "track/kvm_vm.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#define PAGE 4096ull
#define PAGES 1000u
#define MANUAL (KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET)
#define RING_BYTES ((int)(FAKE_KVM_RING_ENTRIES * sizeof(struct kvm_dirty_gfn)))

static struct tracked_region tracked;
static struct rs_kvm *kvm;
static struct rs_error error;
static uint8_t *memory;

static int setup(void **state)
{
	(void)state;
	fake_kvm_reset();
	memset(&error, 0, sizeof(error));
	memory = plain_memory_map(PAGES * PAGE);
	const struct rs_region_config config = { .host = memory, .used_bytes = PAGES * PAGE };

	assert_int_equal(tracked_region_init(&tracked, (uint32_t)PAGE, config), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tracked_region_fini(&tracked);
	rs_kvm_destroy(kvm);
	kvm = NULL;
	plain_memory_unmap(memory, PAGES * PAGE);
	assert_int_equal(fake_kvm.maps, 0);
	return 0;
}

static int create(enum rs_kvm_log log, uint32_t ring_entries)
{
	const struct rs_kvm_config config = { .size = sizeof(config),
					      .log = log,
					      .ring_entries = ring_entries };

	memset(&error, 0, sizeof(error));
	return rs_kvm_create_on(&fake_kvm_calls, &config, &kvm, &error);
}

static void open_bitmap(int manual)
{
	fake_kvm.manual = manual;
	assert_int_equal(create(RS_KVM_LOG_AUTO, 0), 0);
	assert_int_equal(rs_kvm_add_region(kvm, tracked.region, NULL), 0);
}

static void open_ring(void)
{
	fake_kvm.ring_bytes = RING_BYTES;
	assert_int_equal(create(RS_KVM_LOG_RING, 0), 0);
	assert_int_equal(rs_kvm_add_region(kvm, tracked.region, NULL), 0);
	for (int vcpu = 0; vcpu < (int)FAKE_KVM_RINGS; vcpu++)
		assert_int_equal(rs_kvm_add_vcpu(kvm, vcpu, &error), 0);
}

static int add_slot(uint32_t slot, uint64_t page, uint64_t pages)
{
	const struct rs_kvm_slot config = {
		.size = sizeof(config),
		.slot = slot,
		.guest_address = 0x100000 + page * PAGE,
		.region_offset = page * PAGE,
		.bytes = pages * PAGE,
	};

	memset(&error, 0, sizeof(error));
	return rs_kvm_add_slot(kvm, tracked.region, &config, &error);
}

static bool is_dirty(uint64_t page)
{
	return rs_bitmap_test(&tracked.region->dirty, page);
}

static void check_dirty(const uint64_t *pages, size_t count)
{
	assert_int_equal(tracked_region_sync(&tracked), 0);
	assert_int_equal(rs_bitmap_count(&tracked.region->dirty), count);
	for (size_t i = 0; i < count; i++)
		assert_true(is_dirty(pages[i]));
}

/* As the cursor does before pages are read. */
static void clear(uint64_t first, uint64_t count)
{
	tracked.state.dirty_pages -= rs_bitmap_clear_range(&tracked.region->dirty, first, count);
	assert_int_equal(rs_dirty_logs_clear(tracked.region, first, count), 0);
}

/* Everything is clean, also what KVM took for dirty at first. */
static void start(void)
{
	assert_int_equal(tracked_region_start(&tracked), 0);
	assert_int_equal(tracked_region_sync(&tracked), 0);
	clear(0, PAGES);
	assert_int_equal(tracked_region_sync(&tracked), 0);
	assert_int_equal(rs_bitmap_count(&tracked.region->dirty), 0);
}

/* ---- which log ----------------------------------------------------------------------------- */

static void the_bitmap_is_preferred(void **state)
{
	(void)state;
	fake_kvm.ring_bytes = RING_BYTES;
	fake_kvm.manual = MANUAL;
	assert_int_equal(create(RS_KVM_LOG_AUTO, 0), 0);
	assert_int_equal(rs_kvm_chosen_log(kvm), RS_KVM_LOG_BITMAP);
	assert_int_equal(fake_kvm.manual_enabled, MANUAL);
	assert_int_equal(fake_kvm.ring_enabled, 0);
}

/* Just what is offered is asked for. */
static void older_kernels(void **state)
{
	(void)state;
	fake_kvm.manual = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;
	assert_int_equal(create(RS_KVM_LOG_BITMAP, 0), 0);
	assert_int_equal(fake_kvm.manual_enabled, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	assert_non_null(rs_kvm_dirty_log(kvm)->clear);
	rs_kvm_destroy(kvm);
	fake_kvm_reset();
	assert_int_equal(create(RS_KVM_LOG_BITMAP, 0), 0);
	assert_int_equal(fake_kvm.manual_enabled, 0);
	assert_null(rs_kvm_dirty_log(kvm)->clear);
}

static void what_a_kernel_lacks(void **state)
{
	(void)state;
	assert_int_equal(create(RS_KVM_LOG_RING, 0), -EOPNOTSUPP);
	assert_string_equal(error.text, "this KVM has no KVM_CAP_DIRTY_LOG_RING");
	fake_kvm.ring_bytes = RING_BYTES;
	fake_kvm.enable_code = -EINVAL;
	assert_int_equal(create(RS_KVM_LOG_RING, 0), -EINVAL);
	assert_non_null(strstr(error.text, "before there are vCPUs"));
	fake_kvm.manual = MANUAL;
	fake_kvm.enable_code = -EPERM;
	assert_int_equal(create(RS_KVM_LOG_BITMAP, 0), -EPERM);
	assert_non_null(strstr(error.text, "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2"));
	assert_null(kvm);
}

static void sizes_of_rings(void **state)
{
	(void)state;
	fake_kvm.ring_bytes = RING_BYTES;
	assert_int_equal(create(RS_KVM_LOG_RING, 48), -EINVAL);
	assert_int_equal(create(RS_KVM_LOG_RING, 2 * FAKE_KVM_RING_ENTRIES), -EINVAL);
	assert_non_null(strstr(error.text, "a power of two up to 64 is possible"));
	assert_int_equal(create(RS_KVM_LOG_RING, 16), 0);
	assert_int_equal(fake_kvm.ring_enabled, 16 * sizeof(struct kvm_dirty_gfn));
	assert_int_equal(fake_kvm.enabled_capability, KVM_CAP_DIRTY_LOG_RING);
	rs_kvm_destroy(kvm);
	/* The newer name comes first. */
	fake_kvm.ring_acq_rel_bytes = RING_BYTES;
	assert_int_equal(create(RS_KVM_LOG_RING, 0), 0);
	assert_int_equal(fake_kvm.enabled_capability, KVM_CAP_DIRTY_LOG_RING_ACQ_REL);
	assert_int_equal(fake_kvm.ring_enabled, RING_BYTES);
}

static void bad_configurations(void **state)
{
	struct rs_kvm_config config = { .size = sizeof(config), .log = (enum rs_kvm_log)7 };

	(void)state;
	assert_int_equal(rs_kvm_create_on(&fake_kvm_calls, &config, &kvm, NULL), -EINVAL);
	config.log = RS_KVM_LOG_AUTO;
	config.size = 2;
	assert_int_equal(rs_kvm_create_on(&fake_kvm_calls, &config, &kvm, NULL), -EINVAL);
}

/* ---- slots --------------------------------------------------------------------------------- */

static void a_slot_as_kvm_gets_it(void **state)
{
	const struct kvm_userspace_memory_region *slot = &fake_kvm.slots[3].memory;

	(void)state;
	open_bitmap(MANUAL);
	assert_int_equal(add_slot(3, 17, 100), 0);
	assert_int_equal(slot->memory_size, 100 * PAGE);
	assert_int_equal(slot->guest_phys_addr, 0x100000 + 17 * PAGE);
	assert_int_equal(slot->userspace_addr, (uintptr_t)memory + 17 * PAGE);
	assert_int_equal(slot->flags, 0);
	assert_int_equal(tracked_region_start(&tracked), 0);
	assert_int_equal(slot->flags, KVM_MEM_LOG_DIRTY_PAGES);
	tracked_region_stop(&tracked);
	assert_int_equal(slot->flags, 0);
	assert_int_equal(rs_kvm_remove_slot(kvm, 3, &error), 0);
	assert_int_equal(slot->memory_size, 0);
	assert_int_equal(rs_kvm_remove_slot(kvm, 3, &error), -ENOENT);
	assert_string_equal(error.text, "there is no slot 3");
}

static void bad_slots(void **state)
{
	struct rs_kvm_slot slot = { .size = sizeof(slot), .slot = 1, .bytes = PAGE };

	(void)state;
	open_bitmap(MANUAL);
	assert_int_equal(add_slot(0, 0, 0), -EINVAL);
	assert_int_equal(add_slot(0, PAGES, 1), -EINVAL);
	assert_int_equal(add_slot(0, 1, PAGES), -EINVAL);
	assert_non_null(strstr(error.text, "are not whole pages inside it"));
	slot.guest_address = 1;
	assert_int_equal(rs_kvm_add_slot(kvm, tracked.region, &slot, NULL), -EINVAL);
	slot.guest_address = 0;
	slot.region_offset = 512;
	assert_int_equal(rs_kvm_add_slot(kvm, tracked.region, &slot, NULL), -EINVAL);
	slot.region_offset = 0;
	slot.flags = KVM_MEM_LOG_DIRTY_PAGES;
	assert_int_equal(rs_kvm_add_slot(kvm, tracked.region, &slot, NULL), -EINVAL);
	assert_int_equal(add_slot(1, 0, 1), 0);
	assert_int_equal(add_slot(1, 1, 1), -EEXIST);
	fake_kvm.set_memory_code = -EEXIST;
	assert_int_equal(add_slot(2, 1, 1), -EEXIST);
	assert_non_null(strstr(error.text, "KVM does not take slot 2: "));
	fake_kvm.set_memory_code = -EBUSY;
	assert_int_equal(rs_kvm_remove_slot(kvm, 1, &error), -EBUSY);
	/* It is still there. */
	assert_int_equal(rs_kvm_remove_slot(kvm, 1, NULL), 0);
}

static void a_region_that_is_not_ours(void **state)
{
	(void)state;
	fake_kvm.manual = MANUAL;
	assert_int_equal(create(RS_KVM_LOG_AUTO, 0), 0);
	assert_int_equal(add_slot(0, 0, 1), -EINVAL);
	assert_string_equal(error.text,
			    "slot 0: region memory was not added with rs_kvm_add_region()");
}

static void a_region_once(void **state)
{
	(void)state;
	open_bitmap(MANUAL);
	assert_int_equal(rs_kvm_add_region(kvm, tracked.region, &error), -EEXIST);
	assert_string_equal(error.text, "region memory was added already");
	assert_int_equal(add_slot(0, 0, 1), 0);
}

static void no_region_during_a_migration(void **state)
{
	(void)state;
	fake_kvm.manual = MANUAL;
	assert_int_equal(create(RS_KVM_LOG_AUTO, 0), 0);
	tracked.state.save = (struct rs_save *)&tracked;
	assert_int_equal(rs_kvm_add_region(kvm, tracked.region, &error), -EBUSY);
	assert_non_null(strstr(error.text, "region memory: no dirty log can be added now"));
	tracked.state.save = NULL;
	assert_int_equal(rs_kvm_add_region(kvm, tracked.region, &error), 0);
}

/* Slots, and nothing that is logged. */
static void without_a_log(void **state)
{
	const struct kvm_userspace_memory_region *slot = &fake_kvm.slots[1].memory;

	(void)state;
	fake_kvm.manual = MANUAL;
	assert_int_equal(create(RS_KVM_LOG_NONE, 0), 0);
	assert_int_equal(rs_kvm_chosen_log(kvm), RS_KVM_LOG_NONE);
	assert_int_equal(fake_kvm.manual_enabled, 0);
	assert_int_equal(rs_kvm_add_region(kvm, tracked.region, NULL), 0);
	assert_int_equal(rs_kvm_add_vcpu(kvm, 0, &error), 0);
	assert_int_equal(add_slot(1, 0, 64), 0);
	assert_int_equal(tracked_region_start(&tracked), 0);
	assert_int_equal(slot->memory_size, 64 * PAGE);
	assert_int_equal(slot->flags, 0);
	assert_int_equal(tracked_region_sync(&tracked), 0);
	assert_int_equal(rs_bitmap_count(&tracked.region->dirty), 0);
	tracked_region_stop(&tracked);
}

static void a_region_that_goes(void **state)
{
	(void)state;
	open_bitmap(MANUAL);
	assert_int_equal(add_slot(1, 0, 64), 0);
	assert_int_equal(add_slot(2, 64, 64), 0);
	assert_int_equal(tracked_region_start(&tracked), 0);
	assert_int_equal(rs_region_remove(tracked.region), 0);
	assert_int_equal(fake_kvm.slots[1].memory.memory_size, 0);
	assert_int_equal(fake_kvm.slots[2].memory.memory_size, 0);
	tracked.region = NULL;
	rs_session_close(&tracked.state);
	assert_int_equal(rs_kvm_remove_slot(kvm, 1, NULL), -ENOENT);
}

/* What KVM knows of the region goes, and then nobody could say what is written to it. */
static void a_vm_that_goes_first(void **state)
{
	(void)state;
	open_ring();
	assert_int_equal(add_slot(1, 0, 64), 0);
	start();
	rs_kvm_destroy(kvm);
	kvm = NULL;
	assert_int_equal(fake_kvm.slots[1].memory.memory_size, 0);
	assert_int_equal(fake_kvm.maps, 0);
	assert_int_equal(tracked_region_sync(&tracked), -ENODEV);
	assert_non_null(strstr(tracked.error.text, "rs_kvm_destroy()"));
	tracked_region_stop(&tracked);
	assert_int_equal(tracked_region_start(&tracked), -ENODEV);
	tracked_region_stop(&tracked);
}

/* A slot that cannot be logged: the others are as before, and the next attempt works. */
static void a_log_that_does_not_start(void **state)
{
	(void)state;
	open_bitmap(MANUAL);
	assert_int_equal(add_slot(0, 0, 64), 0);
	assert_int_equal(add_slot(1, 64, 64), 0);
	fake_kvm.set_memory_code = -ENOMEM;
	assert_int_equal(tracked_region_start(&tracked), -ENOMEM);
	assert_non_null(strstr(tracked.error.text, "KVM does not take slot 0 with its log"));
	tracked_region_stop(&tracked);
	assert_int_equal(fake_kvm.slots[0].memory.flags | fake_kvm.slots[1].memory.flags, 0);
	start();
	tracked_region_stop(&tracked);
}

/* ---- the bitmap ---------------------------------------------------------------------------- */

/* Where slots lie in their region has nothing to do with where their words begin. */
static void written_pages(void **state)
{
	static const int kernels[] = { 0, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE, MANUAL };

	(void)state;
	for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++) {
		if (i > 0) {
			teardown(NULL);
			setup(NULL);
		}
		open_bitmap(kernels[i]);
		assert_int_equal(add_slot(5, 3, 70), 0);
		assert_int_equal(add_slot(2, 200, 129), 0);
		start();
		fake_kvm_write(5, 0);
		fake_kvm_write(5, 69);
		fake_kvm_write(2, 64);
		fake_kvm_write(2, 128);
		check_dirty((const uint64_t[]){ 3, 72, 264, 328 }, 4);
		/* Sent, and written again. */
		clear(0, PAGES);
		fake_kvm_write(5, 69);
		check_dirty((const uint64_t[]){ 72 }, 1);
		tracked_region_stop(&tracked);
	}
}

/* What is written between a sync and the clear of its chunk is found by the next sync. */
static void written_between_sync_and_clear(void **state)
{
	(void)state;
	open_bitmap(MANUAL);
	assert_int_equal(add_slot(0, 0, 128), 0);
	start();
	fake_kvm_write(0, 7);
	assert_int_equal(tracked_region_sync(&tracked), 0);
	fake_kvm_write(0, 9);
	clear(0, 128);
	check_dirty((const uint64_t[]){ 9 }, 1);
	tracked_region_stop(&tracked);
}

static void failures_of_the_log(void **state)
{
	(void)state;
	open_bitmap(MANUAL);
	assert_int_equal(add_slot(4, 0, 128), 0);
	assert_int_equal(tracked_region_start(&tracked), 0);
	fake_kvm.get_code = -EFAULT;
	assert_int_equal(tracked_region_sync(&tracked), -EFAULT);
	assert_non_null(strstr(tracked.error.text, "KVM_GET_DIRTY_LOG of slot 4"));
	tracked_region_stop(&tracked);
	assert_int_equal(tracked_region_start(&tracked), 0);
	assert_int_equal(tracked_region_sync(&tracked), 0);
	fake_kvm.clear_code = -ENXIO;
	assert_int_equal(rs_dirty_logs_clear(tracked.region, 0, PAGES), -ENXIO);
	assert_non_null(strstr(tracked.state.session.error.text, "KVM_CLEAR_DIRTY_LOG of slot 4"));
	tracked_region_stop(&tracked);
}

/* ---- slots that come and go while a migration runs ----------------------------------------- */

static void a_slot_that_comes(void **state)
{
	(void)state;
	open_bitmap(MANUAL);
	start();
	assert_int_equal(add_slot(0, 10, 20), 0);
	assert_int_equal(fake_kvm.slots[0].memory.flags, KVM_MEM_LOG_DIRTY_PAGES);
	/* This kernel calls all of it dirty at first. */
	assert_int_equal(tracked_region_sync(&tracked), 0);
	assert_int_equal(rs_bitmap_count(&tracked.region->dirty), 20);
	clear(0, PAGES);
	fake_kvm_write(0, 1);
	check_dirty((const uint64_t[]){ 11 }, 1);
	tracked_region_stop(&tracked);
}

static void a_slot_that_goes(void **state)
{
	(void)state;
	open_bitmap(MANUAL);
	assert_int_equal(add_slot(0, 10, 3), 0);
	assert_int_equal(add_slot(1, 100, 3), 0);
	start();
	fake_kvm_write(0, 1);
	assert_int_equal(rs_kvm_remove_slot(kvm, 0, &error), 0);
	/* Nobody knows any more which page it was. */
	check_dirty((const uint64_t[]){ 10, 11, 12 }, 3);
	fake_kvm_write(1, 0);
	check_dirty((const uint64_t[]){ 10, 11, 12, 100 }, 4);
	tracked_region_stop(&tracked);
}

/* ---- rings --------------------------------------------------------------------------------- */

static void what_rings_say(void **state)
{
	(void)state;
	open_ring();
	assert_int_equal(add_slot(6, 3, 70), 0);
	start();
	assert_true(fake_kvm_push(0, 6, 0));
	assert_true(fake_kvm_push(1, 6, 69));
	assert_true(fake_kvm_push(0, 6, 0));
	check_dirty((const uint64_t[]){ 3, 72 }, 2);
	assert_int_equal(fake_kvm.resets, 1);
	clear(0, PAGES);
	/* Nothing new: nothing to reset either. */
	assert_int_equal(tracked_region_sync(&tracked), 0);
	assert_int_equal(rs_bitmap_count(&tracked.region->dirty), 0);
	assert_int_equal(fake_kvm.resets, 1);
	tracked_region_stop(&tracked);
}

/* Emptied by the vCPU's thread; the next sync has what was in it. */
static void a_ring_that_is_full(void **state)
{
	uint64_t page = 0;

	(void)state;
	open_ring();
	assert_int_equal(add_slot(0, 0, PAGES), 0);
	start();
	while (page < 200) {
		if (fake_kvm_push(0, 0, page))
			page++;
		else
			assert_int_equal(rs_kvm_ring_full(kvm), 0);
	}
	assert_int_equal(tracked_region_sync(&tracked), 0);
	assert_int_equal(rs_bitmap_count(&tracked.region->dirty), 200);
	assert_true(is_dirty(0) && is_dirty(199));
	/* The vCPU had to wait meanwhile. */
	assert_true(rs_counter_get(tracked.state.counters.guest_stall_ns) > 0);
	tracked_region_stop(&tracked);
}

static void rings_of_vcpus_that_go(void **state)
{
	(void)state;
	open_ring();
	assert_int_equal(add_slot(0, 0, PAGES), 0);
	start();
	assert_true(fake_kvm_push(1, 0, 5));
	rs_kvm_remove_vcpu(kvm, 1);
	rs_kvm_remove_vcpu(kvm, 1);
	assert_int_equal(fake_kvm.maps, 1);
	check_dirty((const uint64_t[]){ 5 }, 1);
	tracked_region_stop(&tracked);
}

static void entries_that_cannot_be(void **state)
{
	(void)state;
	open_ring();
	assert_int_equal(add_slot(1, 0, 10), 0);
	start();
	/* A slot that was removed: its pages were marked then. */
	assert_true(fake_kvm_push(0, 7, 0));
	check_dirty(NULL, 0);
	assert_true(fake_kvm_push(0, 1, 10));
	assert_int_equal(tracked_region_sync(&tracked), -EIO);
	assert_string_equal(tracked.error.text,
			    "region memory: cannot sync its dirty log: an entry of a dirty ring "
			    "is for page 10 of slot 1, which has 10");
	tracked_region_stop(&tracked);
}

static void failures_of_rings(void **state)
{
	(void)state;
	open_ring();
	assert_int_equal(add_slot(0, 0, 10), 0);
	start();
	assert_true(fake_kvm_push(0, 0, 3));
	fake_kvm.reset_code = -EFAULT;
	assert_int_equal(rs_kvm_ring_full(kvm), -EFAULT);
	tracked_region_stop(&tracked);
	fake_kvm.map_code = -ENODEV;
	rs_kvm_remove_vcpu(kvm, 0);
	assert_int_equal(rs_kvm_add_vcpu(kvm, 0, &error), -ENODEV);
	assert_non_null(strstr(error.text, "the dirty ring of a vCPU cannot be mapped"));
}

static void no_rings_with_the_bitmap(void **state)
{
	(void)state;
	open_bitmap(0);
	assert_int_equal(rs_kvm_add_vcpu(kvm, 0, NULL), 0);
	assert_int_equal(fake_kvm.maps, 0);
	assert_int_equal(rs_kvm_ring_full(kvm), -EINVAL);
	rs_kvm_remove_vcpu(kvm, 0);
}

/* ---- against a model ----------------------------------------------------------------------- */

/* What is dirty in the model is what was written since it was cleared, and so it is in the bitmap. */
static void at_random(void **state)
{
	static uint8_t model[PAGES];
	struct test_random random = { .state = 1 };

	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		uint64_t page = test_random_below(&random, 40);

		if (round > 0) {
			teardown(NULL);
			setup(NULL);
		}
		rs_params_set(&tracked.state.params, RS_PARAM_X_CLEAR_BITMAP_SHIFT, "6", NULL);
		open_bitmap(round % 3 == 0 ? 0 : MANUAL);
		uint64_t first[FAKE_KVM_SLOTS], pages[FAKE_KVM_SLOTS];

		for (uint32_t slot = 0; slot < FAKE_KVM_SLOTS; slot++) {
			first[slot] = page;
			pages[slot] = 1 + test_random_below(&random, 110);
			assert_int_equal(add_slot(slot, page, pages[slot]), 0);
			page += pages[slot] + test_random_below(&random, 3);
		}
		start();
		memset(model, 0, sizeof(model));
		for (unsigned step = 0; step < 400; step++) {
			uint32_t slot = (uint32_t)test_random_below(&random, FAKE_KVM_SLOTS);
			uint64_t at = test_random_below(&random, pages[slot]);
			uint64_t count = 1 + test_random_below(&random, 150);
			uint64_t from = test_random_below(&random, PAGES - 150);

			if (step % 8 != 7) {
				fake_kvm_write(slot, at);
				model[first[slot] + at] = 1;
				continue;
			}
			assert_int_equal(tracked_region_sync(&tracked), 0);
			for (uint64_t i = 0; i < PAGES; i++)
				assert_int_equal(is_dirty(i), model[i]);
			clear(from, count);
			memset(model + from, 0, count);
		}
		tracked_region_stop(&tracked);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_bitmap_is_preferred),
		TEST(older_kernels),
		TEST(what_a_kernel_lacks),
		TEST(sizes_of_rings),
		TEST(bad_configurations),
		TEST(a_slot_as_kvm_gets_it),
		TEST(bad_slots),
		TEST(a_region_that_is_not_ours),
		TEST(a_region_once),
		TEST(no_region_during_a_migration),
		TEST(without_a_log),
		TEST(a_region_that_goes),
		TEST(a_vm_that_goes_first),
		TEST(a_log_that_does_not_start),
		TEST(written_pages),
		TEST(written_between_sync_and_clear),
		TEST(failures_of_the_log),
		TEST(a_slot_that_comes),
		TEST(a_slot_that_goes),
		TEST(what_rings_say),
		TEST(a_ring_that_is_full),
		TEST(rings_of_vcpus_that_go),
		TEST(entries_that_cannot_be),
		TEST(failures_of_rings),
		TEST(no_rings_with_the_bitmap),
		TEST(at_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
