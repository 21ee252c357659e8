/* SPDX-License-Identifier: MIT */
#include "postcopy/prefetch.h"
#include "support/test_random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { PAGE = 4096, LIMIT = RS_PREFETCH_BYTES / PAGE - 1 };

#define ASSERT_ADVICE(advice, wanted_pages, wanted_direction)                                      \
	do {                                                                                       \
		struct rs_prefetch_advice got = (advice);                                          \
                                                                                                   \
		assert_int_equal(got.pages, wanted_pages);                                         \
		if (got.pages > 0)                                                                 \
			assert_int_equal(got.direction, wanted_direction);                         \
	} while (0)

static void the_first_fault_comes_alone(void **state)
{
	struct rs_prefetch prefetch;

	(void)state;
	rs_prefetch_init(&prefetch, PAGE);
	ASSERT_ADVICE(rs_prefetch_fault(&prefetch, 0), 0, 0);
	rs_prefetch_init(&prefetch, PAGE);
	ASSERT_ADVICE(rs_prefetch_fault(&prefetch, 1000), 0, 0);
}

static void forward_the_window_doubles_up_to_its_limit(void **state)
{
	static const uint64_t windows[] = { 0, 1, 2, 4, 8, 16, 32, LIMIT, LIMIT, LIMIT };
	struct rs_prefetch prefetch;
	uint64_t page = 100;

	(void)state;
	rs_prefetch_init(&prefetch, PAGE);
	for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
		ASSERT_ADVICE(rs_prefetch_fault(&prefetch, page), windows[i], 1);
		page += 1 + windows[i];
	}
}

static void backward_it_ends_at_the_first_page(void **state)
{
	static const uint64_t windows[] = { 0, 1, 2, 4, 8, 16, 32 };
	struct rs_prefetch prefetch;
	uint64_t page = 80;

	(void)state;
	rs_prefetch_init(&prefetch, PAGE);
	for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
		ASSERT_ADVICE(rs_prefetch_fault(&prefetch, page), windows[i], -1);
		page -= 1 + windows[i];
	}
	assert_int_equal(page, 10);
	ASSERT_ADVICE(rs_prefetch_fault(&prefetch, page), 10, -1);
	ASSERT_ADVICE(rs_prefetch_fault(&prefetch, 0), 0, 0);
}

/* Some of what was thought of had come: the next fault lies beyond. */
static void holes_do_not_end_a_way(void **state)
{
	struct rs_prefetch prefetch;

	(void)state;
	rs_prefetch_init(&prefetch, PAGE);
	rs_prefetch_fault(&prefetch, 10);
	ASSERT_ADVICE(rs_prefetch_fault(&prefetch, 11), 1, 1); /* to 12 */
	ASSERT_ADVICE(rs_prefetch_fault(&prefetch, 14), 2, 1); /* to 16 */
	ASSERT_ADVICE(rs_prefetch_fault(&prefetch, 19), 4, 1); /* to 23 */
	ASSERT_ADVICE(rs_prefetch_fault(&prefetch, 29), 0, 0);
}

/* A way has a direction: a page on the other side begins another. */
static void a_way_does_not_turn(void **state)
{
	struct rs_prefetch prefetch;

	(void)state;
	rs_prefetch_init(&prefetch, PAGE);
	rs_prefetch_fault(&prefetch, 10);
	ASSERT_ADVICE(rs_prefetch_fault(&prefetch, 11), 1, 1); /* to 12 */
	ASSERT_ADVICE(rs_prefetch_fault(&prefetch, 9), 0, 0);
	ASSERT_ADVICE(rs_prefetch_fault(&prefetch, 8), 1, -1);
	ASSERT_ADVICE(rs_prefetch_fault(&prefetch, 13), 2, 1);
}

static void random_faults_come_alone(void **state)
{
	struct test_random random = { 7 };
	struct rs_prefetch prefetch;

	(void)state;
	rs_prefetch_init(&prefetch, PAGE);
	for (unsigned i = 0; i < 2000; i++)
		/* None is next to another. */
		ASSERT_ADVICE(rs_prefetch_fault(&prefetch, 2 * test_random_below(&random, 1 << 30)),
			      0, 0);
}

static void several_go_their_ways_at_once(void **state)
{
	uint64_t pages[RS_PREFETCH_WAYS], window = 0;
	struct rs_prefetch prefetch;

	(void)state;
	rs_prefetch_init(&prefetch, PAGE);
	for (unsigned i = 0; i < RS_PREFETCH_WAYS; i++)
		pages[i] = 100000 * (i + 1);
	for (unsigned round = 0; round < 6; round++) {
		for (unsigned i = 0; i < RS_PREFETCH_WAYS; i++) {
			ASSERT_ADVICE(rs_prefetch_fault(&prefetch, pages[i]), window,
				      i % 2 == 0 ? 1 : -1);
			pages[i] += i % 2 == 0 ? 1 + window : 0 - (1 + window);
		}
		window = window == 0 ? 1 : 2 * window;
	}
}

/* One too many: the least recent gives way, and no other. */
static void the_least_recent_is_forgotten(void **state)
{
	struct rs_prefetch prefetch;

	(void)state;
	rs_prefetch_init(&prefetch, PAGE);
	for (uint64_t i = 0; i <= RS_PREFETCH_WAYS; i++)
		rs_prefetch_fault(&prefetch, 1000 * i);
	for (uint64_t i = 1; i <= RS_PREFETCH_WAYS; i++)
		ASSERT_ADVICE(rs_prefetch_fault(&prefetch, 1000 * i + 1), 1, 1);
	ASSERT_ADVICE(rs_prefetch_fault(&prefetch, 1), 0, 0);
}

static void large_pages_come_alone(void **state)
{
	static const uint64_t sizes[] = { RS_PREFETCH_BYTES, 2u << 20, 1u << 30 };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct rs_prefetch prefetch;

		rs_prefetch_init(&prefetch, sizes[i]);
		for (uint64_t page = 0; page < 20; page++)
			ASSERT_ADVICE(rs_prefetch_fault(&prefetch, page), 0, 0);
	}
	struct rs_prefetch prefetch;

	rs_prefetch_init(&prefetch, RS_PREFETCH_BYTES / 4);
	rs_prefetch_fault(&prefetch, 0);
	ASSERT_ADVICE(rs_prefetch_fault(&prefetch, 1), 1, 1);
	ASSERT_ADVICE(rs_prefetch_fault(&prefetch, 3), 2, 1);
	ASSERT_ADVICE(rs_prefetch_fault(&prefetch, 6), 3, 1);
	ASSERT_ADVICE(rs_prefetch_fault(&prefetch, 10), 3, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_fault_comes_alone),
		cmocka_unit_test(forward_the_window_doubles_up_to_its_limit),
		cmocka_unit_test(backward_it_ends_at_the_first_page),
		cmocka_unit_test(holes_do_not_end_a_way),
		cmocka_unit_test(a_way_does_not_turn),
		cmocka_unit_test(random_faults_come_alone),
		cmocka_unit_test(several_go_their_ways_at_once),
		cmocka_unit_test(the_least_recent_is_forgotten),
		cmocka_unit_test(large_pages_come_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
