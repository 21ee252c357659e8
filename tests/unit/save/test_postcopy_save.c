/* SPDX-License-Identifier: MIT */
/* Postcopy at the source, by one thread: what is discarded and sent, in what order. */
#include "postcopy_subject.h"

#include "transport/stream.h"

/* ---- check --------------------------------------------------------------------------------- */

static void regions_that_postcopy_cannot_have(void **state)
{
	static const struct subject_size plain = { 4096, 4096 };
	struct rs_region *odd;
	struct rs_region_config config = { .size = sizeof(config),
					   .name = "odd",
					   .used_bytes = HUGE + 4096,
					   .host_page_bytes = HUGE };

	(void)state;
	subject_open(&plain, false);
	assert_int_equal(rs_ram_save_check_postcopy(subject.state), 0);
	subject_close();

	subject_open(&plain, false);
	rs_session_close(subject.state);
	config.host = subject.memory[0];
	assert_int_equal(rs_region_add(subject.state, &config, &odd), 0);
	assert_int_equal(rs_ram_save_check_postcopy(subject.state), -EINVAL);
	plain_error_check(subject.state, RS_ERROR_OF_MIGRATION,
			  "region odd: its 2101248 bytes are no whole pages of 2097152");
	subject_close();

	subject.state = plain_state(4096);
	assert_int_equal(rs_param_set(subject.state, "x-ignore-shared", "on"), 0);
	assert_int_equal(rs_ram_save_check_postcopy(subject.state), -EINVAL);
	plain_error_check(subject.state, RS_ERROR_OF_MIGRATION, "x-ignore-shared");
	rs_state_destroy(subject.state);
}

/* ---- discards ------------------------------------------------------------------------------ */

/* Whole units, each told of once, however many calls; and what is told of is what is left. */
static void discards_tell_of_what_is_left(const struct subject_size *size)
{
	uint64_t unit;
	int result;

	subject_open(size, false);
	unit = rs_placement_pages(subject.regions[0]);
	/* A body ends in time, on a busy machine before the pass does. */
	do
		result = rs_ram_save_iterate(subject.state, subject.main.stream);
	while (result == 0);
	assert_int_equal(result, 1);
	memset(discarded, 0, sizeof(discarded));
	/* Nothing is dirty. */
	assert_int_equal(rs_ram_save_discard(subject.state, false, note_discard, NULL), 0);
	assert_int_equal(discarded[0][0], 0);
	rs_dirty_mark(subject.regions[0], 5 * unit * size->page_bytes + 1, 1);
	rs_dirty_mark(subject.regions[1], 0, 1);
	assert_int_equal(rs_ram_save_discard(subject.state, false, note_discard, NULL), 0);
	assert_int_equal(discarded[0][0], 0);
	assert_int_equal(discarded[1][unit - 1], 1);
	assert_int_equal(subject.state->dirty_pages, 2 * unit);
	/* Again, and the unit beside it. */
	rs_dirty_mark(subject.regions[1], 0, unit * size->page_bytes + 1);
	assert_int_equal(rs_counter_get(subject.state->counters.final_sync_ns), 0);
	assert_int_equal(rs_ram_save_discard(subject.state, true, note_discard, NULL), 0);
	assert_true(rs_counter_get(subject.state->counters.final_sync_ns) > 0);
	rs_ram_save_begin_postcopy(subject.state);
	for (uint64_t page = 0; page < subject.pages; page++) {
		assert_int_equal(discarded[0][page], page / unit == 5);
		assert_int_equal(discarded[1][page], page / unit <= 1);
	}
	assert_int_equal(subject.state->dirty_pages, 3 * unit);
	subject_close();
}

static void discards(void **state)
{
	/* Of which region "a" has six units at least. */
	static const struct subject_size sizes[] = {
		{ 4096, 4096 }, { 4096, 16384 }, { 4096, 524288 }, { 65536, 4096 }
	};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		discards_tell_of_what_is_left(&sizes[i]);
}

/* ---- sending ------------------------------------------------------------------------------- */

static void everything_is_sent_once(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * SUBJECT_SIZES; i++) {
		uint64_t left;
		int result;

		subject_open(&subject_sizes[i / 2], i % 2 != 0);
		subject_begin();
		for (uint64_t page = 0; page < subject.pages; page++)
			assert_int_equal(discarded[1][page], 1);
		/* What is written now is nobody's business: no sync finds it. */
		rs_dirty_mark(subject.regions[0], 0, 1);
		while ((result = rs_ram_save_iterate(subject.state, subject.main.stream)) == 0)
			continue;
		assert_int_equal(result, 1);
		assert_int_equal(rs_ram_save_pending(subject.state, RS_PENDING_EXACT, &left), 0);
		assert_int_equal(left, 0);
		subject_check_all_came();
		assert_int_equal(rs_ram_save_complete(subject.state, subject.main.stream), 0);
		subject_check_all_came();
		assert_int_equal(rs_counter_get(subject.state->counters.normal) +
				     rs_counter_get(subject.state->counters.duplicate),
				 2 * subject.pages);
		subject_close();
	}
}

static void complete_sends_what_is_left_in_one_body(void **state)
{
	(void)state;
	subject_open(&subject_sizes[1], true);
	subject_begin();
	assert_int_equal(rs_param_set(subject.state, "max-postcopy-bandwidth", "1"), 0);
	assert_int_equal(rs_ram_save_complete(subject.state, subject.main.stream), 0);
	subject_check_all_came();
	assert_int_equal(subject.main.bodies, 1);
	subject_close();
}

/* ---- requests ------------------------------------------------------------------------------ */

static void refused(const char *name, uint64_t start, uint64_t bytes, const char *text)
{
	const struct rs_page_request request = { name, name != NULL ? (uint8_t)strlen(name) : 0,
						 start, (uint32_t)bytes };
	struct rs_error error = { 0 };

	assert_int_equal(rs_ram_save_request(subject.state, &request, &error), -EINVAL);
	if (strstr(error.text, text) == NULL)
		fail_msg("'%s' is not in '%s'", text, error.text);
}

static void requests_that_are_refused(void **state)
{
	struct rs_region *ignored;

	(void)state;
	subject_open(&subject_sizes[1], false);
	refused("a", 0, 16384, "before postcopy began");
	subject_begin();
	refused(NULL, 0x4000, 16384, "offset 0x4000 were asked for, of no region");
	refused("c", 0, 16384, "region c were asked for, which there is not");
	refused("a", 0, 0, "other host pages");
	refused("a", 4096, 16384, "offset 0x1000 of region a were asked for, which has other");
	refused("a", 0, 4096, "4096 bytes at offset 0x0 of region a");
	refused("a", REGION_BYTES, 16384, "shorter");
	refused("a", REGION_BYTES - 16384, 32768, "shorter");
	refused("a", UINT64_MAX - 16383, 16384, "shorter");
	/* A name that was wrong is not gone on with. */
	refused("c", 0, 16384, "region c");
	assert_int_equal(subject_ask(NULL, 0, 16384), 0);
	rs_session_close(subject.state);
	ignored = plain_region_add(subject.state, "i", subject.memory[0], 16384, 0);
	assert_non_null(ignored);
	refused("i", 0, 4096, "not migrated");
	subject_close();
}

static void check_first(size_t index, unsigned region, uint64_t page)
{
	assert_int_equal(subject.main.first[index].region, region);
	assert_int_equal(subject.main.first[index].page, page);
}

/* In the order in which they were asked for, and then on from the first of them. */
static void what_is_asked_for_goes_first(void **state)
{
	(void)state;
	subject_open(&subject_sizes[0], false);
	subject_begin();
	assert_int_equal(subject_ask("b", 100 * 4096, 4096), 0);
	assert_int_equal(subject_ask("a", 7 * 4096, 8192), 0);
	assert_int_equal(subject_ask(NULL, 1000 * 4096, 4096), 0);
	assert_int_equal(rs_ram_save_complete(subject.state, subject.main.stream), 0);
	subject_check_all_came();
	check_first(0, 1, 100);
	check_first(1, 0, 7);
	check_first(2, 0, 8);
	check_first(3, 0, 1000);
	check_first(4, 1, 101);
	check_first(5, 1, 102);
	assert_int_equal(rs_counter_get(subject.state->counters.postcopy_requests), 3);
	subject_close();
}

/* A request of host pages is served in whole units, also if the target's pages are larger. */
static void units_are_served(void **state)
{
	(void)state;
	subject_open(&subject_sizes[3], false);
	subject_begin();
	assert_int_equal(subject_ask("a", 65536 - 4096, 8192), 0);
	assert_int_equal(rs_ram_save_serve(subject.state, subject.main.stream), 0);
	subject_read(&subject.main);
	assert_int_equal(subject.main.pages, 2);
	check_first(0, 0, 0);
	check_first(1, 0, 1);
	subject_close();
	subject_open(&subject_sizes[4], false);
	subject_begin();
	assert_int_equal(subject_ask("b", HUGE, HUGE), 0);
	assert_int_equal(rs_ram_save_serve(subject.state, subject.main.stream), 0);
	subject_read(&subject.main);
	assert_int_equal(subject.main.pages, HUGE / 65536);
	check_first(0, 1, HUGE / 65536);
	subject_close();
}

static void serving_sends_nothing_else(void **state)
{
	(void)state;
	subject_open(&subject_sizes[1], true);
	subject_begin();
	assert_int_equal(rs_ram_save_serve(subject.state, subject.main.stream), 0);
	subject_read(&subject.main);
	assert_int_equal(subject.main.pages, 0);
	assert_int_equal(subject_ask("b", 32768, 16384), 0);
	assert_int_equal(rs_ram_save_serve(subject.state, subject.main.stream), 0);
	/* What went is not sent again. */
	assert_int_equal(subject_ask("b", 32768, 16384), 0);
	assert_int_equal(rs_ram_save_serve(subject.state, subject.main.stream), 0);
	subject_read(&subject.main);
	assert_int_equal(subject.main.pages, 4);
	assert_int_equal(subject_ask("a", 0, REGION_BYTES), 0);
	assert_int_equal(subject_ask("b", 0, REGION_BYTES), 0);
	assert_int_equal(rs_ram_save_serve(subject.state, subject.main.stream), 1);
	subject_check_all_came();
	subject_close();
}

static void more_requests_than_fit(void **state)
{
	struct test_random random = { 3 };

	(void)state;
	subject_open(&subject_sizes[0], false);
	subject_begin();
	for (unsigned i = 0; i < 100000; i++)
		assert_int_equal(subject_ask(test_random_below(&random, 2) != 0 ? "a" : "b",
					     test_random_below(&random, MOST_PAGES) * 4096, 4096),
				 0);
	assert_int_equal(rs_ram_save_serve(subject.state, subject.main.stream), 1);
	subject_check_all_came();
	subject_close();
}

/* ---- the limit ----------------------------------------------------------------------------- */

static void the_limit_is_for_the_background(void **state)
{
	(void)state;
	subject_open(&subject_sizes[0], false);
	subject_begin();
	memset(subject.memory[0], 1, REGION_BYTES);
	/* Nothing more for days, after the first page. */
	assert_int_equal(rs_param_set(subject.state, "max-postcopy-bandwidth", "1"), 0);
	assert_int_equal(rs_ram_save_iterate(subject.state, subject.main.stream), 0);
	assert_int_equal(rs_ram_save_iterate(subject.state, subject.main.stream), 0);
	subject_read(&subject.main);
	assert_int_equal(subject.main.pages, 1);
	/* What is asked for goes, and ends the wait for budget. */
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(subject_ask("a", (100 + 2 * i) * 4096, 4096), 0);
		assert_int_equal(rs_ram_save_wait(subject.state, subject.main.stream, true), 0);
		assert_int_equal(rs_ram_save_iterate(subject.state, subject.main.stream), 0);
		subject_read(&subject.main);
		assert_int_equal(subject.main.pages, 2 + i);
	}
	/* A new limit holds at once, for what does not wait for it and for what does. */
	assert_int_equal(rs_param_set(subject.state, "max-postcopy-bandwidth", "0"), 0);
	assert_int_equal(rs_ram_save_wait(subject.state, subject.main.stream, true), 0);
	while (rs_ram_save_iterate(subject.state, subject.main.stream) == 0)
		continue;
	subject_check_all_came();
	subject_close();
}

/* Pages that were asked for leave the background's budget as it was. */
static void requests_cost_no_budget(void **state)
{
	(void)state;
	subject_open(&subject_sizes[0], false);
	subject_begin();
	memset(subject.memory[0], 1, REGION_BYTES);
	assert_int_equal(rs_param_set(subject.state, "max-postcopy-bandwidth", "200"), 0);
	assert_int_equal(rs_ram_save_serve(subject.state, subject.main.stream), 0);
	/* Begins the account; a window has a two hundredth. */
	assert_int_equal(rs_stream_rate_left(subject.main.stream), 1);
	assert_int_equal(subject_ask("a", 0, 1 << 20), 0);
	assert_int_equal(rs_ram_save_iterate(subject.state, subject.main.stream), 0);
	subject_read(&subject.main);
	assert_int_equal(subject.main.pages, 256 + 1);
	subject_close();
}

/* ---- after a break ------------------------------------------------------------------------- */

static void what_was_not_received_is_sent_again(const struct subject_size *size, uint64_t seed)
{
	struct test_random random = { seed };
	static uint8_t bitmap[MOST_PAGES / 8];
	uint64_t unit, bytes;

	subject_open(size, seed % 2 != 0);
	unit = rs_placement_pages(subject.regions[0]);
	bytes = rs_received_bitmap_bytes(subject.pages);
	subject_begin();
	assert_int_equal(rs_param_set(subject.state, "max-postcopy-bandwidth", "100000"), 0);
	assert_int_equal(subject_ask("a", REGION_BYTES / 2, HUGE), 0);
	assert_int_equal(rs_ram_save_iterate(subject.state, subject.main.stream), 0);
	/* A request that is lost with the connection. */
	assert_int_equal(subject_ask("b", 0, HUGE), 0);
	rs_stream_close(subject.main.stream, NULL);
	rs_session_detach(subject.state);
	reader_open(&subject.main);
	assert_int_equal(rs_session_attach(subject.state, subject.main.stream), 0);

	for (unsigned region = 0; region < REGIONS; region++) {
		memset(bitmap, 0, sizeof(bitmap));
		for (uint64_t page = 0; page < subject.pages; page++) {
			bool received = test_random_below(&random, 2) != 0;

			/* A unit of which a page is missing comes as a whole. */
			for (uint64_t i = 0; i < unit && page + i < subject.pages; i++)
				subject.main.came[region][page + i] += received;
			if (received)
				for (uint64_t i = 0; i < unit; i++)
					bitmap[(page + i) / 8] |= (uint8_t)(1u << (page + i) % 8);
			else if (unit > 1 && test_random_below(&random, 2) != 0)
				bitmap[page / 8] |= (uint8_t)(1u << page % 8);
			page += unit - 1;
		}
		assert_int_equal(rs_ram_save_take_received(subject.state, subject.regions[region],
							   bitmap, bytes),
				 0);
	}
	rs_ram_save_resume(subject.state);
	/* The name of the last request's region is forgotten too. */
	refused(NULL, 0, size->host_page_bytes, "of no region");
	assert_int_equal(rs_ram_save_serve(subject.state, subject.main.stream), 0);
	subject_read(&subject.main);
	assert_int_equal(subject.main.pages, 0);
	assert_int_equal(rs_ram_save_complete(subject.state, subject.main.stream), 0);
	subject_check_all_came();
	/* The first record had one. */
	assert_true(subject.main.names >= 1);
	subject_close();
}

static void going_on_after_a_break(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4 * SUBJECT_SIZES; seed++)
		what_was_not_received_is_sent_again(&subject_sizes[seed % SUBJECT_SIZES], seed);
}

static void a_received_bitmap_of_another_length(void **state)
{
	static const uint8_t bitmap[MOST_PAGES];

	(void)state;
	subject_open(&subject_sizes[0], false);
	subject_begin();
	assert_int_equal(rs_ram_save_take_received(subject.state, subject.regions[1], bitmap,
						   MOST_PAGES / 8 - 8),
			 -EINVAL);
	plain_error_check(subject.state, RS_ERROR_OF_MIGRATION,
			  "region b: a received bitmap of 248 bytes, of 2048 pages");
	subject_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(regions_that_postcopy_cannot_have),
		cmocka_unit_test(discards),
		cmocka_unit_test(everything_is_sent_once),
		cmocka_unit_test(complete_sends_what_is_left_in_one_body),
		cmocka_unit_test(requests_that_are_refused),
		cmocka_unit_test(what_is_asked_for_goes_first),
		cmocka_unit_test(units_are_served),
		cmocka_unit_test(serving_sends_nothing_else),
		cmocka_unit_test(more_requests_than_fit),
		cmocka_unit_test(the_limit_is_for_the_background),
		cmocka_unit_test(requests_cost_no_budget),
		cmocka_unit_test(going_on_after_a_break),
		cmocka_unit_test(a_received_bitmap_of_another_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
