/* SPDX-License-Identifier: MIT */
/* Which of KVM's dirty logs a VM gets, and the rings of its vCPUs, on a KVM that the test plays. */
#include "unit/track/kvm_subject.h"

/* ---- which log ---------------------------------------------------------------------- */

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

/* ---- rings -------------------------------------------------------------------------- */

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

/* ---- the end ------------------------------------------------------------------------ */

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

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_bitmap_is_preferred),  TEST(older_kernels),
		TEST(what_a_kernel_lacks),      TEST(sizes_of_rings),
		TEST(bad_configurations),       TEST(what_rings_say),
		TEST(a_ring_that_is_full),      TEST(rings_of_vcpus_that_go),
		TEST(entries_that_cannot_be),   TEST(failures_of_rings),
		TEST(no_rings_with_the_bitmap), TEST(a_vm_that_goes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
