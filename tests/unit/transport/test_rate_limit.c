/* SPDX-License-Identifier: MIT */
#include "transport/rate_limit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define WINDOW RS_RATE_WINDOW_NS
#define START 12345678901ull

static void no_limit_lets_all_pass(void **state)
{
	struct rs_rate_limit limit = { 0 };

	(void)state;
	assert_true(rs_rate_limit_left(&limit, 0, START) == UINT64_MAX);
	assert_true(rs_rate_limit_left(&limit, UINT64_MAX / 2, START) == UINT64_MAX);
	assert_int_equal(rs_rate_limit_wait_ns(&limit, UINT64_MAX, START), 0);
}

static void a_window_has_a_tenth_of_the_rate(void **state)
{
	struct rs_rate_limit limit = { 0 };

	(void)state;
	rs_rate_limit_set(&limit, 1000);
	assert_int_equal(rs_rate_limit_left(&limit, 0, START), 100);
	assert_int_equal(rs_rate_limit_left(&limit, 30, START), 70);
	assert_int_equal(rs_rate_limit_left(&limit, 99, START + WINDOW - 1), 1);
	assert_int_equal(rs_rate_limit_left(&limit, 100, START + WINDOW - 1), 0);
	assert_int_equal(rs_rate_limit_wait_ns(&limit, 100, START + WINDOW - 1), 1);
	assert_int_equal(rs_rate_limit_left(&limit, 100, START + WINDOW), 100);
}

static void what_is_not_used_is_gone(void **state)
{
	struct rs_rate_limit limit = { 0 };

	(void)state;
	rs_rate_limit_set(&limit, 1000);
	assert_int_equal(rs_rate_limit_left(&limit, 0, START), 100);
	assert_int_equal(rs_rate_limit_left(&limit, 10, START + 50 * WINDOW), 100);
}

static void a_debt_is_paid_by_the_following_windows(void **state)
{
	struct rs_rate_limit limit = { 0 };

	(void)state;
	rs_rate_limit_set(&limit, 1000);
	rs_rate_limit_left(&limit, 0, START);
	/* 3.5 windows' worth in the first one: three are gone, half of the fourth is left. */
	assert_int_equal(rs_rate_limit_left(&limit, 350, START), 0);
	assert_int_equal(rs_rate_limit_wait_ns(&limit, 350, START), 3 * WINDOW);
	assert_int_equal(rs_rate_limit_wait_ns(&limit, 350, START + WINDOW + 7), 2 * WINDOW - 7);
	assert_int_equal(rs_rate_limit_left(&limit, 350, START + 3 * WINDOW - 1), 0);
	assert_int_equal(rs_rate_limit_left(&limit, 350, START + 3 * WINDOW), 50);
}

static void a_new_rate_counts_at_once(void **state)
{
	struct rs_rate_limit limit = { 0 };

	(void)state;
	rs_rate_limit_set(&limit, 1000);
	rs_rate_limit_left(&limit, 0, START);
	assert_int_equal(rs_rate_limit_left(&limit, 150, START), 0);
	rs_rate_limit_set(&limit, 2000);
	assert_int_equal(rs_rate_limit_left(&limit, 150, START), 50);
	rs_rate_limit_set(&limit, 10);
	assert_int_equal(rs_rate_limit_wait_ns(&limit, 150, START), 150 * WINDOW);
	rs_rate_limit_set(&limit, 0);
	assert_int_equal(rs_rate_limit_wait_ns(&limit, 150, START), 0);
	/* What went out without a limit is no debt under the next one. */
	rs_rate_limit_left(&limit, 1000000, START);
	rs_rate_limit_set(&limit, 1000);
	assert_int_equal(rs_rate_limit_left(&limit, 2000000, START), 100);
}

/* Send runs of some size whenever there is budget; how much has gone when time is up? */
static uint64_t bytes_in(uint64_t rate, uint64_t run, uint64_t seconds)
{
	struct rs_rate_limit limit = { 0 };
	uint64_t now = START, put = 0;

	rs_rate_limit_set(&limit, rate);
	while (now < START + seconds * RS_NS_PER_S) {
		uint64_t wait = rs_rate_limit_wait_ns(&limit, put, now);

		if (wait == 0)
			put += run;
		now += wait;
	}
	return put;
}

static void the_average_holds_for_any_limit_and_run(void **state)
{
	static const uint64_t rates[] = { 1, 5, 9, 10, 999, 4096, 1000000, 33554432 };
	static const uint64_t runs[] = { 1, 7, 4096, 65536, 1048576 };
	const uint64_t seconds = 100;
	size_t i, j;

	(void)state;
	for (i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		for (j = 0; j < sizeof(runs) / sizeof(runs[0]); j++) {
			uint64_t want = rates[i] * seconds, put;

			if (want / runs[j] > 1000000)
				continue; /* millions of tiny runs show nothing more */
			put = bytes_in(rates[i], runs[j], seconds);
			/* One run too many or too few, and a window's rounding to whole bytes. */
			assert_in_range(put, want - (want < runs[j] ? want : runs[j]),
					want + runs[j] + rates[i] / 10);
		}
	}
}

static void huge_numbers_do_not_wrap(void **state)
{
	struct rs_rate_limit limit = { 0 };

	(void)state;
	rs_rate_limit_set(&limit, UINT64_MAX);
	assert_true(rs_rate_limit_left(&limit, 0, START) == UINT64_MAX / 10 + 1);
	assert_true(rs_rate_limit_left(&limit, 1ull << 62, START) == 0);
	assert_true(rs_rate_limit_left(&limit, 1ull << 62, START + 1000 * WINDOW) > 0);
	rs_rate_limit_set(&limit, 1);
	rs_rate_limit_left(&limit, UINT64_MAX, START + 1000 * WINDOW);
	assert_true(rs_rate_limit_wait_ns(&limit, UINT64_MAX, START + 1000 * WINDOW) > WINDOW);
}

static void shorter_windows(void **state)
{
	struct rs_rate_limit limit = { 0 };

	(void)state;
	rs_rate_limit_set(&limit, 1000);
	rs_rate_limit_left(&limit, 0, START);
	assert_int_equal(rs_rate_limit_left(&limit, 500, START), 0);
	/* Debts are forgotten, but only by a change. */
	rs_rate_limit_set_windows(&limit, 200);
	assert_int_equal(rs_rate_limit_left(&limit, 500, START), 5);
	assert_int_equal(rs_rate_limit_left(&limit, 505, START), 0);
	rs_rate_limit_set_windows(&limit, 200);
	assert_int_equal(rs_rate_limit_left(&limit, 505, START + WINDOW / 20 - 1), 0);
	assert_int_equal(rs_rate_limit_wait_ns(&limit, 505, START + WINDOW / 20 - 1), 1);
	assert_int_equal(rs_rate_limit_left(&limit, 505, START + WINDOW / 20), 5);
	rs_rate_limit_left(&limit, 5505, START + WINDOW / 20);
	rs_rate_limit_set_windows(&limit, RS_RATE_WINDOWS);
	assert_int_equal(rs_rate_limit_left(&limit, 5505, START + WINDOW / 20), 100);
}

static void what_is_forgiven_does_not_count(void **state)
{
	struct rs_rate_limit limit = { 0 };

	(void)state;
	/* Nothing counts without a limit. */
	rs_rate_limit_forgive(&limit, 50, 50, START);
	rs_rate_limit_set(&limit, 1000);
	assert_int_equal(rs_rate_limit_left(&limit, 50, START), 100);
	assert_int_equal(rs_rate_limit_left(&limit, 80, START), 70);
	rs_rate_limit_forgive(&limit, 500, 580, START);
	assert_int_equal(rs_rate_limit_left(&limit, 580, START), 70);
	/* Also if they were counted already, and their window is over: no more than there was. */
	assert_int_equal(rs_rate_limit_left(&limit, 680, START), 0);
	rs_rate_limit_forgive(&limit, 100, 680, START + WINDOW);
	assert_int_equal(rs_rate_limit_left(&limit, 680, START + WINDOW), 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_limit_lets_all_pass),
		cmocka_unit_test(a_window_has_a_tenth_of_the_rate),
		cmocka_unit_test(what_is_not_used_is_gone),
		cmocka_unit_test(a_debt_is_paid_by_the_following_windows),
		cmocka_unit_test(a_new_rate_counts_at_once),
		cmocka_unit_test(the_average_holds_for_any_limit_and_run),
		cmocka_unit_test(huge_numbers_do_not_wrap),
		cmocka_unit_test(shorter_windows),
		cmocka_unit_test(what_is_forgiven_does_not_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
