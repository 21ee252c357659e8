/* SPDX-License-Identifier: MIT */
/* What is written and what is reported, with the bitmap, on a KVM that the test plays. The real one is in
 * integration/test_kvm_log.c. */
#include "support/test_random.h"
#include "unit/track/kvm_subject.h"

/* ---- the bitmap --------------------------------------------------------------------- */

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

/* ---- against a model ---------------------------------------------------------------- */

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
		TEST(a_log_that_does_not_start),
		TEST(written_pages),
		TEST(written_between_sync_and_clear),
		TEST(failures_of_the_log),
		TEST(at_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
