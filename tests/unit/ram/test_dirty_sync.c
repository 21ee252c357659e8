/* SPDX-License-Identifier: MIT */
#include "ram/dirty_sync.h"

#include "ram/page_cursor.h"
#include "support/plain_region.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define PAGE 4096ull
#define PAGES 300u /* not whole words */
#define ROOM_PAGES 400u

/* A log that reports what it is told to, and keeps count of how it is called. */
struct script {
	int start_code, sync_code, clear_code;
	const char *text; /* goes into the error */
	/* what sync reports */
	void (*report)(struct script *script, struct rs_dirty_sink *sink);
	uint64_t offset, bytes;

	unsigned starts, syncs, stops;
	bool running;
	unsigned clears[ROOM_PAGES]; /* of each page, since the last sync */
	uint64_t clear_bytes_end;    /* of the last clear */
};

static struct rs_region *region;
static uint8_t *memory;

/* The logs of a test, which teardown stops. */
static struct script scripts[3];

static int answer(const struct script *script, int code, struct rs_error *error)
{
	if (code != 0 && script->text != NULL)
		snprintf(error->text, sizeof(error->text), "%s", script->text);
	return code;
}

static int script_start(void *opaque, struct rs_region *of, void **cookie, struct rs_error *error)
{
	struct script *script = opaque;

	assert_ptr_equal(of, region);
	assert_false(script->running);
	script->starts++;
	if (script->start_code == 0)
		script->running = true;
	*cookie = &script->starts;
	return answer(script, script->start_code, error);
}

static int script_sync(void *opaque, struct rs_region *of, void *cookie, struct rs_dirty_sink *sink,
		       struct rs_error *error)
{
	struct script *script = opaque;

	assert_ptr_equal(of, region);
	assert_ptr_equal(cookie, &script->starts);
	assert_true(script->running);
	script->syncs++;
	memset(script->clears, 0, sizeof(script->clears));
	if (script->report != NULL)
		script->report(script, sink);
	return answer(script, script->sync_code, error);
}

static int script_clear(void *opaque, struct rs_region *of, void *cookie, uint64_t offset,
			uint64_t bytes, struct rs_error *error)
{
	struct script *script = opaque;

	assert_ptr_equal(of, region);
	assert_ptr_equal(cookie, &script->starts);
	assert_true(script->running);
	assert_true(bytes > 0 && offset % PAGE == 0 && bytes % PAGE == 0);
	assert_true(offset + bytes <= rs_region_used_bytes(of));
	for (uint64_t page = offset / PAGE; page < (offset + bytes) / PAGE; page++)
		script->clears[page]++;
	script->clear_bytes_end = offset + bytes;
	return answer(script, script->clear_code, error);
}

static void script_stop(void *opaque, struct rs_region *of, void *cookie)
{
	struct script *script = opaque;

	assert_ptr_equal(of, region);
	assert_ptr_equal(cookie, &script->starts);
	assert_true(script->running);
	script->running = false;
	script->stops++;
}

static const struct rs_dirty_log_ops plain_ops = {
	.size = sizeof(plain_ops), .start = script_start, .sync = script_sync, .stop = script_stop
};
static const struct rs_dirty_log_ops clear_ops = { .size = sizeof(clear_ops),
						   .start = script_start,
						   .sync = script_sync,
						   .clear = script_clear,
						   .stop = script_stop };

/* ---- fixture ------------------------------------------------------------------------------- */

static void make_region(struct rs_state *state, uint32_t page_bytes)
{
	const struct rs_region_config config = {
		.size = sizeof(config),
		.name = "r",
		.host = memory,
		.used_bytes = (uint64_t)PAGES * page_bytes,
		.max_bytes = (uint64_t)ROOM_PAGES * page_bytes,
	};

	assert_int_equal(rs_region_add(state, &config, &region), 0);
}

static int setup(void **state)
{
	memset(scripts, 0, sizeof(scripts));
	memory = plain_memory_map(ROOM_PAGES * 65536ull);
	*state = plain_state(4096);
	make_region(*state, 4096);
	rs_session_open(*state);
	return 0;
}

static int teardown(void **state)
{
	rs_dirty_logs_stop(*state);
	rs_session_close(*state);
	rs_state_destroy(*state);
	plain_memory_unmap(memory, ROOM_PAGES * 65536ull);
	return 0;
}

static void add_log(struct script *script, const struct rs_dirty_log_ops *ops)
{
	/* Logs cannot come in the middle of a session. */
	rs_session_close(region->state);
	assert_int_equal(rs_region_add_dirty_log(region, ops, script), 0);
	rs_session_open(region->state);
}

static uint64_t dirty_pages(const struct rs_state *state)
{
	return state->dirty_pages;
}

static void make_clean(struct rs_state *state)
{
	rs_bitmap_clear_range(&region->dirty, 0, region->dirty.bits);
	state->dirty_pages = 0;
}

static uint64_t sync_now(struct rs_state *state)
{
	uint64_t newly_dirty = 0;

	assert_int_equal(rs_dirty_sync(state, &newly_dirty), 0);
	assert_int_equal(rs_bitmap_count(&region->dirty), dirty_pages(state));
	return newly_dirty;
}

/* ---- start, sync, stop --------------------------------------------------------------------- */

static void every_page_is_dirty_at_first(void **state)
{
	assert_int_equal(rs_dirty_logs_start(*state), 0);
	assert_int_equal(dirty_pages(*state), PAGES);
	assert_int_equal(rs_bitmap_count(&region->dirty), PAGES);
	/* The first sync finds nothing new. */
	assert_int_equal(sync_now(*state), 0);
	assert_int_equal(rs_counter_get(((struct rs_state *)*state)->counters.dirty_sync_count), 1);
}

static void ignored_regions_have_no_dirty_page(void **state)
{
	struct rs_region *ignored;

	rs_session_close(*state);
	ignored = plain_region_add(*state, "ignored", memory, 8 * PAGE, RS_REGION_IGNORED);
	rs_session_open(*state);
	assert_int_equal(rs_dirty_logs_start(*state), 0);
	assert_int_equal(dirty_pages(*state), PAGES);
	assert_null(ignored->dirty.words);
	rs_dirty_mark(ignored, 0, 8 * PAGE);
	assert_int_equal(sync_now(*state), 0);
}

static void marks_are_a_log(void **state)
{
	assert_int_equal(rs_dirty_logs_start(*state), 0);
	make_clean(*state);
	rs_dirty_mark(region, 5 * PAGE + 17, 1);
	rs_dirty_mark(region, 5 * PAGE, 1);
	rs_dirty_mark(region, 63 * PAGE, 2 * PAGE);
	assert_int_equal(sync_now(*state), 3);
	assert_true(rs_bitmap_test(&region->dirty, 5));
	assert_true(rs_bitmap_test(&region->dirty, 63));
	assert_true(rs_bitmap_test(&region->dirty, 64));
	/* Dirty already: not newly dirty. */
	rs_dirty_mark(region, 5 * PAGE, 2 * PAGE);
	assert_int_equal(sync_now(*state), 1);
}

/* A mark that raced with the end of the last session, when the region was longer. */
static void marks_past_the_end_count_for_nothing(void **state)
{
	assert_int_equal(rs_dirty_logs_start(*state), 0);
	make_clean(*state);
	rs_marks_set_range(&region->marks, PAGES - 1, 5);
	rs_marks_set_range(&region->marks, ROOM_PAGES - 1, 1);
	assert_int_equal(sync_now(*state), 1);
	assert_true(rs_bitmap_test(&region->dirty, PAGES - 1));
}

static void report_its_range(struct script *script, struct rs_dirty_sink *sink)
{
	rs_dirty_report_range(sink, script->offset, script->bytes);
}

static void several_logs_are_ored(void **state)
{
	scripts[0] = (struct script){ .report = report_its_range, .bytes = 2 * PAGE };
	scripts[1] =
	    (struct script){ .report = report_its_range, .offset = PAGE, .bytes = 2 * PAGE };
	scripts[2] =
	    (struct script){ .report = report_its_range, .offset = 299 * PAGE, .bytes = 1 };
	add_log(&scripts[0], &plain_ops);
	add_log(&scripts[1], &clear_ops);
	add_log(&scripts[2], &plain_ops);
	assert_int_equal(rs_dirty_logs_start(*state), 0);
	make_clean(*state);
	rs_dirty_mark(region, 200 * PAGE, 1);
	assert_int_equal(sync_now(*state), 5);
	assert_int_equal(region->dirty.words[0], 0x7);
	assert_true(rs_bitmap_test(&region->dirty, 200));
	assert_true(rs_bitmap_test(&region->dirty, 299));
	rs_dirty_logs_stop(*state);
	assert_int_equal(scripts[0].stops + scripts[1].stops + scripts[2].stops, 3);
	assert_int_equal(dirty_pages(*state), 0);
	/* And once more, in the next migration. */
	assert_int_equal(rs_dirty_logs_start(*state), 0);
	assert_int_equal(dirty_pages(*state), PAGES);
	assert_int_equal(scripts[0].starts, 2);
}

/* ---- failures ------------------------------------------------------------------------------ */

static void a_failure_is_named(void **state)
{
	static const struct {
		const char *what;
		size_t code;
		const char *said, *text;
	} cases[] = {
		{ "start", offsetof(struct script, start_code), "no memory slot 3",
		  "region r: cannot start its dirty log: no memory slot 3" },
		{ "start", offsetof(struct script, start_code), NULL,
		  "region r: cannot start its dirty log: Input/output error" },
		{ "sync", offsetof(struct script, sync_code), "KVM says no",
		  "region r: cannot sync its dirty log: KVM says no" },
		{ "clear", offsetof(struct script, clear_code), NULL,
		  "region r: cannot clear its dirty log: Input/output error" },
	};
	struct script *good = &scripts[0], *bad = &scripts[1];

	add_log(good, &clear_ops);
	add_log(bad, &clear_ops);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t newly_dirty;
		int result;

		print_message("%s\n", cases[i].what);
		*good = *bad = (struct script){ 0 };
		*(int *)(void *)((char *)bad + cases[i].code) = -EIO;
		bad->text = cases[i].said;
		rs_session_open(*state);
		result = rs_dirty_logs_start(*state);
		if (result == 0)
			result = rs_dirty_sync(*state, &newly_dirty);
		if (result == 0)
			result = rs_dirty_logs_clear(region, 7, 1);
		assert_int_equal(result, -EIO);
		assert_int_equal(rs_session_code(*state), -EIO);
		assert_string_equal(plain_error_text(*state, RS_ERROR_OF_MIGRATION), cases[i].text);
		rs_dirty_logs_stop(*state);
		/* One stop for each successful start, whatever came between. */
		assert_int_equal(good->stops, good->starts);
		assert_int_equal(bad->stops, bad->start_code == 0 ? bad->starts : 0);
		rs_dirty_logs_stop(*state);
		assert_int_equal(good->stops, good->starts);
		assert_null(region->dirty.words);
	}
}

static void a_removed_region_stops_its_logs(void **state)
{
	struct script *script = &scripts[0];

	add_log(script, &clear_ops);
	assert_int_equal(rs_dirty_logs_start(*state), 0);
	assert_int_equal(rs_region_remove(region), 0);
	assert_int_equal(script->stops, 1);
	assert_int_equal(rs_session_code(*state), -ESTALE);
	rs_dirty_logs_stop(*state);
	assert_int_equal(script->stops, 1);
	rs_session_open(*state);
	make_region(*state, 4096);
}

/* ---- clearing in chunks -------------------------------------------------------------------- */

/* Chunks of 64 pages: 300 pages are five, the last of them cut. */
static void chunks_are_cleared_once(void **state)
{
	struct script *script = &scripts[0], *other = &scripts[1], *plain = &scripts[2];

	rs_session_close(*state);
	assert_int_equal(rs_param_set(*state, "x-clear-bitmap-shift", "6"), 0);
	add_log(script, &clear_ops);
	add_log(plain, &plain_ops);
	add_log(other, &clear_ops);
	assert_int_equal(rs_dirty_logs_start(*state), 0);
	for (unsigned round = 0; round < 3; round++) {
		sync_now(*state);
		assert_int_equal(rs_dirty_logs_clear(region, 10, 1), 0);
		for (unsigned page = 0; page < PAGES; page++) {
			assert_int_equal(script->clears[page], page < 64);
			assert_int_equal(other->clears[page], page < 64);
		}
		/* Again, and into the next chunk. */
		assert_int_equal(rs_dirty_logs_clear(region, 10, 54), 0);
		assert_int_equal(rs_dirty_logs_clear(region, 63, 2), 0);
		assert_int_equal(rs_dirty_logs_clear(region, 299, 1), 0);
		assert_int_equal(script->clear_bytes_end, PAGES * PAGE);
		for (unsigned page = 0; page < PAGES; page++)
			assert_int_equal(script->clears[page], page < 128 || page >= 256);
		assert_int_equal(rs_dirty_logs_clear(region, 0, PAGES), 0);
		for (unsigned page = 0; page < ROOM_PAGES; page++) {
			assert_int_equal(script->clears[page], page < PAGES);
			assert_int_equal(other->clears[page], page < PAGES);
		}
	}
	assert_int_equal(script->syncs, 3);
}

/* Whatever order pages are sent in: when a page is handed out, its chunk was cleared just once
 * since the sync. */
static int leave(void *opaque)
{
	(void)opaque;
	return 0;
}

static void the_cursor_clears_before_it_yields(void **state)
{
	struct script *script = &scripts[0];
	struct rs_page_cursor cursor;
	struct rs_page_run run;
	uint64_t pages = 0;

	rs_session_close(*state);
	assert_int_equal(rs_param_set(*state, "x-clear-bitmap-shift", "6"), 0);
	add_log(script, &clear_ops);
	assert_int_equal(rs_dirty_logs_start(*state), 0);
	sync_now(*state);
	rs_page_cursor_init(&cursor, *state);
	while (rs_page_cursor_next(&cursor, 50, leave, NULL, &run) == 1) {
		for (uint64_t page = run.first; page < run.first + run.count; page++)
			assert_int_equal(script->clears[page], 1);
		pages += run.count;
	}
	rs_page_cursor_release(&cursor);
	assert_int_equal(pages, PAGES);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(every_page_is_dirty_at_first),
		TEST(ignored_regions_have_no_dirty_page),
		TEST(marks_are_a_log),
		TEST(marks_past_the_end_count_for_nothing),
		TEST(several_logs_are_ored),
		TEST(a_failure_is_named),
		TEST(a_removed_region_stops_its_logs),
		TEST(chunks_are_cleared_once),
		TEST(the_cursor_clears_before_it_yields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
