/* SPDX-License-Identifier: MIT */
/* The handlers as a VMM with its own framing uses them. */
#include "support/fake_stream.h"
#include "support/plain_region.h"

#include <ramsync/ramsync.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define PAGE 4096u
#define PAGES 512u
#define BYTES (PAGES * PAGE)

static struct rs_state *source, *destination;
static uint8_t *memory, *copy;
static struct rs_region *region;
static struct rs_stream *stream; /* to memory */

static int setup(void **state)
{
	(void)state;
	memory = plain_memory_map(BYTES);
	copy = plain_memory_map(BYTES);
	source = plain_state(PAGE);
	destination = plain_state(PAGE);
	region = plain_region_add(source, "r", memory, BYTES, 0);
	plain_region_add(destination, "r", copy, BYTES, RS_REGION_FRESH);
	assert_int_equal(rs_stream_to_memory(64 << 20, &stream), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rs_state_destroy(source);
	rs_state_destroy(destination);
	rs_stream_close(stream, NULL);
	plain_memory_unmap(memory, BYTES);
	plain_memory_unmap(copy, BYTES);
	return 0;
}

static struct rs_stats stats_of(const struct rs_state *state)
{
	struct rs_stats stats = { .size = sizeof(stats) };

	assert_int_equal(rs_stats_get(state, &stats), 0);
	return stats;
}

static void write_page(unsigned page, uint8_t byte)
{
	memset(memory + (size_t)page * PAGE, byte, PAGE);
	rs_dirty_mark(region, (uint64_t)page * PAGE, PAGE);
}

/* The VMM's framing: a letter before each body, and a mark behind it. */
static void put_frame(uint8_t kind)
{
	rs_stream_put_u8(stream, kind);
}

static int load_all(void)
{
	struct rs_stream *from;
	const void *data;
	ssize_t bytes = rs_stream_memory(stream, &data);
	int result = 0;

	assert_true(bytes > 0);
	assert_int_equal(rs_stream_from_memory(data, (size_t)bytes, &from), 0);
	assert_int_equal(rs_load_setup(destination, NULL, NULL), 0);
	while (result == 0 && rs_stream_bytes_read(from) < (uint64_t)bytes) {
		uint8_t kind = rs_stream_get_u8(from);

		assert_true(kind == 'S' || kind == 'P' || kind == 'E');
		result = rs_load(destination, from, RS_RAM_SECTION_VERSION);
		assert_int_equal(rs_stream_get_u8(from), '.');
	}
	assert_int_equal(rs_load_cleanup(destination), 0);
	rs_stream_close(from, NULL);
	return result;
}

/* ---- a whole migration --------------------------------------------------------------------- */

static void a_migration_in_ones_own_frames(void **state)
{
	struct rs_stats out, in;
	uint64_t left, postcopy = 1;

	(void)state;
	for (unsigned page = 0; page < PAGES; page += 3)
		memory[(size_t)page * PAGE + page] = 1;
	put_frame('S');
	assert_int_equal(rs_save_setup(source, stream), 0);
	put_frame('.');
	for (unsigned pass = 0; pass < 3; pass++) {
		int result;

		do {
			put_frame('P');
			result = rs_save_iterate(source, stream);
			put_frame('.');
		} while (result == 0);
		assert_int_equal(result, 1);
		write_page(pass * 2, (uint8_t)(pass + 7));
		write_page(300, pass == 1 ? 0 : 5);
		assert_int_equal(rs_save_pending(source, RS_PENDING_EXACT, &left, &postcopy), 0);
		assert_int_equal(left, 2 * PAGE);
		assert_int_equal(postcopy, 0);
	}
	put_frame('E');
	assert_int_equal(rs_save_complete(source, stream), 0);
	put_frame('.');
	out = stats_of(source);
	rs_save_cleanup(source);

	assert_int_equal(load_all(), 0);
	assert_memory_equal(memory, copy, BYTES);
	in = stats_of(destination);
	/* Set-up, three here, completion. */
	assert_int_equal(out.dirty_sync_count, 5);
	assert_int_equal(out.remaining, 0);
	assert_int_equal(out.normal + out.duplicate, PAGES + 6);
	assert_int_equal(in.normal, out.normal);
	assert_int_equal(in.duplicate, out.duplicate);
	assert_int_equal(in.transferred, out.transferred);
	assert_int_equal(in.wire_bytes, out.wire_bytes);
	assert_int_equal(out.total, BYTES);
	assert_int_equal(in.total, BYTES);
	/* The frames are the VMM's, and not counted. */
	assert_true(out.wire_bytes < rs_stream_bytes_written(stream));
}

static void pending_bytes(void **state)
{
	uint64_t left = 1, postcopy = 1;

	(void)state;
	assert_int_equal(rs_save_setup(source, stream), 0);
	assert_int_equal(rs_save_pending(source, RS_PENDING_ESTIMATE, &left, &postcopy), 0);
	assert_int_equal(left, BYTES);
	assert_int_equal(postcopy, 0);
	assert_int_equal(rs_save_iterate(source, stream), 1);
	write_page(3, 1);
	/* An estimate is of the last sync. */
	assert_int_equal(rs_save_pending(source, RS_PENDING_ESTIMATE, &left, NULL), 0);
	assert_int_equal(left, 0);
	assert_int_equal(stats_of(source).dirty_sync_count, 1);
	assert_int_equal(rs_save_pending(source, RS_PENDING_EXACT, &left, NULL), 0);
	assert_int_equal(left, PAGE);
	assert_int_equal(stats_of(source).dirty_sync_count, 2);
	assert_int_equal(stats_of(source).remaining, PAGE);
	/* Neither need be asked for. */
	assert_int_equal(rs_save_pending(source, RS_PENDING_EXACT, NULL, NULL), 0);
	rs_save_cleanup(source);
}

/* Clean: a body of nothing but its end, and 1. */
static void iterate_says_when_it_is_clean(void **state)
{
	uint64_t before;

	(void)state;
	assert_int_equal(rs_save_setup(source, stream), 0);
	assert_int_equal(rs_save_iterate(source, stream), 1);
	before = rs_stream_bytes_written(stream);
	assert_int_equal(rs_save_iterate(source, stream), 1);
	assert_int_equal(rs_stream_bytes_written(stream) - before, 8);
	rs_save_cleanup(source);
}

/* ---- max-bandwidth ------------------------------------------------------------------------- */

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* 2 MiB of content at 4 MiB/s: however the machine dawdles, it cannot take less than some 400 ms,
 * and at no time may more than the rate and a window's worth have gone. */
static void the_rate_holds_over_time(void **state)
{
	uint64_t began = now_ms(), rate = 4 << 20;
	unsigned bodies = 0;
	int result;

	(void)state;
	memset(memory, 1, BYTES);
	assert_int_equal(rs_param_set(source, "max-bandwidth", "4M"), 0);
	assert_int_equal(rs_save_setup(source, stream), 0);
	do {
		result = rs_save_iterate(source, stream);
		assert_in_range(result, 0, 1);
		assert_true(rs_stream_bytes_written(stream) <=
			    (now_ms() - began + 200) * rate / 1000 + 2 * PAGE);
		bodies++;
		assert_int_equal(rs_save_throttle(source, stream), 0);
	} while (result == 0);
	assert_true(now_ms() - began >= 350);
	assert_true(bodies >= 4);
	rs_save_cleanup(source);
}

/* A rate of a byte a second: throttle would wait for hours. */
static void throttle_follows_the_rate(void **state)
{
	(void)state;
	memset(memory, 1, BYTES);
	assert_int_equal(rs_param_set(source, "max-bandwidth", "1"), 0);
	assert_int_equal(rs_save_setup(source, stream), 0);
	assert_int_equal(rs_save_iterate(source, stream), 0);
	assert_int_equal(rs_param_set(source, "max-bandwidth", "0"), 0);
	assert_int_equal(rs_save_throttle(source, stream), 0);
	assert_int_equal(rs_save_iterate(source, stream), 1);
	rs_save_cleanup(source);
}

static void *lift_the_limit(void *argument)
{
	usleep(30000);
	assert_int_equal(rs_param_set(argument, "max-bandwidth", "0"), 0);
	return NULL;
}

static void throttle_follows_the_rate_while_it_waits(void **state)
{
	pthread_t thread;

	(void)state;
	memset(memory, 1, BYTES);
	assert_int_equal(rs_param_set(source, "max-bandwidth", "1"), 0);
	assert_int_equal(rs_save_setup(source, stream), 0);
	assert_int_equal(rs_save_iterate(source, stream), 0);
	assert_int_equal(pthread_create(&thread, NULL, lift_the_limit, source), 0);
	assert_int_equal(rs_save_throttle(source, stream), 0);
	pthread_join(thread, NULL);
	rs_save_cleanup(source);
}

static void *shut_the_stream(void *argument)
{
	usleep(20000);
	rs_stream_shutdown(argument);
	return NULL;
}

static void throttle_is_woken(void **state)
{
	pthread_t thread;

	(void)state;
	memset(memory, 1, BYTES);
	assert_int_equal(rs_param_set(source, "max-bandwidth", "1"), 0);
	assert_int_equal(rs_save_setup(source, stream), 0);
	assert_int_equal(rs_save_iterate(source, stream), 0);
	assert_int_equal(pthread_create(&thread, NULL, shut_the_stream, stream), 0);
	assert_int_equal(rs_save_throttle(source, stream), -ECANCELED);
	pthread_join(thread, NULL);
	rs_save_cleanup(source);
}

/* ---- regions ------------------------------------------------------------------------------- */

static void regions_that_change_between_calls(void **state)
{
	uint8_t *more = plain_memory_map(PAGE);
	struct rs_region *added;

	(void)state;
	assert_int_equal(rs_save_setup(source, stream), 0);
	added = plain_region_add(source, "s", more, PAGE, 0);
	assert_int_equal(rs_save_iterate(source, stream), -ESTALE);
	assert_string_equal(plain_error_text(source, RS_ERROR_OF_MIGRATION),
			    "region s was added during the migration");
	rs_save_cleanup(source);
	assert_int_equal(rs_save_setup(source, stream), 0);
	assert_int_equal(rs_region_remove(added), 0);
	assert_int_equal(rs_save_complete(source, stream), -ESTALE);
	rs_save_cleanup(source);
	plain_memory_unmap(more, PAGE);

	assert_int_equal(rs_load_setup(destination, NULL, NULL), 0);
	assert_int_equal(rs_region_remove(rs_region_find(destination, "r")), 0);
	assert_int_equal(rs_load(destination, stream, 4), -ESTALE);
	assert_int_equal(rs_load_cleanup(destination), 0);
}

static void callbacks_of_another_version(void **state)
{
	struct {
		struct rs_load_ops ops;
		uint64_t tail;
	} later = { .ops = { .size = sizeof(later) }, .tail = 1 };

	(void)state;
	assert_int_equal(rs_load_setup(destination, &later.ops, NULL), -EINVAL);
	later.tail = 0;
	assert_int_equal(rs_load_setup(destination, &later.ops, NULL), 0);
	assert_int_equal(rs_load_cleanup(destination), 0);
}

/* Two sources and two destinations at once, by hand, in one thread. */
static void states_share_nothing(void **state)
{
	struct rs_state *other = plain_state(PAGE);
	uint8_t *others = plain_memory_map(BYTES);
	struct rs_stream *second;

	(void)state;
	plain_region_add(other, "r", others, BYTES, 0);
	assert_int_equal(rs_stream_to_memory(64 << 20, &second), 0);
	assert_int_equal(rs_save_setup(source, stream), 0);
	assert_int_equal(rs_save_setup(other, second), 0);
	assert_int_equal(rs_save_iterate(other, second), 1);
	assert_int_equal(rs_save_iterate(source, stream), 1);
	write_page(9, 9);
	assert_int_equal(rs_save_complete(other, second), 0);
	rs_save_cleanup(other);
	assert_int_equal(rs_save_complete(source, stream), 0);
	assert_int_equal(stats_of(source).normal, 1);
	assert_int_equal(stats_of(other).normal, 0);
	rs_save_cleanup(source);
	rs_stream_close(second, NULL);
	rs_state_destroy(other);
	plain_memory_unmap(others, BYTES);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_migration_in_ones_own_frames),
		TEST(pending_bytes),
		TEST(iterate_says_when_it_is_clean),
		TEST(the_rate_holds_over_time),
		TEST(throttle_follows_the_rate),
		TEST(throttle_follows_the_rate_while_it_waits),
		TEST(throttle_is_woken),
		TEST(regions_that_change_between_calls),
		TEST(callbacks_of_another_version),
		TEST(states_share_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
