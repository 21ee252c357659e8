/* SPDX-License-Identifier: MIT */
#include "ram/page_claim.h"

#include "ram/dirty_sync.h"
#include "support/plain_region.h"
#include "support/test_random.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define HUGE (2u << 20)
#define REGION_BYTES (16u << 20)
#define MOST_PAGES (REGION_BYTES / 4096)

/* Units of 1, 4, 64, 128 and 512 pages, a target page that is larger than the host's, and both. */
static const struct {
	uint32_t page_bytes;
	uint32_t host_page_bytes;
	unsigned unit_pages;
} sizes[] = {
	{ 4096, 4096, 1 },   { 4096, 16384, 4 }, { 4096, 262144, 64 }, { 4096, 524288, 128 },
	{ 4096, HUGE, 512 }, { 65536, 4096, 1 }, { 65536, HUGE, 32 },  { 1024, 4096, 4 },
};

#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

static uint8_t *mapped;
static struct rs_state *the_state;
static struct rs_region *region;

static void open_size(size_t size)
{
	struct rs_region_config config = { .size = sizeof(config), .name = "r" };

	mapped = plain_memory_map(REGION_BYTES + HUGE);
	config.host = (void *)(((uintptr_t)mapped + HUGE - 1) & ~(uintptr_t)(HUGE - 1));
	config.used_bytes =
	    REGION_BYTES / sizes[size].page_bytes > MOST_PAGES ? REGION_BYTES / 4 : REGION_BYTES;
	config.host_page_bytes = sizes[size].host_page_bytes;
	the_state = plain_state(sizes[size].page_bytes);
	assert_int_equal(rs_region_add(the_state, &config, &region), 0);
	assert_int_equal(rs_placement_pages(region), sizes[size].unit_pages);
	rs_session_open(the_state);
	assert_int_equal(rs_dirty_logs_start(the_state), 0);
}

static void close_size(void)
{
	rs_dirty_logs_stop(the_state);
	rs_session_close(the_state);
	rs_state_destroy(the_state);
	plain_memory_unmap(mapped, REGION_BYTES + HUGE);
}

static void clear_all(void)
{
	rs_bitmap_clear_range(&region->dirty, 0, rs_region_pages(region));
	the_state->dirty_pages = 0;
}

/* ---- whole units --------------------------------------------------------------------------- */

static void make_random_whole(size_t size, struct test_random *random)
{
	static bool model[MOST_PAGES];
	uint64_t pages, unit = sizes[size].unit_pages, set = 0, made;

	open_size(size);
	clear_all();
	pages = rs_region_pages(region);
	memset(model, 0, sizeof(model));
	for (uint64_t i = test_random_below(random, pages / 4); i > 0; i--) {
		uint64_t page = test_random_below(random, pages);

		rs_bitmap_set_range(&region->dirty, page, 1);
		model[page] = true;
	}
	for (uint64_t first = 0; first < pages; first += unit) {
		uint64_t dirty = 0;

		for (uint64_t i = 0; i < unit; i++)
			dirty += model[first + i];
		for (uint64_t i = 0; dirty != 0 && i < unit; i++)
			model[first + i] = true;
		set += dirty != 0 ? unit - dirty : 0;
	}
	made = rs_page_claim_make_whole(&region->dirty, unit, pages);
	assert_int_equal(made, set);
	for (uint64_t page = 0; page < pages; page++)
		assert_int_equal(rs_bitmap_test(&region->dirty, page), model[page]);
	close_size();
}

static void units_become_whole(void **state)
{
	struct test_random random = { 1 };

	(void)state;
	for (size_t size = 0; size < SIZES; size++)
		for (unsigned i = 0; i < 8; i++)
			make_random_whole(size, &random);
}

/* ---- one thread ---------------------------------------------------------------------------- */

/* Runs are whole units, one after the other, and what was counted is gone. */
static void runs_are_whole_units(void **state)
{
	(void)state;
	for (size_t size = 0; size < SIZES; size++) {
		struct rs_page_run run;
		uint64_t unit = sizes[size].unit_pages, at = 0, pages;

		open_size(size);
		pages = rs_region_pages(region);
		/* A hole of a unit, which ends a run. */
		rs_bitmap_clear_range(&region->dirty, unit, unit);
		the_state->dirty_pages -= unit;
		assert_true(rs_page_claim_run(region, 0, pages, 3 * unit, &run));
		assert_int_equal(run.first, 0);
		assert_int_equal(run.count, unit);
		/* From within it, the unit that is hit; and no more than asked for, but a unit. */
		at = 2 * unit;
		assert_true(rs_page_claim_run(region, at + unit / 2, pages, 1, &run));
		assert_int_equal(run.first, at);
		assert_int_equal(run.count, unit);
		assert_true(rs_page_claim_run(region, 0, pages, 3 * unit, &run));
		assert_int_equal(run.first, 3 * unit);
		assert_int_equal(run.count, 3 * unit);
		/* Not beyond the end. */
		assert_false(rs_page_claim_run(region, 0, 6 * unit, 1, &run));
		assert_int_equal(the_state->dirty_pages, pages - 6 * unit);
		assert_int_equal(rs_bitmap_count(&region->dirty), pages - 6 * unit);
		close_size();
	}
}

/* ---- two threads --------------------------------------------------------------------------- */

static _Atomic uint8_t taken[MOST_PAGES];
static pthread_barrier_t start;

struct taker {
	bool in_order; /* or at random */
	uint64_t seed;
	unsigned faults;
	uint64_t pages;
};

static void count(struct taker *taker, const struct rs_page_run *run)
{
	uint64_t unit = rs_placement_pages(region);

	taker->faults += run->first % unit != 0 || run->count % unit != 0 || run->count == 0;
	taker->pages += run->count;
	for (uint64_t i = 0; i < run->count; i++)
		taken[run->first + i]++;
}

static void *take_all(void *opaque)
{
	struct taker *taker = opaque;
	struct test_random random = { taker->seed };
	uint64_t unit = rs_placement_pages(region), pages = rs_region_pages(region);
	struct rs_page_run run;
	uint64_t page = 0;

	pthread_barrier_wait(&start);
	/* Less than none, should any be taken twice. */
	while (the_state->dirty_pages - 1 < pages) {
		bool got;

		if (taker->in_order) {
			got = rs_page_claim_run(region, page, pages, 3 * unit, &run);
			page = got ? run.first + run.count : 0;
		} else {
			page = test_random_below(&random, pages / unit) * unit;
			got = rs_page_claim_run(region, page, page + unit, 1, &run);
			/* Near the end a random page is rarely one that is left. */
			if (!got && the_state->dirty_pages < 64 * unit)
				got = rs_page_claim_run(region, 0, pages, 1, &run);
		}
		if (got)
			count(taker, &run);
	}
	return NULL;
}

static void race(size_t size, uint64_t seed, bool both_in_order)
{
	struct taker takers[2] = { { .in_order = true }, { both_in_order, seed, 0, 0 } };
	pthread_t threads[2];

	pthread_barrier_init(&start, NULL, 2);

	open_size(size);
	for (uint64_t page = 0; page < MOST_PAGES; page++)
		taken[page] = 0;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_all, &takers[i]), 0);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&start);
	assert_int_equal(takers[0].faults + takers[1].faults, 0);
	assert_int_equal(takers[0].pages + takers[1].pages, rs_region_pages(region));
	for (uint64_t page = 0; page < rs_region_pages(region); page++)
		assert_int_equal(taken[page], 1);
	assert_int_equal(rs_bitmap_count(&region->dirty), 0);
	close_size();
}

static void each_unit_goes_to_one_thread(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 100; i++)
		for (size_t size = 0; size < SIZES; size++)
			race(size, i + 1, i % 3 == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(units_become_whole),
		cmocka_unit_test(runs_are_whole_units),
		cmocka_unit_test(each_unit_goes_to_one_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
