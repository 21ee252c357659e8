/* SPDX-License-Identifier: MIT */
#include "base/checked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define MOST UINT64_MAX

static void ranges(void **state)
{
	static const struct {
		uint64_t offset, bytes, limit;
		bool inside;
	} cases[] = {
		{ 0, 0, 0, true },          { 0, 1, 0, false },      { 0, 10, 10, true },
		{ 1, 10, 10, false },       { 9, 1, 10, true },      { 10, 0, 10, true },
		{ 10, 1, 10, false },       { 11, 0, 10, false },    { 5, MOST, 10, false },
		{ MOST, 1, MOST, false },   { MOST, 0, MOST, true }, { 1, MOST, MOST, false },
		{ MOST, MOST, 10, false },  { 0, MOST, MOST, true }, { MOST - 1, 2, MOST, false },
		{ MOST - 1, 1, MOST, true }
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(rs_range_inside(cases[i].offset, cases[i].bytes, cases[i].limit),
				 cases[i].inside);
}

static void sums_stop_at_the_top(void **state)
{
	(void)state;
	assert_int_equal(rs_add_saturating(1, 2), 3);
	assert_int_equal(rs_add_saturating(MOST - 1, 1), MOST);
	assert_int_equal(rs_add_saturating(MOST, 1), MOST);
	assert_int_equal(rs_add_saturating(MOST, MOST), MOST);
}

static void powers_of_two(void **state)
{
	(void)state;
	assert_false(rs_is_power_of_two(0));
	for (unsigned i = 0; i < 64; i++) {
		uint64_t power = 1ull << i;

		assert_true(rs_is_power_of_two(power));
		assert_int_equal(rs_log2(power), i);
		if (i >= 2) {
			assert_false(rs_is_power_of_two(power - 1));
			assert_false(rs_is_power_of_two(power + 1));
		}
	}
	assert_false(rs_is_power_of_two(MOST));
}

static void alignment(void **state)
{
	static const struct {
		uint64_t value, alignment, down, up;
	} cases[] = {
		{ 0, 4096, 0, 0 },
		{ 1, 4096, 0, 4096 },
		{ 4095, 4096, 0, 4096 },
		{ 4096, 4096, 4096, 4096 },
		{ 4097, 4096, 4096, 8192 },
		{ 77, 1, 77, 77 },
		{ (1ull << 40) + 1, 1ull << 40, 1ull << 40, 2ull << 40 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(rs_align_down(cases[i].value, cases[i].alignment), cases[i].down);
		assert_int_equal(rs_align_up(cases[i].value, cases[i].alignment), cases[i].up);
		assert_int_equal(rs_is_aligned(cases[i].value, cases[i].alignment),
				 cases[i].value == cases[i].down);
	}
}

static void smaller_and_larger(void **state)
{
	(void)state;
	assert_int_equal(rs_min_u64(0, MOST), 0);
	assert_int_equal(rs_min_u64(MOST, 0), 0);
	assert_int_equal(rs_max_u64(0, MOST), MOST);
	assert_int_equal(rs_max_u64(MOST, 0), MOST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges),
		cmocka_unit_test(sums_stop_at_the_top),
		cmocka_unit_test(powers_of_two),
		cmocka_unit_test(alignment),
		cmocka_unit_test(smaller_and_larger),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
