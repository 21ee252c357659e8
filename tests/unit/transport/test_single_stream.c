/* SPDX-License-Identifier: MIT */
/* The addresses that give one stream: files, named pipes, descriptors. */
#include "support/stream_end.h"
#include "transport/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "unit/transport/address_folder.h"

static void write_once(const char *address, const char *text)
{
	struct rs_stream *stream = NULL;
	struct rs_error error;

	if (rs_stream_connect(address, TIMEOUT_MS, &stream, &error) != 0)
		fail_msg("%s", error.text);
	assert_int_equal(rs_stream_flags(stream), RS_STREAM_WRITE);
	rs_stream_put_bytes(stream, text, strlen(text));
	assert_int_equal(rs_stream_flush(stream), 0);
	assert_int_equal(rs_stream_close(stream, NULL), 0);
}

static void assert_reads(const char *address, const char *text)
{
	struct rs_listener *listener = NULL;
	struct rs_stream *stream = NULL;
	struct rs_error error;
	char got[20] = "";

	if (rs_stream_listen(address, &listener, &error) != 0)
		fail_msg("%s", error.text);
	assert_string_equal(rs_listener_address(listener), address);
	if (rs_listener_accept(listener, TIMEOUT_MS, &stream, &error) != 0)
		fail_msg("%s", error.text);
	assert_int_equal(rs_listener_accept(listener, TIMEOUT_MS, &stream, &error), -ENOTCONN);
	rs_listener_close(listener);
	assert_int_equal(rs_stream_get_bytes(stream, got, strlen(text)), 0);
	assert_string_equal(got, text);
	assert_true(stream_at_end(stream));
	assert_int_equal(rs_stream_close(stream, NULL), 0);
}

static void files_are_created_emptied_and_read(void **state)
{
	char address[200], path[200];
	struct stat status;
	mode_t mask = umask(0);

	(void)state;
	in_folder("file:", "saved", address, sizeof(address));
	in_folder("", "saved", path, sizeof(path));
	write_once(address, "a longer text");
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	assert_reads(address, "a longer text");
	write_once(address, "short");
	assert_reads(address, "short");
	unlink(path);
	umask(mask);
}

static void *write_slowly(void *argument)
{
	usleep(3000);
	write_once(argument, "through it");
	return NULL;
}

/* In either order: the reader is there first, or the writer waits for it. */
static void named_pipes_wait_for_their_other_end(void **state)
{
	char address[200], path[200];
	pthread_t thread;
	int i;

	(void)state;
	in_folder("file:", "fifo", address, sizeof(address));
	in_folder("", "fifo", path, sizeof(path));
	assert_int_equal(mkfifo(path, 0600), 0);
	for (i = 0; i < 10; i++) {
		assert_int_equal(pthread_create(&thread, NULL, write_slowly, address), 0);
		usleep((unsigned)i * 1000);
		assert_reads(address, "through it");
		pthread_join(thread, NULL);
	}
	unlink(path);
}

static void a_named_pipe_without_another_end_times_out(void **state)
{
	char address[200], path[200];
	struct rs_listener *listener = NULL;
	struct rs_stream *stream = NULL;

	(void)state;
	in_folder("file:", "fifo", address, sizeof(address));
	in_folder("", "fifo", path, sizeof(path));
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(rs_stream_connect(address, 20, &stream, NULL), -ETIMEDOUT);
	assert_int_equal(rs_stream_listen(address, &listener, NULL), 0);
	assert_int_equal(rs_listener_accept(listener, 20, &stream, NULL), -ETIMEDOUT);
	rs_listener_shutdown(listener);
	assert_int_equal(rs_listener_accept(listener, 0, &stream, NULL), -ECANCELED);
	rs_listener_close(listener);
	unlink(path);
}

static void descriptors_are_passed_on(void **state)
{
	char to[20], from[20];
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	snprintf(from, sizeof(from), "fd:%d", fds[0]);
	snprintf(to, sizeof(to), "fd:%d", fds[1]);
	write_once(to, "piped");
	assert_int_equal(fcntl(fds[1], F_GETFD), -1);
	assert_reads(from, "piped");
	assert_int_equal(fcntl(fds[0], F_GETFD), -1);
}

static void sockets_by_number_are_two_way(void **state)
{
	struct rs_listener *listener = NULL;
	struct rs_stream *left = NULL, *right = NULL;
	char address[20];
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	snprintf(address, sizeof(address), "fd:%d", fds[0]);
	assert_int_equal(rs_stream_connect(address, 0, &left, NULL), 0);
	snprintf(address, sizeof(address), "fd:%d", fds[1]);
	assert_int_equal(rs_stream_listen(address, &listener, NULL), 0);
	assert_int_equal(rs_listener_accept(listener, 0, &right, NULL), 0);
	rs_listener_close(listener);
	assert_int_equal(rs_stream_flags(left), RS_STREAM_TWO_WAY);
	assert_int_equal(rs_stream_flags(right), RS_STREAM_TWO_WAY);
	assert_greeting(left, right);
	assert_greeting(right, left);
	rs_stream_close(left, NULL);
	rs_stream_close(right, NULL);
}

static void descriptors_that_do_not_fit_stay_the_callers(void **state)
{
	struct rs_stream *stream = NULL;
	struct rs_listener *listener = NULL;
	struct rs_error error;
	char address[20];
	int fds[2], fd;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	snprintf(address, sizeof(address), "fd:%d", fds[0]);
	assert_int_equal(rs_stream_connect(address, 0, &stream, &error), -EINVAL);
	assert_non_null(strstr(error.text, "cannot be written"));
	snprintf(address, sizeof(address), "fd:%d", fds[1]);
	assert_int_equal(rs_stream_listen(address, &listener, &error), -EINVAL);
	assert_non_null(strstr(error.text, "cannot be read"));
	assert_int_equal(close(fds[0]), 0);
	assert_int_equal(close(fds[1]), 0);

	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(listen(fd, 1), 0);
	snprintf(address, sizeof(address), "fd:%d", fd);
	assert_int_equal(rs_stream_listen(address, &listener, &error), -EINVAL);
	assert_non_null(strstr(error.text, "listening socket"));
	assert_int_equal(close(fd), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_are_created_emptied_and_read),
		cmocka_unit_test(named_pipes_wait_for_their_other_end),
		cmocka_unit_test(a_named_pipe_without_another_end_times_out),
		cmocka_unit_test(descriptors_are_passed_on),
		cmocka_unit_test(sockets_by_number_are_two_way),
		cmocka_unit_test(descriptors_that_do_not_fit_stay_the_callers),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
