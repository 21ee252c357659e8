/* SPDX-License-Identifier: MIT */
/*
 * Regions that come, go or shrink while deltas are sent: the migration ends and names the region, and
 * the next one, with other content under the same name, is right.
 */
#include "save/save.h"
#include "support/plain_region.h"

#include <ramsync/ramsync.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#define PAGE 4096u
#define PAGES 16u
#define BYTES (PAGES * PAGE)
#define STREAM_BYTES (1u << 20)

struct end {
	struct rs_state *state;
	uint8_t *memory[2];
	struct rs_region *regions[2]; /* "stays" and "moves" */
};

static struct end from, to;

static void add(struct end *end, unsigned index, const char *name)
{
	const struct rs_region_config config = {
		.size = sizeof(config),
		.name = name,
		.host = end->memory[index],
		.used_bytes = BYTES / 2,
		.max_bytes = BYTES,
	};

	assert_int_equal(rs_region_add(end->state, &config, &end->regions[index]), 0);
}

static void open_end(struct end *end)
{
	end->state = plain_state(PAGE);
	for (unsigned i = 0; i < 2; i++) {
		end->memory[i] = plain_memory_map(BYTES);
		add(end, i, i == 0 ? "stays" : "moves");
	}
}

static void close_end(struct end *end)
{
	rs_state_destroy(end->state);
	for (unsigned i = 0; i < 2; i++)
		plain_memory_unmap(end->memory[i], BYTES);
}

static int setup(void **state)
{
	(void)state;
	open_end(&from);
	open_end(&to);
	assert_int_equal(rs_param_set(from.state, "xbzrle", "on"), 0);
	assert_int_equal(rs_param_set(from.state, "xbzrle-cache-size", "1M"), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	close_end(&from);
	close_end(&to);
	return 0;
}

/* ---- bodies -------------------------------------------------------------------------------- */

static int carry(int (*save)(struct rs_state *state, struct rs_stream *stream))
{
	struct rs_stream *out, *in;
	const void *data;

	assert_int_equal(rs_stream_to_memory(STREAM_BYTES, &out), 0);
	int result = save(from.state, out);

	if (result >= 0) {
		ssize_t bytes = rs_stream_memory(out, &data);

		assert_int_equal(rs_stream_from_memory(data, (size_t)bytes, &in), 0);
		assert_int_equal(rs_load(to.state, in, RS_RAM_SECTION_VERSION), 0);
		rs_stream_close(in, NULL);
	}
	rs_stream_close(out, NULL);
	return result;
}

static void write_all(uint8_t value)
{
	for (unsigned i = 0; i < 2; i++)
		for (unsigned page = 0; page < PAGES; page++)
			memset(from.memory[i] + page * PAGE, value + (int)page, PAGE);
}

/* One byte of each page. */
static void touch(void)
{
	for (unsigned i = 0; i < 2; i++) {
		for (unsigned page = 0; page < PAGES / 2; page++)
			from.memory[i][page * PAGE + 77]++;
		rs_dirty_mark(from.regions[i], 0, BYTES / 2);
	}
}

/* Until there are deltas. */
static void begin(void)
{
	static const struct rs_load_ops ops = { .size = sizeof(ops) };
	struct rs_stats stats = { .size = sizeof(stats) };

	assert_int_equal(rs_load_setup(to.state, &ops, NULL), 0);
	assert_int_equal(carry(rs_save_setup), 0);
	for (unsigned round = 0; round < 4; round++) {
		assert_int_equal(carry(rs_save_iterate), 1);
		touch();
		assert_int_equal(rs_save_pending(from.state, RS_PENDING_EXACT, NULL, NULL), 0);
	}
	rs_stats_get(from.state, &stats);
	assert_int_equal(stats.xbzrle_cache_miss, PAGES);
	assert_int_equal(stats.xbzrle_pages, 2 * PAGES);
	assert_int_equal(stats.xbzrle_overflow, 0);
}

static void end(void)
{
	rs_save_cleanup(from.state);
	rs_load_cleanup(to.state);
}

/* From here on the migration only fails; the next one arrives. */
static void check_failed_and_again(const char *text)
{
	assert_int_equal(carry(rs_save_iterate), -ESTALE);
	plain_error_check(from.state, RS_ERROR_OF_MIGRATION, text);
	end();
}

static void check_arrives(void)
{
	begin();
	assert_int_equal(carry(rs_save_complete), 0);
	end();
	for (unsigned i = 0; i < 2; i++)
		assert_memory_equal(from.memory[i], to.memory[i], BYTES / 2);
}

/* ---- changes ------------------------------------------------------------------------------- */

static void one_goes_and_comes_back(void **state)
{
	(void)state;
	write_all(1);
	begin();
	assert_int_equal(rs_region_remove(from.regions[1]), 0);
	check_failed_and_again("region moves was removed during the migration");
	write_all(100);
	add(&from, 1, "moves");
	check_arrives();
}

static void one_comes(void **state)
{
	struct rs_region *extra;

	(void)state;
	write_all(1);
	begin();
	extra = plain_region_add(from.state, "extra", from.memory[0], BYTES, 0);
	check_failed_and_again("region extra was added during the migration");
	assert_int_equal(rs_region_remove(extra), 0);
	write_all(50);
	check_arrives();
}

static void one_shrinks(void **state)
{
	(void)state;
	write_all(1);
	begin();
	assert_int_equal(rs_region_resize(from.regions[1], PAGE), 0);
	check_failed_and_again("region moves was resized during the migration");
	assert_int_equal(rs_region_resize(from.regions[1], BYTES / 2), 0);
	write_all(30);
	check_arrives();
}

/* No two pages that ever were have the same key. */
static void keys_are_never_used_again(void **state)
{
	uint64_t ends = 0;

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		const struct rs_region *region = from.regions[1];

		assert_true(region->ram_address >= ends);
		ends = region->ram_address + BYTES;
		assert_int_equal(rs_region_remove(from.regions[1]), 0);
		add(&from, 1, "moves");
	}
}

/* All that was said of pages up to 16 KiB does not hold for larger ones. */
static void large_pages_are_refused(void **state)
{
	static const uint32_t sizes[] = { 1024, 4096, 16384, 32768, 65536 };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct rs_state *other = plain_state(sizes[i]);
		struct rs_stream *stream;
		bool fits = sizes[i] <= 16384;

		plain_region_add(other, "r", from.memory[0], BYTES, 0);
		assert_int_equal(rs_param_set(other, "xbzrle", "on"), 0);
		assert_int_equal(rs_stream_to_memory(STREAM_BYTES, &stream), 0);
		assert_int_equal(rs_save_setup(other, stream), fits ? 0 : -EINVAL);
		if (!fits)
			plain_error_check(other, RS_ERROR_OF_MIGRATION, "parameter xbzrle: pages");
		rs_save_cleanup(other);
		/* Switched off it is no reason. */
		assert_int_equal(rs_param_set(other, "xbzrle", "off"), 0);
		rs_stream_close(stream, NULL);
		assert_int_equal(rs_stream_to_memory(STREAM_BYTES, &stream), 0);
		assert_int_equal(rs_save_setup(other, stream), 0);
		rs_save_cleanup(other);
		rs_stream_close(stream, NULL);
		rs_state_destroy(other);
	}
}

/* It cannot be switched while a migration runs; the size can be set. */
static void what_may_change_meanwhile(void **state)
{
	(void)state;
	write_all(1);
	begin();
	assert_int_equal(rs_param_set(from.state, "xbzrle", "off"), -EBUSY);
	plain_error_check(from.state, RS_ERROR_OF_CALL, "xbzrle");
	assert_int_equal(rs_param_set(from.state, "xbzrle-cache-size", "3M"), -EINVAL);
	assert_int_equal(rs_param_set(from.state, "xbzrle-cache-size", "2M"), 0);
	assert_int_equal(carry(rs_save_iterate), 1);
	assert_int_equal(from.state->save->deltas.cache.max_num_items, (2u << 20) / PAGE);
	assert_int_equal(carry(rs_save_complete), 0);
	end();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(one_goes_and_comes_back),
		TEST(one_comes),
		TEST(one_shrinks),
		TEST(keys_are_never_used_again),
		TEST(large_pages_are_refused),
		TEST(what_may_change_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
