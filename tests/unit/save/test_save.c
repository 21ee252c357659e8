/* SPDX-License-Identifier: MIT */
#include "save/save.h"

#include "support/fake_stream.h"
#include "support/plain_region.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define PAGE 4096u
#define PAGES 8u

static uint8_t *memory;
static struct rs_stream *stream;
static struct rs_region *region;

static int setup(void **state)
{
	memory = plain_memory_map(PAGES * PAGE);
	*state = plain_state(PAGE);
	region = plain_region_add(*state, "r", memory, PAGES * PAGE, 0);
	return rs_stream_to_memory(1 << 20, &stream);
}

static int teardown(void **state)
{
	rs_session_detach(*state);
	rs_ram_save_cleanup(*state);
	rs_session_close(*state);
	rs_state_destroy(*state);
	rs_stream_close(stream, NULL);
	plain_memory_unmap(memory, PAGES * PAGE);
	return 0;
}

static int begin(struct rs_state *state, bool runs)
{
	rs_session_open(state);
	assert_int_equal(rs_session_attach(state, stream), 0);
	return rs_ram_save_setup(state, stream, runs);
}

static void end(struct rs_state *state)
{
	rs_session_detach(state);
	rs_ram_save_cleanup(state);
	rs_session_close(state);
}

/* ---- bytes --------------------------------------------------------------------------------- */

static uint8_t expected[1 << 17];
static size_t expected_bytes;

static void expect(const void *bytes, size_t count)
{
	memcpy(expected + expected_bytes, bytes, count);
	expected_bytes += count;
}

#define EXPECT(...) expect((const uint8_t[]){ __VA_ARGS__ }, sizeof((uint8_t[]){ __VA_ARGS__ }))
#define EXPECT_WORD(high, low) EXPECT(0, 0, 0, 0, 0, 0, high, low)

static void check_stream(void)
{
	const void *data;
	ssize_t bytes = rs_stream_memory(stream, &data);

	assert_int_equal(bytes, expected_bytes);
	assert_memory_equal(data, expected, expected_bytes);
}

static void mark(uint64_t page)
{
	rs_dirty_mark(region, page * PAGE, 1);
}

/* Set-up, a pass with everything, one with what was written meanwhile, and the last. */
static void the_bodies_of_a_migration(void **state)
{
	uint64_t left;

	expected_bytes = 0;
	memset(memory + 2 * PAGE, 0x22, PAGE);
	memset(memory + 7 * PAGE, 0x77, PAGE);
	assert_int_equal(begin(*state, false), 0);
	EXPECT(0, 0, 0, 0, 0, 0, 0x80, 0x04, 1, 'r', 0, 0, 0, 0, 0, 0, 0x80, 0);
	EXPECT_WORD(0, 0x10);
	check_stream();

	assert_int_equal(rs_ram_save_iterate(*state, stream), 1);
	EXPECT_WORD(0, 0x02);
	EXPECT(1, 'r', 0);
	EXPECT_WORD(0x10, 0x22);
	EXPECT(0);
	EXPECT_WORD(0x20, 0x28);
	expect(memory + 2 * PAGE, PAGE);
	for (uint8_t page = 3; page < 7; page++) {
		EXPECT_WORD((uint8_t)(page << 4), 0x22);
		EXPECT(0);
	}
	EXPECT_WORD(0x70, 0x28);
	expect(memory + 7 * PAGE, PAGE);
	EXPECT_WORD(0, 0x10);
	check_stream();

	memset(memory + 5 * PAGE, 0x55, PAGE);
	mark(5);
	/* Not before a sync has found it. */
	assert_int_equal(rs_ram_save_iterate(*state, stream), 1);
	EXPECT_WORD(0, 0x10);
	check_stream();
	assert_int_equal(rs_ram_save_pending(*state, RS_PENDING_ESTIMATE, &left), 0);
	assert_int_equal(left, 0);
	assert_int_equal(rs_ram_save_pending(*state, RS_PENDING_EXACT, &left), 0);
	assert_int_equal(left, PAGE);
	assert_int_equal(rs_ram_save_iterate(*state, stream), 1);
	EXPECT_WORD(0x50, 0x28);
	expect(memory + 5 * PAGE, PAGE);
	EXPECT_WORD(0, 0x10);
	check_stream();

	/* The last one syncs by itself. A page that became zero is sent as such. */
	memset(memory + 2 * PAGE, 0, PAGE);
	mark(2);
	assert_int_equal(rs_ram_save_complete(*state, stream), 0);
	EXPECT_WORD(0x20, 0x22);
	EXPECT(0);
	EXPECT_WORD(0, 0x10);
	check_stream();
	assert_int_equal(rs_counter_get(((struct rs_state *)*state)->counters.dirty_sync_count), 3);
}

/* Between calls a region may be removed: whoever does that waits for no pin. */
static void between_calls_nothing_is_pinned(void **state)
{
	memset(memory, 1, PAGE);
	assert_int_equal(begin(*state, true), 0);
	assert_int_equal(region->pins, 0);
	assert_int_equal(rs_ram_save_iterate(*state, stream), 1);
	assert_int_equal(region->pins, 0);
	mark(0);
	assert_int_equal(rs_ram_save_complete(*state, stream), 0);
	assert_int_equal(region->pins, 0);
}

/* ---- again --------------------------------------------------------------------------------- */

static void the_next_attempt_begins_anew(void **state)
{
	uint64_t left;

	assert_int_equal(begin(*state, true), 0);
	assert_int_equal(rs_ram_save_iterate(*state, stream), 1);
	end(*state);
	assert_int_equal(((struct rs_state *)*state)->dirty_pages, 0);
	/* Harmless without anything to clean up. */
	rs_ram_save_cleanup(*state);
	assert_int_equal(begin(*state, true), 0);
	assert_int_equal(rs_ram_save_pending(*state, RS_PENDING_ESTIMATE, &left), 0);
	assert_int_equal(left, PAGES * PAGE);
}

/* ---- regions that cannot be saved ---------------------------------------------------------- */

static void no_region(void **state)
{
	assert_int_equal(rs_region_remove(region), 0);
	assert_int_equal(begin(*state, false), -EINVAL);
	assert_string_equal(plain_error_text(*state, RS_ERROR_OF_MIGRATION),
			    "there is no region to save");
}

static void an_ignored_region_needs_the_parameter(void **state)
{
	uint64_t left;

	plain_region_add(*state, "i", memory, PAGE, RS_REGION_IGNORED);
	assert_int_equal(begin(*state, false), -EINVAL);
	assert_non_null(
	    strstr(plain_error_text(*state, RS_ERROR_OF_MIGRATION), "region i is ignored"));
	end(*state);
	/* With it, it is listed, and none of its pages is sent. */
	assert_int_equal(rs_param_set(*state, "x-ignore-shared", "on"), 0);
	rs_stream_close(stream, NULL);
	assert_int_equal(rs_stream_to_memory(1 << 20, &stream), 0);
	assert_int_equal(begin(*state, false), 0);
	assert_int_equal(rs_ram_save_pending(*state, RS_PENDING_ESTIMATE, &left), 0);
	assert_int_equal(left, PAGES * PAGE);
	expected_bytes = 0;
	EXPECT(0, 0, 0, 0, 0, 0, 0x90, 0x04);
	EXPECT(1, 'r', 0, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	EXPECT(1, 'i', 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	EXPECT_WORD(0, 0x10);
	check_stream();
}

/* ---- what fails ---------------------------------------------------------------------------- */

struct failing {
	int start_code, sync_code, clear_code;
	int running;
};

static int failing_start(void *opaque, struct rs_region *of, void **cookie, struct rs_error *error)
{
	struct failing *failing = opaque;

	(void)of, (void)cookie, (void)error;
	failing->running += failing->start_code == 0;
	return failing->start_code;
}

static int failing_sync(void *opaque, struct rs_region *of, void *cookie,
			struct rs_dirty_sink *sink, struct rs_error *error)
{
	(void)of, (void)cookie, (void)sink, (void)error;
	return ((struct failing *)opaque)->sync_code;
}

static int failing_clear(void *opaque, struct rs_region *of, void *cookie, uint64_t offset,
			 uint64_t bytes, struct rs_error *error)
{
	(void)of, (void)cookie, (void)offset, (void)bytes, (void)error;
	return ((struct failing *)opaque)->clear_code;
}

static void failing_stop(void *opaque, struct rs_region *of, void *cookie)
{
	(void)of, (void)cookie;
	((struct failing *)opaque)->running--;
}

static const struct rs_dirty_log_ops failing_ops = { .size = sizeof(failing_ops),
						     .start = failing_start,
						     .sync = failing_sync,
						     .clear = failing_clear,
						     .stop = failing_stop };

static void a_log_that_fails(void **state)
{
	static const struct {
		struct failing failing;
		int setup, iterate, complete;
		const char *text;
	} cases[] = {
		{ { .start_code = -ENODEV }, -ENODEV, 0, 0, "cannot start" },
		{ { .sync_code = -ENODEV }, -ENODEV, 0, 0, "cannot sync" },
		{ { .clear_code = -ENODEV }, 0, -ENODEV, 0, "cannot clear" },
		{ { .clear_code = -ENODEV }, 0, 0, -ENODEV, "cannot clear" },
	};
	struct failing failing;

	assert_int_equal(rs_region_add_dirty_log(region, &failing_ops, &failing), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int result = cases[i].setup;

		failing = cases[i].failing;
		rs_stream_close(stream, NULL);
		assert_int_equal(rs_stream_to_memory(1 << 20, &stream), 0);
		assert_int_equal(begin(*state, true), cases[i].setup);
		if (cases[i].iterate != 0)
			result = rs_ram_save_iterate(*state, stream);
		else if (cases[i].complete != 0)
			result = rs_ram_save_complete(*state, stream);
		assert_int_equal(result, -ENODEV);
		assert_non_null(
		    strstr(plain_error_text(*state, RS_ERROR_OF_MIGRATION), cases[i].text));
		/* A body that was begun must not look whole to a reader. */
		if (cases[i].setup == 0)
			assert_int_not_equal(rs_stream_error(stream, NULL), 0);
		end(*state);
		assert_int_equal(failing.running, 0);
	}
}

/* A full disk, at any byte: its own errno, and the next attempt is not disturbed. */
static void a_stream_that_fails(void **state)
{
	(void)state;
	memset(memory, 1, 4 * PAGE);
	for (uint64_t at = 0; at < 5 * PAGE; at += at < 64 ? 1 : 499) {
		const struct fake_options full = { .write_fail_code = -ENOSPC,
						   .write_fail_at = at };
		struct rs_stream *reader;
		int result;

		rs_stream_close(stream, NULL);
		assert_int_equal(fake_stream_pipe(&full, &stream, &reader), 0);
		result = begin(*state, true);
		if (result == 0)
			result = rs_ram_save_iterate(*state, stream);
		if (at >= 4 * PAGE + 64) {
			assert_int_equal(result, 1);
		} else {
			assert_int_equal(result, -ENOSPC);
			assert_non_null(strstr(plain_error_text(*state, RS_ERROR_OF_MIGRATION),
					       "No space left"));
		}
		end(*state);
		assert_int_equal(region->pins, 0);
		rs_stream_close(reader, NULL);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_bodies_of_a_migration),
		TEST(between_calls_nothing_is_pinned),
		TEST(the_next_attempt_begins_anew),
		TEST(no_region),
		TEST(an_ignored_region_needs_the_parameter),
		TEST(a_log_that_fails),
		TEST(a_stream_that_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
