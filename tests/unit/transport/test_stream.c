/* SPDX-License-Identifier: MIT */
/* Life, sticky error, shutdown and time-outs of streams, over callbacks. */
#include "support/stream_end.h"
#include "support/fake_stream.h"
#include "transport/stream_core.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

/* Callbacks that do what the test says. */
struct script {
	ssize_t answer; /* of readv and writev; 0 as it is */
	int calls;
	atomic_int shutdowns;
	int closes;
};

static ssize_t scripted(void *opaque, const struct iovec *iov, int count)
{
	struct script *script = opaque;

	(void)iov;
	(void)count;
	script->calls++;
	return script->answer;
}

static void scripted_shutdown(void *opaque)
{
	struct script *script = opaque;

	atomic_fetch_add(&script->shutdowns, 1);
}

static void scripted_close(void *opaque)
{
	struct script *script = opaque;

	script->closes++;
}

static const struct rs_stream_ops script_ops = {
	.size = sizeof(script_ops),
	.readv = scripted,
	.writev = scripted,
	.shutdown = scripted_shutdown,
	.close = scripted_close,
};

static struct rs_stream *scripted_stream(struct script *script)
{
	struct rs_stream *stream = NULL;

	assert_int_equal(rs_stream_create(&script_ops, script, RS_STREAM_TWO_WAY, &stream), 0);
	return stream;
}

static void assert_error(struct rs_stream *stream, int code, const char *text)
{
	struct rs_error error;

	assert_int_equal(rs_stream_error(stream, &error), code);
	assert_int_equal(error.code, code);
	if (strstr(error.text, text) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", error.text, text);
}

static void what_is_missing_or_unknown_is_refused(void **state)
{
	const struct {
		struct rs_stream_ops ops;
		unsigned flags;
		int code;
	} cases[] = {
		{ { 40, scripted, scripted, scripted_shutdown, NULL }, RS_STREAM_TWO_WAY, 0 },
		{ { 40, scripted, NULL, scripted_shutdown, NULL }, RS_STREAM_READ, 0 },
		{ { 40, NULL, scripted, scripted_shutdown, NULL }, RS_STREAM_WRITE, 0 },
		{ { 32, scripted, scripted, scripted_shutdown, NULL }, RS_STREAM_TWO_WAY, 0 },
		{ { 40, NULL, scripted, scripted_shutdown, NULL }, RS_STREAM_TWO_WAY, -EINVAL },
		{ { 40, scripted, NULL, scripted_shutdown, NULL }, RS_STREAM_TWO_WAY, -EINVAL },
		{ { 40, scripted, scripted, NULL, NULL }, RS_STREAM_TWO_WAY, -EINVAL },
		{ { 24, scripted, scripted, scripted_shutdown, NULL }, RS_STREAM_READ, -EINVAL },
		{ { 0, scripted, scripted, scripted_shutdown, NULL }, RS_STREAM_READ, -EINVAL },
		{ { 40, scripted, scripted, scripted_shutdown, NULL }, 0, -EINVAL },
		{ { 40, scripted, scripted, scripted_shutdown, NULL }, 1 << 8 | 1, -EINVAL },
	};
	struct script script = { 0 };
	size_t i;

	(void)state;
	assert_int_equal(sizeof(struct rs_stream_ops), 40);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rs_stream *stream = NULL;

		assert_int_equal(rs_stream_create(&cases[i].ops, &script, cases[i].flags, &stream),
				 cases[i].code);
		if (cases[i].code != 0) {
			assert_null(stream);
			continue;
		}
		assert_int_equal(rs_stream_flags(stream), cases[i].flags);
		assert_int_equal(rs_stream_close(stream, NULL), 0);
	}
	assert_int_equal(script.closes, 0);
}

static void ops_of_a_newer_version_are_taken_if_the_tail_is_zero(void **state)
{
	struct {
		struct rs_stream_ops ops;
		uint64_t tail;
	} newer = { { sizeof(newer), scripted, scripted, scripted_shutdown, NULL }, 0 };
	struct script script = { 0 };
	struct rs_stream *stream = NULL;

	(void)state;
	assert_int_equal(rs_stream_create(&newer.ops, &script, RS_STREAM_READ, &stream), 0);
	rs_stream_close(stream, NULL);
	newer.tail = 1;
	assert_int_equal(rs_stream_create(&newer.ops, &script, RS_STREAM_READ, &stream), -EINVAL);
}

static void the_first_error_stays(void **state)
{
	struct script script = { 0 };
	struct rs_stream *stream = scripted_stream(&script);
	const uint8_t *data;
	char bytes[4] = "abc";

	(void)state;
	assert_error(stream, 0, "");
	assert_int_equal(rs_stream_fail(stream, -EPROTO, "bad %s", "page"), -EPROTO);
	assert_int_equal(rs_stream_fail(stream, -EIO, "later"), -EPROTO);
	rs_stream_shutdown(stream);
	assert_error(stream, -EPROTO, "bad page");

	rs_stream_put_be64(stream, 1);
	rs_stream_put_bytes(stream, bytes, sizeof(bytes));
	rs_stream_put_ref(stream, bytes, sizeof(bytes));
	assert_int_equal(rs_stream_flush(stream), -EPROTO);
	assert_int_equal(rs_stream_bytes_written(stream), 0);
	assert_int_equal(rs_stream_get_bytes(stream, bytes, sizeof(bytes)), -EPROTO);
	assert_memory_equal(bytes, "\0\0\0\0", 4);
	assert_int_equal(rs_stream_get_be64(stream), 0);
	assert_int_equal(rs_stream_peek(stream, &data, 1), -EPROTO);
	assert_int_equal(rs_stream_skip(stream, 1), -EPROTO);
	assert_false(stream_at_end(stream));
	assert_int_equal(rs_stream_rate_wait(stream), -EPROTO);
	assert_int_equal(script.calls, 0);
	assert_int_equal(rs_stream_close(stream, NULL), 0);
	assert_int_equal(script.closes, 1);
}

static void the_errors_of_callbacks_are_told(void **state)
{
	static const struct {
		ssize_t answer;
		bool reading;
		int code;
		const char *text;
	} cases[] = {
		{ -EIO, false, -EIO,
		  "writing the stream failed after 0 bytes: Input/output error" },
		{ -ECONNRESET, true, -ECONNRESET, "reading the stream failed after 0 bytes: Conn" },
		{ 0, false, -EIO, "claims 0 of 8 bytes" },
		{ 9, false, -EIO, "claims 9 of 8 bytes" },
		{ 1 << 20, true, -EIO, "claims 1048576 of" },
		{ 0, true, -ENODATA, "ended after 0 bytes" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct script script = { .answer = cases[i].answer };
		struct rs_stream *stream = scripted_stream(&script);

		if (cases[i].reading)
			rs_stream_get_be64(stream);
		else
			rs_stream_put_be64(stream, 1);
		rs_stream_flush(stream);
		assert_error(stream, cases[i].code, cases[i].text);
		rs_stream_close(stream, NULL);
	}
}

static void asking_again_ends_with_the_stall_timeout(void **state)
{
	bool reading = false;

	(void)state;
	do {
		struct script script = { .answer = -EAGAIN };
		struct rs_stream *stream = scripted_stream(&script);

		rs_stream_set_stall_timeout(stream, 20);
		if (reading) {
			rs_stream_get_u8(stream);
			assert_error(stream, -ETIMEDOUT, "reading stalled: not a byte moved in 20");
		} else {
			rs_stream_put_u8(stream, 1);
			rs_stream_flush(stream);
			assert_error(stream, -ETIMEDOUT, "writing stalled: not a byte moved in 20");
		}
		assert_true(script.calls > 1);
		rs_stream_close(stream, NULL);
		reading = !reading;
	} while (reading);
}

/* A byte each second call. */
static ssize_t byte_then_wait(void *opaque, const struct iovec *iov, int count)
{
	struct script *script = opaque;

	(void)iov;
	(void)count;
	return script->calls++ % 2 == 0 ? -EAGAIN : 1;
}

static void slow_bytes_are_no_stall(void **state)
{
	const struct rs_stream_ops ops = { sizeof(ops), NULL, byte_then_wait, scripted_shutdown,
					   NULL };
	struct script script = { 0 };
	struct rs_stream *stream = NULL;
	uint8_t bytes[30] = { 0 };

	(void)state;
	/* A wait of a millisecond for each byte: all of them together pass the time-out. */
	assert_int_equal(rs_stream_create(&ops, &script, RS_STREAM_WRITE, &stream), 0);
	rs_stream_set_stall_timeout(stream, 10);
	rs_stream_put_bytes(stream, bytes, sizeof(bytes));
	assert_int_equal(rs_stream_flush(stream), 0);
	assert_int_equal(script.calls, 2 * sizeof(bytes));
	rs_stream_close(stream, NULL);
}

/* ---- shutdown ------------------------------------------------------------------------------ */

enum blocked_in { IN_READ, IN_WRITE, IN_RATE };

struct blocked {
	struct rs_stream *stream;
	enum blocked_in where;
	int code;
};

static void *block(void *argument)
{
	struct blocked *blocked = argument;
	struct rs_stream *stream = blocked->stream;
	uint8_t bytes[4096] = { 0 };

	switch (blocked->where) {
	case IN_READ:
		blocked->code = rs_stream_get_bytes(stream, bytes, sizeof(bytes));
		break;
	case IN_WRITE:
		do {
			rs_stream_put_bytes(stream, bytes, sizeof(bytes));
			blocked->code = rs_stream_flush(stream);
		} while (blocked->code == 0);
		break;
	case IN_RATE:
		rs_stream_put_bytes(stream, bytes, 100);
		blocked->code = rs_stream_rate_wait(stream);
		break;
	}
	return NULL;
}

static void shut_down_from_another_thread(struct rs_stream *stream, enum blocked_in where,
					  unsigned after_us)
{
	struct blocked blocked = { .stream = stream, .where = where };
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, block, &blocked), 0);
	usleep(after_us);
	rs_stream_shutdown(stream);
	rs_stream_shutdown(stream);
	pthread_join(thread, NULL);
	assert_int_equal(blocked.code, -ECANCELED);
	assert_error(stream, -ECANCELED, "the stream was shut down");
}

static void shutdown_wakes_what_blocks(void **state)
{
	const struct fake_options kinds[] = { { 0 }, { .nonblocking = true }, { .seed = 3 } };
	unsigned i;

	(void)state;
	for (i = 0; i < 27; i++) {
		enum blocked_in where = (enum blocked_in)(i / 3 % 3);
		struct rs_stream *left = NULL, *right = NULL;

		assert_int_equal(fake_stream_pair(&kinds[i % 3], &kinds[i % 3], &left, &right), 0);
		if (where == IN_RATE)
			/* One byte a second: the debt of 100 would take minutes. */
			rs_stream_rate_set(left, 1);
		rs_stream_rate_left(left);
		shut_down_from_another_thread(left, where, i % 5 * 700);
		rs_stream_close(left, NULL);
		rs_stream_close(right, NULL);
	}
}

static void shutdown_reaches_the_callbacks_every_time(void **state)
{
	struct script script = { 0 };
	struct rs_stream *stream = scripted_stream(&script);

	(void)state;
	rs_stream_shutdown(stream);
	rs_stream_shutdown(stream);
	assert_int_equal(atomic_load(&script.shutdowns), 2);
	rs_stream_close(stream, NULL);
}

/* A transport that reports its shutdown as the end of the input, as recv(2) does. */
static ssize_t end_by_shutdown(void *opaque, const struct iovec *iov, int count)
{
	(void)iov;
	(void)count;
	rs_stream_shutdown(*(struct rs_stream **)opaque);
	return 0;
}

static void ignore_shutdown(void *opaque)
{
	(void)opaque;
}

static void an_end_made_by_shutdown_is_none(void **state)
{
	const struct rs_stream_ops ops = { sizeof(ops), end_by_shutdown, NULL, ignore_shutdown,
					   NULL };
	struct rs_stream *stream = NULL;

	(void)state;
	assert_int_equal(rs_stream_create(&ops, &stream, RS_STREAM_READ, &stream), 0);
	assert_false(stream_at_end(stream));
	assert_error(stream, -ECANCELED, "shut down");
	rs_stream_close(stream, NULL);
}

static void close_takes_nothing(void **state)
{
	struct rs_error error = { -1, "old" };

	(void)state;
	assert_int_equal(rs_stream_close(NULL, &error), 0);
	assert_int_equal(error.code, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_missing_or_unknown_is_refused),
		cmocka_unit_test(ops_of_a_newer_version_are_taken_if_the_tail_is_zero),
		cmocka_unit_test(the_first_error_stays),
		cmocka_unit_test(the_errors_of_callbacks_are_told),
		cmocka_unit_test(asking_again_ends_with_the_stall_timeout),
		cmocka_unit_test(slow_bytes_are_no_stall),
		cmocka_unit_test(shutdown_wakes_what_blocks),
		cmocka_unit_test(shutdown_reaches_the_callbacks_every_time),
		cmocka_unit_test(an_end_made_by_shutdown_is_none),
		cmocka_unit_test(close_takes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
