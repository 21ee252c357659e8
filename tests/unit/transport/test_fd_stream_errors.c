/* SPDX-License-Identifier: MIT */
/* Streams over descriptors on bad days: peers gone or stalled, full disks, shutdown. */
#include "fd_kinds.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static void assert_error(struct rs_stream *stream, int code, const char *text)
{
	struct rs_error error;

	assert_int_equal(rs_stream_error(stream, &error), code);
	if (strstr(error.text, text) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", error.text, text);
}

static void a_peer_that_is_gone_is_an_error_not_a_signal(void **state)
{
	enum kind kind;

	(void)state;
	for (kind = 0; kind < KINDS; kind++) {
		struct rs_stream *reader = NULL, *writer = NULL;

		open_streams(kind, &reader, &writer);
		rs_stream_close(reader, NULL);
		rs_stream_put_u8(writer, 1);
		assert_int_equal(rs_stream_flush(writer), -EPIPE);
		assert_error(writer, -EPIPE, "Broken pipe");
		rs_stream_close(writer, NULL);
	}
}

static void a_full_disk_fails_the_stream(void **state)
{
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	struct rs_stream *stream = NULL;

	(void)state;
	if (fd < 0) {
		print_message("skipped: no /dev/full here\n");
		skip();
		return;
	}
	assert_int_equal(rs_stream_from_fd(fd, RS_STREAM_WRITE, &stream), 0);
	rs_stream_put_be64(stream, 1);
	assert_int_equal(rs_stream_flush(stream), -ENOSPC);
	assert_error(stream, -ENOSPC, "writing the stream failed after 0 bytes: No space left");
	rs_stream_close(stream, NULL);
}

/* A disk that fills up in the middle: the size limit of files stands in for it. */
static void a_disk_that_fills_up_says_how_far_it_got(void **state)
{
	char path[] = "/tmp/ramsync-test-XXXXXX";
	int fd = mkstemp(path);
	struct rlimit before, limit;
	struct rs_stream *stream = NULL;
	static uint8_t bytes[10000];

	(void)state;
	assert_true(fd >= 0);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = before;
	limit.rlim_cur = 6000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(rs_stream_from_fd(fd, RS_STREAM_WRITE, &stream), 0);
	rs_stream_put_bytes(stream, bytes, sizeof(bytes));
	rs_stream_flush(stream);
	setrlimit(RLIMIT_FSIZE, &before);
	signal(SIGXFSZ, SIG_DFL);
	assert_error(stream, -EFBIG, "after 6000 bytes: File too large");
	rs_stream_close(stream, NULL);
	unlink(path);
}

static void a_peer_that_stalls_is_given_up(void **state)
{
	enum kind kind;

	(void)state;
	for (kind = 0; kind < KINDS; kind++) {
		struct rs_stream *reader = NULL, *writer = NULL;
		static uint8_t bytes[4u << 20];

		open_streams(kind, &reader, &writer);
		rs_stream_set_stall_timeout(reader, 15);
		rs_stream_get_u8(reader);
		assert_error(reader, -ETIMEDOUT, "reading stalled: not a byte moved in 15 ms");
		rs_stream_set_stall_timeout(writer, 15);
		rs_stream_put_ref(writer, bytes, sizeof(bytes));
		rs_stream_flush(writer);
		assert_error(writer, -ETIMEDOUT, "writing stalled: not a byte moved in 15 ms");
		rs_stream_close(reader, NULL);
		rs_stream_close(writer, NULL);
	}
}

/* ---- shutdown ------------------------------------------------------------------------------ */

struct blocked {
	struct rs_stream *stream;
	bool reading;
	int code;
};

static void *block(void *argument)
{
	struct blocked *blocked = argument;
	static const uint8_t bytes[4u << 20];
	uint8_t byte;

	if (blocked->reading) {
		blocked->code = rs_stream_get_bytes(blocked->stream, &byte, 1);
	} else {
		rs_stream_put_ref(blocked->stream, bytes, sizeof(bytes));
		blocked->code = rs_stream_flush(blocked->stream);
	}
	return NULL;
}

static void shutdown_wakes_what_blocks(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 8 * KINDS; i++) {
		struct blocked reader = { .reading = true }, writer = { .reading = false };
		bool shut_reader = i / KINDS % 2;
		struct blocked *blocked = shut_reader ? &reader : &writer;
		pthread_t thread;

		open_streams((enum kind)(i % KINDS), &reader.stream, &writer.stream);
		assert_int_equal(pthread_create(&thread, NULL, block, blocked), 0);
		usleep(i / KINDS / 2 * 600);
		rs_stream_shutdown(blocked->stream);
		rs_stream_shutdown(blocked->stream);
		pthread_join(thread, NULL);
		assert_int_equal(blocked->code, -ECANCELED);
		assert_error(blocked->stream, -ECANCELED, "the stream was shut down");
		rs_stream_close(reader.stream, NULL);
		rs_stream_close(writer.stream, NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_peer_that_is_gone_is_an_error_not_a_signal),
		cmocka_unit_test(a_full_disk_fails_the_stream),
		cmocka_unit_test(a_disk_that_fills_up_says_how_far_it_got),
		cmocka_unit_test(a_peer_that_stalls_is_given_up),
		cmocka_unit_test(shutdown_wakes_what_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
