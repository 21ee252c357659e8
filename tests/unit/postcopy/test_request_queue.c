/* SPDX-License-Identifier: MIT */
#include "postcopy/request_queue.h"

#include "ram/dirty_sync.h"
#include "support/plain_region.h"
#include "support/test_random.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define PAGE 4096u
#define REGIONS 3u
#define MOST_PAGES 40000u

static const uint64_t region_pages[REGIONS] = { MOST_PAGES, 1, 30000 };
static struct rs_region *regions[REGIONS];
static struct rs_request_queue *queue;
static uint8_t *memory;

static int setup(void **state)
{
	static const char *const names[REGIONS] = { "a", "b", "c" };

	memory = plain_memory_map((uint64_t)MOST_PAGES * PAGE);
	*state = plain_state(PAGE);
	for (unsigned i = 0; i < REGIONS; i++)
		regions[i] = plain_region_add(*state, names[i], memory, region_pages[i] * PAGE, 0);
	rs_session_open(*state);
	assert_int_equal(rs_dirty_logs_start(*state), 0);
	queue = calloc(1, sizeof(*queue));
	assert_non_null(queue);
	return rs_request_queue_init(queue, *state);
}

static int teardown(void **state)
{
	rs_request_queue_fini(queue);
	free(queue);
	rs_dirty_logs_stop(*state);
	rs_session_close(*state);
	rs_state_destroy(*state);
	plain_memory_unmap(memory, (uint64_t)MOST_PAGES * PAGE);
	return 0;
}

static void put(unsigned region, uint64_t first, uint64_t count)
{
	const struct rs_page_run run = { regions[region], first, count };

	rs_request_queue_put(queue, &run);
}

static void expect(unsigned region, uint64_t first, uint64_t count)
{
	struct rs_page_run run;

	assert_false(rs_request_queue_is_empty(queue));
	assert_true(rs_request_queue_take(queue, &run));
	assert_ptr_equal(run.region, regions[region]);
	assert_int_equal(run.first, first);
	assert_int_equal(run.count, count);
}

static void expect_none(void)
{
	struct rs_page_run run;

	assert_true(rs_request_queue_is_empty(queue));
	assert_false(rs_request_queue_take(queue, &run));
}

static void what_is_asked_first_comes_first(void **state)
{
	(void)state;
	expect_none();
	put(2, 7, 1);
	put(0, 1000, 4);
	put(1, 0, 1);
	put(0, 5, 1);
	expect(2, 7, 1);
	expect(0, 1000, 4);
	put(2, 9, 1);
	expect(1, 0, 1);
	expect(0, 5, 1);
	expect(2, 9, 1);
	expect_none();
}

static void neighbours_become_one(void **state)
{
	(void)state;
	put(0, 10, 2);
	put(0, 12, 3);
	put(0, 11, 1);
	put(0, 16, 1);
	put(2, 17, 1);
	expect(0, 10, 5);
	expect(0, 16, 1);
	expect(2, 17, 1);
	/* Nothing joins what was taken. */
	put(2, 18, 1);
	expect(2, 18, 1);
	expect_none();
}

static void what_went_already_is_left_out(void **state)
{
	(void)state;
	rs_bitmap_clear_range(&regions[0]->dirty, 10, 20);
	put(0, 10, 1);
	put(0, 29, 1);
	expect_none();
	put(0, 5, 5);
	put(0, 28, 5);
	expect(0, 5, 5);
	expect(0, 30, 3);
	expect_none();
}

/* ---- more than fits ------------------------------------------------------------------------ */

static bool asked[REGIONS][MOST_PAGES];

/* Take everything; every page that was asked for comes, and no other. */
static void take_all(void)
{
	struct rs_page_run run;
	static bool came[REGIONS][MOST_PAGES];

	memset(came, 0, sizeof(came));
	while (rs_request_queue_take(queue, &run)) {
		unsigned region = run.region == regions[0] ? 0 : run.region == regions[1] ? 1 : 2;

		assert_true(run.count > 0 && run.first + run.count <= region_pages[region]);
		for (uint64_t i = 0; i < run.count; i++)
			came[region][run.first + i] = true;
	}
	assert_memory_equal(came, asked, sizeof(came));
	expect_none();
}

static void a_hundred_thousand_requests(void **state)
{
	struct test_random random = { 5 };

	(void)state;
	memset(asked, 0, sizeof(asked));
	for (unsigned i = 0; i < 100000; i++) {
		unsigned region = (unsigned)test_random_below(&random, REGIONS);
		uint64_t page = test_random_below(&random, region_pages[region]);

		asked[region][page] = true;
		put(region, page, 1);
	}
	assert_false(rs_request_queue_is_empty(queue));
	take_all();
	/* And then it is as it was before. */
	put(2, 7, 1);
	put(0, 3, 1);
	expect(2, 7, 1);
	expect(0, 3, 1);
	expect_none();
}

/* The first ones in order; what did not fit, and what came after it, by address. Nothing that comes late
 * gets before it in the queue. */
static void a_full_queue(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < RS_REQUEST_QUEUE_LENGTH; i++)
		put(0, 30000 - 2 * i, 1);
	put(2, 100, 1);
	put(0, 33000, 2);
	put(0, 35000, 1);
	expect(0, 30000, 1);
	/* There is room again, but it is not its turn. */
	put(0, 31000, 1);
	for (uint64_t i = 1; i < RS_REQUEST_QUEUE_LENGTH; i++)
		expect(0, 30000 - 2 * i, 1);
	expect(0, 31000, 1);
	expect(0, 33000, 2);
	/* Behind the sweep: in the next one. */
	put(0, 1, 1);
	expect(0, 35000, 1);
	expect(2, 100, 1);
	expect(0, 1, 1);
	expect_none();
}

static void all_is_forgotten(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 2 * RS_REQUEST_QUEUE_LENGTH; i++)
		put(0, 2 * i, 1);
	rs_request_queue_clear(queue);
	expect_none();
	put(0, 2, 1);
	expect(0, 2, 1);
	expect_none();
}

/* ---- two threads --------------------------------------------------------------------------- */

static _Atomic bool done;

static void *ask_at_random(void *opaque)
{
	struct test_random random = { *(uint64_t *)opaque };

	for (unsigned i = 0; i < 20000; i++) {
		unsigned region = (unsigned)test_random_below(&random, REGIONS);
		uint64_t page = test_random_below(&random, region_pages[region]);

		asked[region][page] = true;
		put(region, page, 1);
	}
	done = true;
	return NULL;
}

/* What is asked for while others are taken comes as well: at least once after it was asked for. */
static void asked_and_taken_at_once(void **state)
{
	static bool came[REGIONS][MOST_PAGES];

	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct rs_page_run run;
		pthread_t thread;
		bool last;

		memset(asked, 0, sizeof(asked));
		memset(came, 0, sizeof(came));
		done = false;
		assert_int_equal(pthread_create(&thread, NULL, ask_at_random, &seed), 0);
		do {
			last = done;
			while (rs_request_queue_take(queue, &run)) {
				unsigned region = run.region == regions[0]   ? 0
						  : run.region == regions[1] ? 1
									     : 2;
				for (uint64_t i = 0; i < run.count; i++)
					came[region][run.first + i] = true;
			}
		} while (!last);
		pthread_join(thread, NULL);
		assert_memory_equal(came, asked, sizeof(came));
		expect_none();
		assert_int_equal(queue->noted_pages, 0);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_is_asked_first_comes_first),
		TEST(neighbours_become_one),
		TEST(what_went_already_is_left_out),
		TEST(a_hundred_thousand_requests),
		TEST(a_full_queue),
		TEST(all_is_forgotten),
		TEST(asked_and_taken_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
