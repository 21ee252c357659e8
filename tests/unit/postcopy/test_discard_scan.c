/* SPDX-License-Identifier: MIT */
#include "postcopy/discard_scan.h"

#include "ram/dirty_sync.h"
#include "support/plain_region.h"
#include "support/test_random.h"

#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#define PAGE 4096ull
#define PAGES 1000u

static struct rs_region *region;
static struct rs_bitmap told;
static uint8_t *memory;

static int setup(void **state)
{
	memory = plain_memory_map(PAGES * PAGE);
	*state = plain_state(PAGE);
	region = plain_region_add(*state, "r", memory, PAGES * PAGE, 0);
	rs_session_open(*state);
	assert_int_equal(rs_dirty_logs_start(*state), 0);
	rs_bitmap_clear_range(&region->dirty, 0, PAGES);
	return rs_bitmap_init(&told, PAGES);
}

static int teardown(void **state)
{
	rs_bitmap_fini(&told);
	rs_dirty_logs_stop(*state);
	rs_session_close(*state);
	rs_state_destroy(*state);
	plain_memory_unmap(memory, PAGES * PAGE);
	return 0;
}

/* What came in one scan. */
static struct rs_byte_range came[PAGES];
static size_t came_count, calls;

static void emit(void *opaque, const struct rs_region *of, const struct rs_byte_range *ranges,
		 size_t count)
{
	assert_ptr_equal(opaque, &told);
	assert_ptr_equal(of, region);
	assert_in_range(count, 1, RS_DISCARD_RANGES);
	memcpy(came + came_count, ranges, count * sizeof(*ranges));
	came_count += count;
	calls++;
}

static void scan(void)
{
	came_count = calls = 0;
	rs_discard_scan(region, told.words, emit, &told);
	assert_int_equal(calls, (came_count + RS_DISCARD_RANGES - 1) / RS_DISCARD_RANGES);
}

static void check(size_t index, uint64_t first, uint64_t count)
{
	assert_true(index < came_count);
	assert_int_equal(came[index].start, first * PAGE);
	assert_int_equal(came[index].bytes, count * PAGE);
}

static void nothing_is_dirty(void **state)
{
	(void)state;
	scan();
	assert_int_equal(came_count, 0);
}

static void neighbours_become_one_range(void **state)
{
	static const struct {
		uint64_t first, count;
	} runs[] = { { 0, 1 }, { 2, 61 }, { 64, 64 }, { 129, 130 }, { 500, 500 } };

	(void)state;
	for (size_t i = 0; i < 5; i++)
		rs_bitmap_set_range(&region->dirty, runs[i].first, runs[i].count);
	scan();
	assert_int_equal(came_count, 5);
	for (size_t i = 0; i < 5; i++)
		check(i, runs[i].first, runs[i].count);
	/* Once is enough. */
	scan();
	assert_int_equal(came_count, 0);
	rs_bitmap_set_range(&region->dirty, 1, 2);
	scan();
	assert_int_equal(came_count, 1);
	check(0, 1, 1);
}

static void everything_is_one_range(void **state)
{
	(void)state;
	rs_bitmap_set_range(&region->dirty, 0, PAGES);
	scan();
	assert_int_equal(came_count, 1);
	check(0, 0, PAGES);
}

/* Rounds of writes: what comes is what was dirtied first in them, in order and joined. */
static void rounds_at_random(void **state)
{
	struct test_random random = { 9 };
	static bool known[PAGES];

	(void)state;
	memset(known, 0, sizeof(known));
	for (unsigned round = 0; round < 200; round++) {
		static bool fresh[PAGES];
		uint64_t end = 0;

		if (round % 20 == 0) {
			rs_bitmap_clear_range(&region->dirty, 0, PAGES);
			rs_bitmap_clear_range(&told, 0, PAGES);
			memset(known, 0, sizeof(known));
		}
		memset(fresh, 0, sizeof(fresh));
		for (uint64_t i = test_random_below(&random, 200); i > 0; i--) {
			uint64_t page = test_random_below(&random, PAGES);

			rs_bitmap_set_range(&region->dirty, page, 1);
			fresh[page] = !known[page];
		}
		scan();
		for (size_t i = 0; i < came_count; i++) {
			uint64_t first = came[i].start / PAGE, count = came[i].bytes / PAGE;

			assert_true(count > 0 && (i == 0 || first > end));
			for (; end < first; end++)
				assert_false(fresh[end]);
			for (; end < first + count; end++)
				assert_true(fresh[end]);
		}
		for (; end < PAGES; end++)
			assert_false(fresh[end]);
		for (uint64_t page = 0; page < PAGES; page++)
			known[page] |= fresh[page];
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_dirty),
		TEST(neighbours_become_one_range),
		TEST(everything_is_one_range),
		TEST(rounds_at_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
