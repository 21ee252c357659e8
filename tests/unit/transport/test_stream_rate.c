/* SPDX-License-Identifier: MIT */
/* The rate limit of a stream; the arithmetic has its own test. */
#include "base/clock.h"
#include "transport/stream.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

#define NEVER_SOON 1 /* byte a second: a debt of thousands takes an hour */

static void the_average_holds(void **state)
{
	const uint64_t rate = 4u << 20, run = 64u << 10;
	static uint8_t bytes[64u << 10];
	struct rs_stream *stream = NULL;
	uint64_t began, put = 0, elapsed;

	(void)state;
	assert_int_equal(rs_stream_to_memory(SIZE_MAX, &stream), 0);
	rs_stream_rate_set(stream, rate);
	began = rs_clock_ns();
	while (put < rate) {
		assert_int_equal(rs_stream_rate_wait(stream), 0);
		assert_false(rs_stream_rate_exceeded(stream));
		assert_true(rs_stream_rate_left(stream) <= rate / 10 + 1);
		rs_stream_put_ref(stream, bytes, run);
		put += run;
	}
	elapsed = rs_clock_ns() - began;
	/* However slow the machine, never more than the time's due, a window, and a run. */
	assert_true(put <= rate / 1000 * (elapsed / RS_NS_PER_MS + 1) + rate / 10 + run);
	rs_stream_close(stream, NULL);
}

static void waiting_sends_what_is_queued(void **state)
{
	struct rs_stream *stream = NULL;
	const void *data;

	(void)state;
	assert_int_equal(rs_stream_to_memory(3, &stream), 0);
	rs_stream_rate_set(stream, 10);
	assert_false(rs_stream_rate_exceeded(stream));
	rs_stream_put_u8(stream, 1);
	rs_stream_put_u8(stream, 1);
	assert_true(rs_stream_rate_exceeded(stream));
	assert_int_equal(rs_stream_rate_left(stream), 0);
	assert_int_equal(rs_stream_rate_wait(stream), 0);
	assert_int_equal(rs_stream_memory(stream, &data), 2);

	/* And so it finds out that sending does not work. */
	rs_stream_put_be64(stream, 1);
	assert_int_equal(rs_stream_rate_wait(stream), -ENOSPC);
	rs_stream_close(stream, NULL);
}

struct waiting {
	struct rs_stream *stream;
	int code;
};

static void *wait_for_budget(void *argument)
{
	struct waiting *waiting = argument;

	waiting->code = rs_stream_rate_wait(waiting->stream);
	return NULL;
}

static void a_wait_ends_by_shutdown_or_a_new_rate(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 20; i++) {
		struct waiting waiting = { .code = 1 };
		static uint8_t bytes[10000];
		pthread_t thread;

		assert_int_equal(rs_stream_to_memory(SIZE_MAX, &waiting.stream), 0);
		rs_stream_rate_set(waiting.stream, NEVER_SOON);
		rs_stream_rate_left(waiting.stream);
		rs_stream_put_bytes(waiting.stream, bytes, sizeof(bytes));
		assert_int_equal(pthread_create(&thread, NULL, wait_for_budget, &waiting), 0);
		usleep(i / 4 * 500);
		if (i % 4 == 0)
			rs_stream_shutdown(waiting.stream);
		else
			rs_stream_rate_set(waiting.stream, i % 4 == 1 ? 0 : 1u << 30);
		pthread_join(thread, NULL);
		assert_int_equal(waiting.code, i % 4 == 0 ? -ECANCELED : 0);
		rs_stream_close(waiting.stream, NULL);
	}
}

static void *wait_for_wake(void *opaque)
{
	struct waiting *waiting = opaque;

	waiting->code = rs_stream_wait_for_wake(waiting->stream, false);
	return NULL;
}

/* Before it, in it, or by a shutdown. A wake that nobody waited for is kept, once. */
static void a_wait_ends_by_a_wake(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 60; i++) {
		struct waiting waiting = { .code = 1 };
		pthread_t thread;

		assert_int_equal(rs_stream_to_memory(SIZE_MAX, &waiting.stream), 0);
		assert_int_equal(pthread_create(&thread, NULL, wait_for_wake, &waiting), 0);
		usleep(i / 3 * 50);
		if (i % 3 == 0)
			rs_stream_shutdown(waiting.stream);
		else
			rs_stream_wake(waiting.stream);
		pthread_join(thread, NULL);
		assert_int_equal(waiting.code, i % 3 == 0 ? -ECANCELED : 0);
		rs_stream_close(waiting.stream, NULL);
	}
}

/* With budget there is nothing to wait for, and a wake ends the wait for some. */
static void a_wait_for_budget_or_a_wake(void **state)
{
	static const uint8_t bytes[1000];
	struct rs_stream *stream;

	(void)state;
	assert_int_equal(rs_stream_to_memory(SIZE_MAX, &stream), 0);
	assert_int_equal(rs_stream_wait_for_wake(stream, true), 0);
	rs_stream_rate_set(stream, NEVER_SOON);
	rs_stream_rate_left(stream);
	rs_stream_put_bytes(stream, bytes, sizeof(bytes));
	rs_stream_wake(stream);
	assert_int_equal(rs_stream_wait_for_wake(stream, true), 0);
	assert_true(rs_stream_rate_exceeded(stream));
	rs_stream_rate_forgive(stream, sizeof(bytes));
	assert_int_equal(rs_stream_wait_for_wake(stream, true), 0);
	rs_stream_rate_set(stream, 200 * 100);
	rs_stream_rate_set_windows(stream, 200);
	assert_int_equal(rs_stream_rate_left(stream), 100);
	rs_stream_close(stream, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_average_holds),
		cmocka_unit_test(waiting_sends_what_is_queued),
		cmocka_unit_test(a_wait_ends_by_shutdown_or_a_new_rate),
		cmocka_unit_test(a_wait_ends_by_a_wake),
		cmocka_unit_test(a_wait_for_budget_or_a_wake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
