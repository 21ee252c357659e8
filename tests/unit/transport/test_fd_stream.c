/* SPDX-License-Identifier: MIT */
/* Streams over every kind of descriptor, blocking or not; what goes wrong has its own file. */
#include "support/stream_end.h"
#include "fd_kinds.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* ---- bytes --------------------------------------------------------------------------------- */

struct writing {
	struct rs_stream *stream;
	const uint8_t *bytes;
	size_t length;
};

static void *put_all(void *argument)
{
	const struct writing *writing = argument;
	size_t i;

	for (i = 0; i < writing->length; i += 4096) {
		rs_stream_put_be64(writing->stream, i);
		rs_stream_put_ref(writing->stream, writing->bytes + i, 4096);
	}
	rs_stream_flush(writing->stream);
	return NULL;
}

static void *write_all(void *argument)
{
	const struct writing *writing = argument;

	put_all(argument);
	rs_stream_close(writing->stream, NULL);
	return NULL;
}

static void assert_pages_read(struct rs_stream *reader, const uint8_t *bytes, size_t length)
{
	uint8_t page[4096];
	size_t i;

	for (i = 0; i < length; i += 4096) {
		assert_true(rs_stream_get_be64(reader) == i);
		assert_int_equal(rs_stream_read_into(reader, page, sizeof(page), NULL), 0);
		assert_memory_equal(page, bytes + i, sizeof(page));
	}
}

static void assert_all_read(struct rs_stream *reader, const uint8_t *bytes, size_t length)
{
	assert_pages_read(reader, bytes, length);
	assert_true(stream_at_end(reader));
	assert_int_equal(rs_stream_error(reader, NULL), 0);
}

static void pass_over_each_kind(size_t length)
{
	uint8_t *bytes = malloc(length);
	enum kind kind;
	size_t i;

	for (i = 0; i < length; i++)
		bytes[i] = (uint8_t)(i * 13 + i / 253);
	for (kind = 0; kind < KINDS; kind++) {
		struct writing writing = { .bytes = bytes, .length = length };
		struct rs_stream *reader = NULL;
		pthread_t thread;

		open_streams(kind, &reader, &writing.stream);
		assert_int_equal(pthread_create(&thread, NULL, write_all, &writing), 0);
		assert_all_read(reader, bytes, length);
		pthread_join(thread, NULL);
		rs_stream_close(reader, NULL);
	}
	free(bytes);
}

static void bytes_pass_over_each_kind(void **state)
{
	(void)state;
	pass_over_each_kind(12u << 20);
}

struct guest {
	uint8_t *memory;
	size_t length;
	atomic_bool stop;
};

/* Plain stores, as a guest makes them. */
static void *keep_writing(void *argument)
{
	struct guest *guest = argument;
	uint8_t value = 0;

	while (!atomic_load(&guest->stop)) {
		size_t i;

		value ^= 0xff;
		for (i = 0; i < guest->length; i++)
			guest->memory[i] = value;
	}
	return NULL;
}

/* Under ThreadSanitizer this shows that nothing here but the kernel reads such pages. */
static void pages_may_change_while_they_are_sent(void **state)
{
	struct guest guest = { .length = 16 * 4096 };
	pthread_t guest_thread, thread;
	enum kind kind;

	(void)state;
	guest.memory = calloc(1, guest.length);
	assert_int_equal(pthread_create(&guest_thread, NULL, keep_writing, &guest), 0);
	for (kind = 0; kind < KINDS; kind++) {
		struct writing writing = { .bytes = guest.memory, .length = guest.length };
		struct rs_stream *reader = NULL;
		size_t i, j;

		open_streams(kind, &reader, &writing.stream);
		assert_int_equal(pthread_create(&thread, NULL, write_all, &writing), 0);
		for (i = 0; i < guest.length; i += 4096) {
			uint8_t page[4096];

			assert_true(rs_stream_get_be64(reader) == i);
			assert_int_equal(rs_stream_get_bytes(reader, page, sizeof(page)), 0);
			for (j = 0; j < sizeof(page); j++)
				assert_true(page[j] == 0 || page[j] == 0xff);
		}
		pthread_join(thread, NULL);
		rs_stream_close(reader, NULL);
	}
	atomic_store(&guest.stop, true);
	pthread_join(guest_thread, NULL);
	free(guest.memory);
}

static void ignore_signal(int number)
{
	(void)number;
}

/* Signals without SA_RESTART, twice a millisecond. */
static void interrupted_calls_go_on(void **state)
{
	const struct sigaction action = { .sa_handler = ignore_signal };
	const struct itimerval often = { { 0, 500 }, { 0, 500 } }, never = { 0 };
	struct sigaction before;

	(void)state;
	sigaction(SIGALRM, &action, &before);
	setitimer(ITIMER_REAL, &often, NULL);
	pass_over_each_kind(12u << 20);
	setitimer(ITIMER_REAL, &never, NULL);
	sigaction(SIGALRM, &before, NULL);
}

static void files_are_written_and_read(void **state)
{
	char path[] = "/tmp/ramsync-test-XXXXXX";
	int fd = mkstemp(path);
	uint8_t bytes[8 * 4096];
	struct writing writing = { .bytes = bytes, .length = sizeof(bytes) };
	struct rs_stream *reader = NULL;

	(void)state;
	assert_true(fd >= 0);
	memset(bytes, 0x5a, sizeof(bytes));
	assert_int_equal(
	    rs_stream_from_fd(fd, RS_STREAM_WRITE | RS_STREAM_KEEP_FD, &writing.stream), 0);
	write_all(&writing);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(rs_stream_from_fd(fd, RS_STREAM_READ, &reader), 0);
	assert_all_read(reader, bytes, sizeof(bytes));
	rs_stream_close(reader, NULL);
	assert_false(is_open(fd));
	unlink(path);
}

/* ---- what may be opened, and what happens to it -------------------------------------------- */

static void access_must_fit(void **state)
{
	struct rs_stream *stream = NULL;
	int fds[2], path_fd = open("/", O_PATH | O_CLOEXEC);

	(void)state;
	open_kind(PIPE, fds);
	assert_int_equal(rs_stream_from_fd(-1, RS_STREAM_READ, &stream), -EBADF);
	assert_int_equal(rs_stream_from_fd(path_fd, RS_STREAM_READ, &stream), -EBADF);
	assert_int_equal(rs_stream_from_fd(fds[0], RS_STREAM_WRITE, &stream), -EINVAL);
	assert_int_equal(rs_stream_from_fd(fds[1], RS_STREAM_READ, &stream), -EINVAL);
	assert_int_equal(rs_stream_from_fd(fds[0], RS_STREAM_TWO_WAY, &stream), -EINVAL);
	assert_int_equal(rs_stream_from_fd(fds[0], 0, &stream), -EINVAL);
	assert_int_equal(rs_stream_from_fd(fds[0], RS_STREAM_READ | 64, &stream), -EINVAL);
	assert_null(stream);
	/* None of it was taken. */
	assert_true(is_open(fds[0]));
	assert_true(is_open(fds[1]));
	close(fds[0]);
	close(fds[1]);
	close(path_fd);
}

static void close_and_keep_do_so_and_the_mode_stays(void **state)
{
	enum kind kind;

	(void)state;
	for (kind = 0; kind < KINDS; kind++) {
		struct rs_stream *reader = NULL, *writer = NULL;
		int fds[2], mode;

		open_kind(kind, fds);
		mode = fcntl(fds[1], F_GETFL);
		assert_int_equal(
		    rs_stream_from_fd(fds[0], RS_STREAM_READ | RS_STREAM_KEEP_FD, &reader), 0);
		assert_int_equal(rs_stream_from_fd(fds[1], RS_STREAM_WRITE, &writer), 0);
		assert_int_equal(rs_stream_flags(reader), RS_STREAM_READ | RS_STREAM_KEEP_FD);
		rs_stream_put_u8(writer, 7);
		assert_int_equal(rs_stream_flush(writer), 0);
		assert_int_equal(rs_stream_get_u8(reader), 7);
		assert_int_equal(fcntl(fds[1], F_GETFL), mode);
		rs_stream_shutdown(reader);
		assert_int_equal(rs_stream_close(reader, NULL), 0);
		/* Shut down was the stream, not the descriptor. */
		assert_int_equal(write(fds[1], "x", 1), 1);
		assert_int_equal(rs_stream_close(writer, NULL), 0);
		assert_true(is_open(fds[0]));
		assert_false(is_open(fds[1]));
		close(fds[0]);
	}
}

/* One thread reads a stream while another one writes it: the return path beside the pages. */
static void both_directions_may_be_used_at_once(void **state)
{
	const size_t length = 4u << 20;
	uint8_t *bytes = calloc(1, length);
	struct rs_stream *ends[2] = { NULL, NULL };
	struct writing writing[2];
	pthread_t threads[2];
	int fds[2], i;

	(void)state;
	open_kind(LOCAL, fds);
	for (i = 0; i < 2; i++) {
		assert_int_equal(rs_stream_from_fd(fds[i], RS_STREAM_TWO_WAY, &ends[i]), 0);
		writing[i] = (struct writing){ ends[i], bytes, length };
		assert_int_equal(pthread_create(&threads[i], NULL, put_all, &writing[i]), 0);
	}
	for (i = 0; i < 2; i++)
		assert_pages_read(ends[i], bytes, length);
	for (i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(rs_stream_error(ends[i], NULL), 0);
		rs_stream_close(ends[i], NULL);
	}
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_pass_over_each_kind),
		cmocka_unit_test(pages_may_change_while_they_are_sent),
		cmocka_unit_test(interrupted_calls_go_on),
		cmocka_unit_test(files_are_written_and_read),
		cmocka_unit_test(access_must_fit),
		cmocka_unit_test(close_and_keep_do_so_and_the_mode_stays),
		cmocka_unit_test(both_directions_may_be_used_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
