/* SPDX-License-Identifier: MIT */
/* Regions and their memory slots, on a KVM that the test plays. */
#include "unit/track/kvm_subject.h"

/* ---- slots -------------------------------------------------------------------------- */

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

/* ---- regions ------------------------------------------------------------------------ */

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

/* ---- slots that come and go while a migration runs ---------------------------------- */

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

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_slot_as_kvm_gets_it),
		TEST(bad_slots),
		TEST(a_region_that_is_not_ours),
		TEST(a_region_once),
		TEST(no_region_during_a_migration),
		TEST(without_a_log),
		TEST(a_region_that_goes),
		TEST(a_slot_that_comes),
		TEST(a_slot_that_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
