/* SPDX-License-Identifier: MIT */
/* The rule by which pages become deltas, row by row, and what a destination makes of it. */
#include "unit/save/deltas_subject.h"

static void zero(uint64_t first, uint64_t count)
{
	memset(memory + first * PAGE, 0, count * PAGE);
	rs_record_writer_zero(&writer, region, first, count);
	rs_deltas_zero(&deltas, region, first, count);
}

static void check_arrived(uint64_t page)
{
	assert_memory_equal(there + page * PAGE, memory + page * PAGE, PAGE);
}

static void check_counters(uint64_t hits, uint64_t misses, uint64_t overflows, uint64_t bytes,
			   uint64_t normal)
{
	const struct rs_counters *counters = &writer.state->counters;

	assert_int_equal(rs_counter_get(counters->xbzrle_pages), hits);
	assert_int_equal(rs_counter_get(counters->xbzrle_cache_miss), misses);
	assert_int_equal(rs_counter_get(counters->xbzrle_overflow), overflows);
	assert_int_equal(rs_counter_get(counters->xbzrle_bytes), bytes);
	assert_int_equal(rs_counter_get(counters->normal), normal);
}

/* So that a delta from what it was before cannot be shorter than a page. */
static void alternate(uint64_t page)
{
	for (unsigned i = 0; i < PAGE; i += 2)
		memory[page * PAGE + i] ^= 0xff;
}

/* ---- misses -------------------------------------------------------------------------------- */

/* What is sent is the copy that was taken, whatever the guest writes before the flush. */
static void a_miss_sends_the_copy(void **state)
{
	(void)state;
	memset(memory + 3 * PAGE, 1, PAGE);
	send(3, 1);
	memset(memory + 3 * PAGE, 2, PAGE);
	assert_string_equal(load(), "p3");
	assert_int_equal(there[3 * PAGE], 1);
	check_cache();
	check_counters(0, 1, 0, 0, 1);
	assert_int_equal(deltas.cache.num_items, 1);
}

/* No room for a copy: the page is read when the stream is flushed. */
static void a_miss_without_room_sends_the_guests_page(void **state)
{
	(void)state;
	memset(memory + 3 * PAGE, 1, PAGE);
	memset(memory + (3 + SLOTS) * PAGE, 7, PAGE);
	send(3, 1);
	load();
	send(3 + SLOTS, 1);
	memset(memory + (3 + SLOTS) * PAGE, 8, PAGE);
	assert_string_equal(load(), "p19");
	assert_int_equal(there[(3 + SLOTS) * PAGE], 8);
	assert_true(is_cached(3) && !is_cached(3 + SLOTS));
	check_counters(0, 2, 0, 0, 2);
	/* It has room once the other page was not seen for two generations. */
	set_generation(3);
	send(3 + SLOTS, 1);
	load();
	assert_true(!is_cached(3) && is_cached(3 + SLOTS));
	check_cache();
}

/* Runs stay in one piece as long as what they are sent from does. */
static void runs_of_misses(void **state)
{
	(void)state;
	writer.runs = true;
	memset(memory, 5, PAGES * PAGE);
	send(1, 10);
	assert_string_equal(load(), "P1+10");
	/* Up to the last slot; from the first one on; refused, each of its own memory. */
	send(11, 12);
	assert_string_equal(load(), "P11+5 p16 P17+6");
	check_cache();
	check_counters(0, 22, 0, 0, 22);
	assert_memory_equal(there + PAGE, memory + PAGE, 22 * PAGE);
}

/* ---- hits ---------------------------------------------------------------------------------- */

static void an_equal_page_sends_nothing(void **state)
{
	(void)state;
	memset(memory + PAGE, 1, PAGE);
	send(1, 1);
	load();
	send(1, 1);
	assert_string_equal(load(), "");
	check_counters(1, 1, 0, 0, 1);
	assert_true(is_cached(1));
}

static void a_changed_page_sends_what_changed(void **state)
{
	(void)state;
	memset(memory + PAGE, 1, PAGE);
	send(1, 1);
	load();
	memory[PAGE + 100] = 2;
	send(1, 1);
	memory[PAGE + 100] = 3; /* too late for this one */
	assert_string_equal(load(), "d1");
	assert_int_equal(there[PAGE + 100], 2);
	check_cache();
	/* Encoding, length, "100 the same, 1 other, 2"; no name: the region is that of before. */
	check_counters(1, 1, 0, 3 + 3, 1);
	send(1, 1);
	assert_string_equal(load(), "d1");
	check_arrived(1);
	check_cache();
}

static void too_much_changed(void **state)
{
	(void)state;
	memset(memory + PAGE, 1, PAGE);
	send(1, 1);
	load();
	alternate(1);
	send(1, 1);
	memset(memory + PAGE, 9, PAGE); /* it was copied */
	assert_string_equal(load(), "p1");
	assert_int_equal(there[PAGE], 0xfe);
	check_cache();
	check_counters(1, 1, 1, PAGE, 2);
	/* The next delta is made from it. */
	memcpy(memory + PAGE, there + PAGE, PAGE);
	memory[2 * PAGE - 1] ^= 1;
	send(1, 1);
	assert_string_equal(load(), "d1");
	check_arrived(1);
}

/* All of them in one run, in native form, in which pages in full are joined. */
static void pages_of_every_kind_in_a_run(void **state)
{
	(void)state;
	writer.runs = true;
	for (unsigned page = 0; page < 8; page++)
		memset(memory + page * PAGE, 10, PAGE);
	send(0, 4);
	assert_string_equal(load(), "P0+4");
	memory[1 * PAGE + 7] = 1;
	alternate(2);
	alternate(3);
	/* Equal, a delta, two that overflow, and four that were never seen. */
	send(0, 8);
	assert_string_equal(load(), "d1 P2+6");
	for (unsigned page = 0; page < 8; page++)
		check_arrived(page);
	check_cache();
	/* An equal page in the middle parts two runs. */
	for (unsigned page = 0; page < 5; page++)
		if (page != 2)
			alternate(page);
	send(0, 5);
	assert_string_equal(load(), "P0+2 P3+2");
	check_cache();
}

/* ---- zero pages ---------------------------------------------------------------------------- */

/* Otherwise the next delta would be from what the destination does not have any more. */
static void a_zero_page_is_the_new_copy(void **state)
{
	(void)state;
	memset(memory + PAGE, 1, 3 * PAGE);
	send(1, 3);
	load();
	zero(0, 3);
	assert_string_equal(load(), "z0 z1 z2");
	check_cache();
	assert_true(is_cached(0) && is_cached(1) && is_cached(2));
	memory[PAGE + 1] = 1;
	send(0, 3);
	assert_string_equal(load(), "d1");
	check_arrived(1);
	check_cache();
}

/* It is no reason to forget a page that is hot. */
static void a_zero_page_pushes_nobody_out(void **state)
{
	(void)state;
	memset(memory + PAGE, 1, PAGE);
	send(1, 1);
	zero(1 + SLOTS, 1);
	load();
	assert_true(is_cached(1));
	check_cache();
	set_generation(3);
	zero(1 + SLOTS, 1);
	load();
	assert_true(is_cached(1 + SLOTS));
	check_cache();
}

/* ---- the last stage ------------------------------------------------------------------------ */

static void the_last_stage_takes_nothing_in(void **state)
{
	(void)state;
	memset(memory + PAGE, 1, 2 * PAGE);
	send(1, 1);
	load();
	deltas.last_stage = true;
	memory[PAGE] = 2;
	/* A hit is a delta all the same. */
	send(1, 2);
	assert_string_equal(load(), "d1 p2");
	check_arrived(1);
	check_arrived(2);
	zero(3, 1);
	load();
	assert_true(is_cached(1) && !is_cached(2) && !is_cached(3));
	assert_int_equal(deltas.cache.num_items, 1);
	check_cache();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_miss_sends_the_copy),
		TEST(a_miss_without_room_sends_the_guests_page),
		TEST(runs_of_misses),
		TEST(an_equal_page_sends_nothing),
		TEST(a_changed_page_sends_what_changed),
		TEST(too_much_changed),
		TEST(pages_of_every_kind_in_a_run),
		TEST(a_zero_page_is_the_new_copy),
		TEST(a_zero_page_pushes_nobody_out),
		TEST(the_last_stage_takes_nothing_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
