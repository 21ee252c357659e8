/* SPDX-License-Identifier: MIT */
#include "ram/page_cursor.h"

#include "ram/dirty_sync.h"
#include "support/plain_region.h"
#include "support/test_random.h"

#include <errno.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#define PAGE 4096ull
#define REGIONS 3u
#define MOST_PAGES 400u

static const uint64_t region_pages[REGIONS] = { 200, 1, 330 };
static struct rs_region *regions[REGIONS];
static uint8_t *memory;
static struct rs_page_cursor cursor;

/* Pages that are dirty, as a plain array. */
static bool model[REGIONS][MOST_PAGES];

static int setup(void **state)
{
	static const char *const names[REGIONS] = { "a", "b", "c" };

	memory = plain_memory_map(MOST_PAGES * PAGE);
	*state = plain_state(4096);
	for (unsigned i = 0; i < REGIONS; i++)
		regions[i] = plain_region_add(*state, names[i], memory, region_pages[i] * PAGE, 0);
	rs_session_open(*state);
	assert_int_equal(rs_dirty_logs_start(*state), 0);
	for (unsigned i = 0; i < REGIONS; i++)
		rs_bitmap_clear_range(&regions[i]->dirty, 0, region_pages[i]);
	((struct rs_state *)*state)->dirty_pages = 0;
	memset(model, 0, sizeof(model));
	rs_page_cursor_init(&cursor, *state);
	return 0;
}

static int teardown(void **state)
{
	rs_page_cursor_release(&cursor);
	rs_dirty_logs_stop(*state);
	rs_session_close(*state);
	rs_state_destroy(*state);
	plain_memory_unmap(memory, MOST_PAGES * PAGE);
	return 0;
}

static void make_dirty(unsigned region, uint64_t first, uint64_t count)
{
	uint64_t newly;

	for (uint64_t page = first; page < first + count; page++)
		model[region][page] = true;
	rs_dirty_mark(regions[region], first * PAGE, count * PAGE);
	assert_int_equal(rs_dirty_sync(cursor.state, &newly), 0);
}

static unsigned index_of(const struct rs_region *region)
{
	for (unsigned i = 0; i < REGIONS; i++)
		if (regions[i] == region)
			return i;
	fail();
	return 0;
}

static unsigned leavings;

static int leave(void *opaque)
{
	leavings++;
	return opaque == NULL ? 0 : *(int *)opaque;
}

/* The next run, checked against the model, from which it is taken. */
static bool take(uint64_t max_pages, struct rs_page_run *run)
{
	int result = rs_page_cursor_next(&cursor, max_pages, leave, NULL, run);

	assert_in_range(result, 0, 1);
	if (result == 0)
		return false;
	unsigned region = index_of(run->region);

	assert_in_range(run->count, 1, max_pages);
	for (uint64_t page = run->first; page < run->first + run->count; page++) {
		assert_true(model[region][page]);
		assert_false(rs_bitmap_test(&run->region->dirty, page));
		model[region][page] = false;
	}
	assert_true(run->region->pins > 0);
	return true;
}

static void check_run(uint64_t max_pages, unsigned region, uint64_t first, uint64_t count)
{
	struct rs_page_run run;

	assert_true(take(max_pages, &run));
	assert_ptr_equal(run.region, regions[region]);
	assert_int_equal(run.first, first);
	assert_int_equal(run.count, count);
}

static void check_clean(void)
{
	struct rs_page_run run;

	assert_false(take(UINT64_MAX, &run));
	assert_int_equal(cursor.state->dirty_pages, 0);
	for (unsigned i = 0; i < REGIONS; i++) {
		assert_int_equal(rs_bitmap_count(&regions[i]->dirty), 0);
		for (uint64_t page = 0; page < region_pages[i]; page++)
			assert_false(model[i][page]);
	}
}

/* ---- single steps -------------------------------------------------------------------------- */

static void nothing_is_dirty(void **state)
{
	(void)state;
	check_clean();
}

static void runs_and_word_borders(void **state)
{
	static const struct {
		uint64_t first, count;
	} runs[] = {
		{ 0, 1 },   { 63, 1 },  { 64, 1 },   { 63, 2 },    { 0, 64 },
		{ 64, 64 }, { 1, 62 },  { 62, 130 }, { 127, 1 },   { 128, 72 },
		{ 0, 200 }, { 199, 1 }, { 191, 9 },  { 100, 100 },
	};

	for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
		rs_page_cursor_release(&cursor);
		rs_page_cursor_init(&cursor, *state);
		make_dirty(0, runs[i].first, runs[i].count);
		check_run(UINT64_MAX, 0, runs[i].first, runs[i].count);
		check_clean();
	}
}

static void neighbours_stay_apart(void **state)
{
	(void)state;
	make_dirty(0, 10, 3);
	make_dirty(0, 14, 2);
	make_dirty(0, 60, 4);
	make_dirty(0, 65, 1);
	check_run(100, 0, 10, 3);
	check_run(100, 0, 14, 2);
	check_run(100, 0, 60, 4);
	check_run(100, 0, 65, 1);
	check_clean();
}

static void a_run_is_no_longer_than_asked(void **state)
{
	(void)state;
	make_dirty(0, 50, 100);
	check_run(1, 0, 50, 1);
	check_run(13, 0, 51, 13);
	check_run(64, 0, 64, 64);
	check_run(64, 0, 128, 22);
	check_clean();
}

static void regions_come_in_their_order(void **state)
{
	(void)state;
	make_dirty(2, 0, 2);
	make_dirty(1, 0, 1);
	make_dirty(0, 199, 1);
	leavings = 0;
	check_run(100, 0, 199, 1);
	check_run(100, 1, 0, 1);
	check_run(100, 2, 0, 2);
	/* What still points into a region has to be written before it is left. */
	assert_int_equal(leavings, 2);
	check_clean();
}

/* The scan goes on from where it was, and comes to what lies behind it after the end. */
static void it_goes_round(void **state)
{
	(void)state;
	make_dirty(0, 100, 1);
	check_run(100, 0, 100, 1);
	make_dirty(0, 99, 3);
	make_dirty(2, 5, 1);
	assert_int_equal(cursor.wraps, 0);
	check_run(100, 0, 101, 1);
	check_run(100, 2, 5, 1);
	assert_int_equal(cursor.wraps, 0);
	check_run(100, 0, 99, 2);
	assert_int_equal(cursor.wraps, 1);
	check_clean();
}

static void between_calls_it_holds_nothing(void **state)
{
	(void)state;
	make_dirty(2, 0, 10);
	check_run(4, 2, 0, 4);
	assert_int_equal(regions[2]->pins, 1);
	rs_page_cursor_release(&cursor);
	for (unsigned i = 0; i < REGIONS; i++)
		assert_int_equal(regions[i]->pins, 0);
	/* It knows where it was. */
	check_run(4, 2, 4, 4);
	rs_page_cursor_release(&cursor);
	rs_page_cursor_release(&cursor);
	assert_int_equal(regions[2]->pins, 0);
	make_dirty(2, 8, 2);
	check_run(4, 2, 8, 2);
}

static void what_is_put_back_comes_next(void **state)
{
	(void)state;
	make_dirty(0, 10, 20);
	make_dirty(0, 40, 1);
	check_run(100, 0, 10, 20);
	rs_page_cursor_put_back(&cursor, 15, 15);
	memset(&model[0][15], true, 15);
	assert_int_equal(cursor.state->dirty_pages, 16);
	rs_page_cursor_release(&cursor);
	check_run(5, 0, 15, 5);
	check_run(100, 0, 20, 10);
	check_run(100, 0, 40, 1);
	check_clean();
}

/* ---- failures ------------------------------------------------------------------------------ */

static void leaving_can_fail(void **state)
{
	struct rs_page_run run;
	int code = -EPIPE;

	(void)state;
	make_dirty(2, 3, 1);
	assert_int_equal(rs_page_cursor_next(&cursor, 1, leave, &code, &run), -EPIPE);
	/* Nothing is lost by it. */
	check_run(1, 2, 3, 1);
}

static void a_failed_session_yields_nothing(void **state)
{
	struct rs_page_run run;

	make_dirty(0, 3, 1);
	rs_session_fail(*state, -ESTALE, "gone");
	assert_int_equal(rs_page_cursor_next(&cursor, 1, leave, NULL, &run), -ESTALE);
	assert_int_equal(cursor.state->dirty_pages, 1);
}

static void its_region_goes_between_calls(void **state)
{
	struct rs_page_run run;

	make_dirty(2, 0, 10);
	check_run(4, 2, 0, 4);
	rs_page_cursor_release(&cursor);
	assert_int_equal(rs_region_remove(regions[2]), 0);
	assert_int_equal(rs_page_cursor_next(&cursor, 1, leave, NULL, &run), -ESTALE);
	assert_int_equal(rs_session_code(*state), -ESTALE);
}

/* ---- against the model --------------------------------------------------------------------- */

static void random_steps(struct test_random *random)
{
	unsigned region = (unsigned)test_random_below(random, REGIONS);
	uint64_t pages = region_pages[region], first, count;
	struct rs_page_run run;

	switch (test_random_below(random, 8)) {
	case 0:
	case 1:
		first = test_random_below(random, pages);
		count = 1 + test_random_below(random, pages - first);
		if (test_random_one_in(random, 2))
			count = 1;
		make_dirty(region, first, count);
		break;
	case 2:
		rs_page_cursor_release(&cursor);
		break;
	case 3:
		if (!take(1 + test_random_below(random, 100), &run))
			break;
		first = test_random_below(random, run.count);
		rs_page_cursor_put_back(&cursor, run.first + first, run.count - first);
		memset(&model[index_of(run.region)][run.first + first], true, run.count - first);
		break;
	default:
		take(1 + test_random_below(random, 100), &run);
	}
}

static void anything_goes(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 50; seed++) {
		struct test_random random = { seed };
		struct rs_page_run run;

		for (unsigned step = 0; step < 400; step++)
			random_steps(&random);
		while (take(1 + test_random_below(&random, 1000), &run))
			;
		check_clean();
	}
}

/* Between two syncs no page comes twice, whatever the sizes asked for. */
static void a_scan_yields_each_page_once(void **state)
{
	struct test_random random = { 7 };
	struct rs_page_run run;

	(void)state;
	for (unsigned round = 0; round < 50; round++) {
		uint64_t before, pages = 0;

		for (unsigned i = 0; i < 30; i++)
			make_dirty((unsigned)test_random_below(&random, REGIONS), 0, 1);
		for (unsigned i = 0; i < 60; i++)
			make_dirty(2, test_random_below(&random, 330), 1);
		before = cursor.state->dirty_pages;
		/* The model forgets what was taken: a second time would be noticed. */
		while (take(1 + test_random_below(&random, 5), &run))
			pages += run.count;
		assert_int_equal(pages, before);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_dirty),
		TEST(runs_and_word_borders),
		TEST(neighbours_stay_apart),
		TEST(a_run_is_no_longer_than_asked),
		TEST(regions_come_in_their_order),
		TEST(it_goes_round),
		TEST(between_calls_it_holds_nothing),
		TEST(what_is_put_back_comes_next),
		TEST(leaving_can_fail),
		TEST(a_failed_session_yields_nothing),
		TEST(its_region_goes_between_calls),
		TEST(anything_goes),
		TEST(a_scan_yields_each_page_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
