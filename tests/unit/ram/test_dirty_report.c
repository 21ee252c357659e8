/* SPDX-License-Identifier: MIT */
/* What dirty logs report, in whatever units: held against a plain array of pages. */
#include "ram/dirty_sync.h"

#include "support/plain_region.h"
#include "support/test_random.h"

#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#define PAGE 4096ull
#define PAGES 300u /* not whole words */
#define ROOM_PAGES 400u

/* What the log says at the next sync: a bitmap if it has granules, else a range. */
static struct {
	uint64_t offset, bytes;
	uint64_t bits, granule_bytes;
	uint64_t words[64];
} report;

static struct rs_state *the_state;
static struct rs_region *region;
static uint8_t *memory;

static int log_start(void *opaque, struct rs_region *of, void **cookie, struct rs_error *error)
{
	(void)opaque, (void)of, (void)cookie, (void)error;
	return 0;
}

static int log_sync(void *opaque, struct rs_region *of, void *cookie, struct rs_dirty_sink *sink,
		    struct rs_error *error)
{
	(void)opaque, (void)of, (void)cookie, (void)error;
	if (report.granule_bytes == 0)
		rs_dirty_report_range(sink, report.offset, report.bytes);
	else
		rs_dirty_report_bitmap(sink, report.offset, report.words, report.bits,
				       report.granule_bytes);
	return 0;
}

static void log_stop(void *opaque, struct rs_region *of, void *cookie)
{
	(void)opaque, (void)of, (void)cookie;
}

static void open_all(uint32_t page_bytes)
{
	static const struct rs_dirty_log_ops ops = {
		.size = sizeof(ops), .start = log_start, .sync = log_sync, .stop = log_stop
	};
	struct rs_region_config config = {
		.size = sizeof(config),
		.name = "r",
		.used_bytes = (uint64_t)PAGES * page_bytes,
		.max_bytes = (uint64_t)ROOM_PAGES * page_bytes,
	};

	memory = plain_memory_map(ROOM_PAGES * 65536ull);
	config.host = memory;
	the_state = plain_state(page_bytes);
	assert_int_equal(rs_region_add(the_state, &config, &region), 0);
	assert_int_equal(rs_region_add_dirty_log(region, &ops, NULL), 0);
	rs_session_open(the_state);
	assert_int_equal(rs_dirty_logs_start(the_state), 0);
	memset(&report, 0, sizeof(report));
}

static void close_all(void)
{
	rs_dirty_logs_stop(the_state);
	rs_session_close(the_state);
	rs_state_destroy(the_state);
	plain_memory_unmap(memory, ROOM_PAGES * 65536ull);
}

/* Sync with a clean bitmap; how many pages that made dirty. */
static uint64_t sync_now(void)
{
	uint64_t newly_dirty = 0;

	rs_bitmap_clear_range(&region->dirty, 0, region->dirty.bits);
	the_state->dirty_pages = 0;
	assert_int_equal(rs_dirty_sync(the_state, &newly_dirty), 0);
	assert_int_equal(rs_bitmap_count(&region->dirty), newly_dirty);
	assert_int_equal(the_state->dirty_pages, newly_dirty);
	return newly_dirty;
}

/* ---- ranges -------------------------------------------------------------------------------- */

static void ranges(void **state)
{
	static const struct {
		uint64_t offset, bytes, first, pages;
	} cases[] = {
		{ 0, 1, 0, 1 },
		{ PAGE - 1, 1, 0, 1 },
		{ PAGE - 1, 2, 0, 2 },
		{ 63 * PAGE, 2 * PAGE, 63, 2 },
		{ 298 * PAGE, 50 * PAGE, 298, 2 },
		{ 298 * PAGE, UINT64_MAX, 298, 2 },
		{ 0, UINT64_MAX, 0, PAGES },
		{ 300 * PAGE, PAGE, 0, 0 },
		{ UINT64_MAX, PAGE, 0, 0 },
		{ UINT64_MAX, UINT64_MAX, 0, 0 },
		{ 5 * PAGE, 0, 0, 0 },
	};

	(void)state;
	open_all(4096);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		report.offset = cases[i].offset;
		report.bytes = cases[i].bytes;
		assert_int_equal(sync_now(), cases[i].pages);
		if (cases[i].pages == 0)
			continue;
		assert_int_equal(rs_bitmap_find_set(&region->dirty, 0, PAGES), cases[i].first);
		assert_int_equal(rs_bitmap_find_clear(&region->dirty, cases[i].first, PAGES),
				 cases[i].first + cases[i].pages);
	}
	close_all();
}

/* ---- bitmaps ------------------------------------------------------------------------------- */

/* Every page that a set granule touches, inside the region. */
static uint64_t expect_pages(bool *expected, uint32_t page_bytes)
{
	uint64_t used = (uint64_t)PAGES * page_bytes, count = 0;

	memset(expected, 0, ROOM_PAGES);
	for (uint64_t bit = 0; bit < report.bits; bit++) {
		uint64_t at = report.offset + bit * report.granule_bytes;
		uint64_t end = at + report.granule_bytes;

		if (!(report.words[bit / 64] >> (bit % 64) & 1))
			continue;
		for (; at < end && at < used; at = (at / page_bytes + 1) * page_bytes)
			expected[at / page_bytes] = true;
	}
	for (unsigned page = 0; page < ROOM_PAGES; page++)
		count += expected[page];
	return count;
}

static void check_bitmap(uint32_t page_bytes)
{
	bool expected[ROOM_PAGES];
	uint64_t count = expect_pages(expected, page_bytes);

	assert_int_equal(sync_now(), count);
	for (unsigned page = 0; page < ROOM_PAGES; page++)
		assert_int_equal(rs_bitmap_test(&region->dirty, page), expected[page]);
}

static void random_bitmap(struct test_random *random, uint32_t page_bytes)
{
	static const uint64_t granules[] = { 512,   1024,  2048,   4096,   8192,
					     16384, 65536, 262144, 2097152 };
	uint64_t used = (uint64_t)PAGES * page_bytes;
	bool sparse = test_random_one_in(random, 2);

	report.granule_bytes = granules[test_random_below(random, 9)];
	/* Often from the start and in whole words, as KVM has it; else anywhere, and beyond. */
	report.offset =
	    test_random_below(random, used / report.granule_bytes + 1) * report.granule_bytes;
	if (test_random_one_in(random, 3))
		report.offset = 0;
	report.bits = test_random_one_in(random, 3) ? 256 : test_random_below(random, 4097);
	for (size_t word = 0; word < 64; word++)
		report.words[word] = sparse ? 1ull << test_random_below(random, 64)
					    : test_random_next(random) & test_random_next(random);
}

/* Granules smaller and larger than the page, aligned to it or not, whole words or not. */
static void bitmaps_of_any_granularity(void **state)
{
	static const uint32_t sizes[] = { 1024, 4096, 65536 };
	struct test_random random = { 1 };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		open_all(sizes[i]);
		for (unsigned round = 0; round < 400; round++) {
			random_bitmap(&random, sizes[i]);
			check_bitmap(sizes[i]);
		}
		close_all();
	}
}

/* As KVM gives it: a bit for each page, whole words, the last one with bits past the end. */
static void bits_past_the_end_are_ignored(void **state)
{
	static const struct {
		uint64_t bits, pages;
	} cases[] = { { 320, PAGES }, { 300, 300 }, { 299, 299 }, { 65, 65 },
		      { 64, 64 },     { 1, 1 },     { 0, 0 } };

	(void)state;
	open_all(4096);
	memset(report.words, 0xff, sizeof(report.words));
	report.granule_bytes = PAGE;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		report.bits = cases[i].bits;
		assert_int_equal(sync_now(), cases[i].pages);
	}
	close_all();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges),
		cmocka_unit_test(bitmaps_of_any_granularity),
		cmocka_unit_test(bits_past_the_end_are_ignored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
