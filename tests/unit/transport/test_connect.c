/* SPDX-License-Identifier: MIT */
/* Both ends of sockets, and what cannot be opened. */
#include "support/stream_end.h"
#include "transport/stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
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

/* ---- sockets ------------------------------------------------------------------------------- */

struct answering {
	struct rs_listener *listener;
	struct rs_stream *stream;
	int code;
};

static void *answer(void *argument)
{
	struct answering *answering = argument;

	answering->code =
	    rs_listener_accept(answering->listener, TIMEOUT_MS, &answering->stream, NULL);
	return NULL;
}

static void assert_two_way(struct rs_listener *listener, const char *address)
{
	struct answering answering = { .listener = listener };
	struct rs_stream *stream = NULL;
	struct rs_error error;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, answer, &answering), 0);
	if (rs_stream_connect(address, TIMEOUT_MS, &stream, &error) != 0)
		fail_msg("%s", error.text);
	pthread_join(thread, NULL);
	assert_int_equal(answering.code, 0);
	assert_int_equal(rs_stream_flags(stream), RS_STREAM_TWO_WAY);
	assert_int_equal(rs_stream_flags(answering.stream), RS_STREAM_TWO_WAY);
	assert_greeting(stream, answering.stream);
	assert_greeting(answering.stream, stream);
	rs_stream_close(stream, NULL);
	assert_true(stream_at_end(answering.stream));
	rs_stream_close(answering.stream, NULL);
}

static bool can_bind_ipv6(void)
{
	struct sockaddr_in6 name = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool can = fd >= 0 && bind(fd, (struct sockaddr *)&name, sizeof(name)) == 0;

	if (fd >= 0)
		close(fd);
	return can;
}

static void tcp_listens_and_connects(void **state)
{
	static const struct {
		const char *listen;
		const char *prefix;  /* of the real address */
		const char *connect; /* with %s for the real port, or NULL for the real address */
		bool ipv6;
	} cases[] = {
		{ "tcp:127.0.0.1:0", "tcp:127.0.0.1:", NULL, false },
		{ "tcp:127.0.0.1:0", "tcp:127.0.0.1:", "tcp:localhost:%s", false },
		{ "tcp:localhost:0", "tcp:", NULL, false },
		{ "tcp::0", "tcp:", NULL, false },
		{ "tcp::0", "tcp:", "tcp:127.0.0.1:%s", false },
		{ "tcp::0", "tcp:", "tcp:localhost:%s", false },
		{ "tcp::0", "tcp:[::]:", "tcp:[::1]:%s", true },
		{ "tcp:[::1]:0", "tcp:[::1]:", NULL, true },
		{ "tcp:0.0.0.0:0", "tcp:0.0.0.0:", "tcp:127.0.0.1:%s", false },
	};
	bool ipv6 = can_bind_ipv6();
	size_t i;

	(void)state;
	if (!ipv6)
		print_message("skipped: the cases with IPv6, which is not here\n");
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rs_listener *listener = NULL;
		struct rs_error error;
		const char *real;
		char address[100];

		if (cases[i].ipv6 && !ipv6)
			continue;
		if (rs_stream_listen(cases[i].listen, &listener, &error) != 0)
			fail_msg("%s", error.text);
		real = rs_listener_address(listener);
		assert_memory_equal(real, cases[i].prefix, strlen(cases[i].prefix));
		assert_string_not_equal(strrchr(real, ':'), ":0");
		snprintf(address, sizeof(address), "%s", real);
		if (cases[i].connect != NULL)
			snprintf(address, sizeof(address), cases[i].connect,
				 strrchr(real, ':') + 1);
		assert_two_way(listener, address);
		assert_two_way(listener, address);
		rs_listener_close(listener);
	}
}

static void unix_listens_and_connects(void **state)
{
	struct rs_listener *first = NULL, *second = NULL;
	char address[200], path[200];
	struct stat status;

	(void)state;
	in_folder("unix:", "socket", address, sizeof(address));
	in_folder("", "socket", path, sizeof(path));
	assert_int_equal(rs_stream_listen(address, &first, NULL), 0);
	assert_string_equal(rs_listener_address(first), address);
	assert_two_way(first, address);

	/* A second one takes the place over, and the first leaves it alone when it goes. */
	assert_int_equal(rs_stream_listen(address, &second, NULL), 0);
	assert_two_way(second, address);
	rs_listener_close(first);
	assert_int_equal(stat(path, &status), 0);
	assert_two_way(second, address);
	rs_listener_close(second);
	assert_int_equal(stat(path, &status), -1);
}

static void other_files_are_not_replaced_by_a_socket(void **state)
{
	struct rs_listener *listener = NULL;
	struct rs_error error;
	char address[200], path[200];
	int fd;

	(void)state;
	in_folder("unix:", "file", address, sizeof(address));
	in_folder("", "file", path, sizeof(path));
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(rs_stream_listen(address, &listener, &error), -EADDRINUSE);
	assert_non_null(strstr(error.text, "not a socket"));
	assert_null(listener);
	assert_int_equal(access(path, F_OK), 0);
	close(fd);
	unlink(path);
}

static void accepted_and_connected_sockets_send_at_once(void **state)
{
	struct rs_listener *listener = NULL;
	struct rs_stream *ends[2] = { NULL, NULL };
	int fd, found = 0;

	(void)state;
	assert_int_equal(rs_stream_listen("tcp:127.0.0.1:0", &listener, NULL), 0);
	assert_int_equal(
	    rs_stream_connect(rs_listener_address(listener), TIMEOUT_MS, &ends[0], NULL), 0);
	assert_int_equal(rs_listener_accept(listener, TIMEOUT_MS, &ends[1], NULL), 0);
	/* The streams hide their descriptors: look at all connected TCP sockets of the process. */
	for (fd = 0; fd < 256; fd++) {
		struct sockaddr_storage peer;
		socklen_t bytes = sizeof(peer), int_bytes = sizeof(int);
		int on = 0;

		if (getpeername(fd, (struct sockaddr *)&peer, &bytes) != 0 ||
		    getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &int_bytes) != 0)
			continue;
		assert_int_equal(on, 1);
		assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
		found++;
	}
	assert_int_equal(found, 2);
	rs_stream_close(ends[0], NULL);
	rs_stream_close(ends[1], NULL);
	rs_listener_close(listener);
}

/* ---- refusals ------------------------------------------------------------------------------ */

static void what_cannot_be_opened_is_named_with_the_reason(void **state)
{
	static const struct {
		const char *address;
		bool listening;
		int code;
		const char *why;
	} cases[] = {
		{ "nonsense", false, -EINVAL, "want tcp:HOST:PORT" },
		{ "nonsense", true, -EINVAL, "want tcp:HOST:PORT" },
		{ "tcp::4444", false, -EINVAL, "want a host and a port" },
		{ "tcp:127.0.0.1:0", false, -EINVAL, "want a host and a port" },
		{ "tcp:host.invalid:1", false, -EHOSTUNREACH, "host.invalid" },
		{ "tcp:host.invalid:1", true, -EHOSTUNREACH, "host.invalid" },
		{ "tcp:[::g]:1", false, -EHOSTUNREACH, "::g" },
		{ "tcp:127.0.0.1:1", false, -ECONNREFUSED, "Connection refused" },
		{ "tcp:192.0.2.1:1", true, -EADDRNOTAVAIL, "Cannot assign" },
		{ "unix:/nonexistent/socket", false, -ENOENT, "No such file" },
		{ "unix:/nonexistent/socket", true, -ENOENT, "No such file" },
		{ "unix:/dev/null", false, -ECONNREFUSED, "Connection refused" },
		{ "fd:1000000", false, -EBADF, "Bad file descriptor" },
		{ "fd:1000000", true, -EBADF, "Bad file descriptor" },
		{ "file:/nonexistent/file", false, -ENOENT, "No such file" },
		{ "file:/nonexistent/file", true, -ENOENT, "No such file" },
		{ "file:/tmp", false, -EISDIR, "Is a directory" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rs_stream *stream = NULL;
		struct rs_listener *listener = NULL;
		struct rs_error error = { -1, "left over" };
		int code = cases[i].listening
			       ? rs_stream_listen(cases[i].address, &listener, &error)
			       : rs_stream_connect(cases[i].address, 3000, &stream, &error);

		if (code != cases[i].code || strstr(error.text, cases[i].why) == NULL)
			fail_msg("%s: %d, %s", cases[i].address, code, error.text);
		assert_int_equal(error.code, code);
		assert_non_null(strstr(error.text, cases[i].address));
		assert_null(stream);
		assert_null(listener);
	}
}

/* A port whose queue is full answers no more connections: they hang, and time out. */
static void connecting_times_out(void **state)
{
	struct sockaddr_in name = { .sin_family = AF_INET };
	socklen_t bytes = sizeof(name);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), i, code = 0;
	struct rs_stream *streams[8] = { NULL };
	struct rs_error error;
	char address[40];

	(void)state;
	name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &bytes), 0);
	assert_int_equal(listen(fd, 0), 0);
	snprintf(address, sizeof(address), "tcp:127.0.0.1:%u", ntohs(name.sin_port));
	for (i = 0; i < 8 && code == 0; i++)
		code = rs_stream_connect(address, 50, &streams[i], &error);
	assert_int_equal(code, -ETIMEDOUT);
	assert_non_null(strstr(error.text, address));
	for (i = 0; i < 8; i++)
		rs_stream_close(streams[i], NULL);
	close(fd);
}

static void connecting_to_a_busy_local_socket_times_out(void **state)
{
	struct rs_stream *streams[8] = { NULL };
	struct rs_listener *listener = NULL;
	char address[200];
	int i, code = 0, fd;

	(void)state;
	in_folder("unix:", "busy", address, sizeof(address));
	assert_int_equal(rs_stream_listen(address, &listener, NULL), 0);
	/* Make its queue short; the descriptor is the only listening socket here. */
	for (fd = 0; fd < 256; fd++) {
		socklen_t bytes = sizeof(int);
		int listening = 0;

		if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &bytes) == 0 && listening)
			assert_int_equal(listen(fd, 0), 0);
	}
	for (i = 0; i < 8 && code == 0; i++)
		code = rs_stream_connect(address, 30, &streams[i], NULL);
	assert_int_equal(code, -ETIMEDOUT);
	for (i = 0; i < 8; i++)
		rs_stream_close(streams[i], NULL);
	rs_listener_close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_listens_and_connects),
		cmocka_unit_test(unix_listens_and_connects),
		cmocka_unit_test(other_files_are_not_replaced_by_a_socket),
		cmocka_unit_test(accepted_and_connected_sockets_send_at_once),
		cmocka_unit_test(what_cannot_be_opened_is_named_with_the_reason),
		cmocka_unit_test(connecting_times_out),
		cmocka_unit_test(connecting_to_a_busy_local_socket_times_out),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
