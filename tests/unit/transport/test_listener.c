/* SPDX-License-Identifier: MIT */
/* Waiting for a peer, and being woken. */
#include "transport/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>
#include <cmocka.h>

static struct rs_listener *listen_on(const char *address)
{
	struct rs_listener *listener = NULL;
	struct rs_error error;

	if (rs_stream_listen(address, &listener, &error) != 0)
		fail_msg("%s", error.text);
	return listener;
}

struct accepting {
	struct rs_listener *listener;
	struct rs_error error;
	int code;
};

static void *accept_one(void *argument)
{
	struct accepting *accepting = argument;
	struct rs_stream *stream = NULL;

	accepting->code = rs_listener_accept(accepting->listener, 0, &stream, &accepting->error);
	rs_stream_close(stream, NULL);
	return NULL;
}

static void shutdown_wakes_accept_now_and_later(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 20; i++) {
		struct accepting accepting = { .listener = listen_on("tcp:127.0.0.1:0") };
		struct rs_stream *stream = NULL;
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, accept_one, &accepting), 0);
		usleep(i * 200);
		rs_listener_shutdown(accepting.listener);
		rs_listener_shutdown(accepting.listener);
		pthread_join(thread, NULL);
		assert_int_equal(accepting.code, -ECANCELED);
		assert_non_null(strstr(accepting.error.text, "tcp:127.0.0.1:"));
		assert_non_null(strstr(accepting.error.text, "was shut down"));

		/* Even if somebody connects. */
		assert_int_equal(rs_stream_connect(rs_listener_address(accepting.listener), 10000,
						   &stream, NULL),
				 0);
		assert_int_equal(accept_one(&accepting) == NULL ? accepting.code : 0, -ECANCELED);
		rs_stream_close(stream, NULL);
		rs_listener_close(accepting.listener);
	}
}

static void shutdown_counts_for_addresses_of_one_stream(void **state)
{
	static const char *const addresses[] = { "file:/dev/null", "exec:true" };
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct rs_listener *listener = listen_on(addresses[i]);
		struct rs_stream *stream = NULL;

		rs_listener_shutdown(listener);
		assert_int_equal(rs_listener_accept(listener, 0, &stream, NULL), -ECANCELED);
		assert_null(stream);
		rs_listener_close(listener);
	}
}

static void ignore_signal(int number)
{
	(void)number;
}

static void accept_times_out_despite_signals(void **state)
{
	const struct sigaction action = { .sa_handler = ignore_signal };
	const struct itimerval often = { { 0, 1000 }, { 0, 1000 } }, never = { 0 };
	struct rs_listener *listener = listen_on("tcp:127.0.0.1:0");
	struct rs_stream *stream = NULL;
	struct sigaction before;
	struct rs_error error;

	(void)state;
	sigaction(SIGALRM, &action, &before);
	setitimer(ITIMER_REAL, &often, NULL);
	assert_int_equal(rs_listener_accept(listener, 20, &stream, &error), -ETIMEDOUT);
	setitimer(ITIMER_REAL, &never, NULL);
	sigaction(SIGALRM, &before, NULL);
	assert_int_equal(error.code, -ETIMEDOUT);
	assert_non_null(strstr(error.text, rs_listener_address(listener)));
	rs_listener_close(listener);
}

static void a_taken_port_is_refused(void **state)
{
	struct rs_listener *listener = listen_on("tcp::0"), *other = NULL;
	struct rs_error error;
	char address[40];

	(void)state;
	snprintf(address, sizeof(address), "tcp:%s", strrchr(rs_listener_address(listener), ':'));
	assert_int_equal(rs_stream_listen(address, &other, &error), -EADDRINUSE);
	assert_non_null(strstr(error.text, address));
	rs_listener_close(listener);
	/* SO_REUSEADDR: free at once. */
	rs_listener_close(listen_on(address));
}

static void what_was_not_accepted_is_closed(void **state)
{
	struct rs_listener *listener;
	char address[20];
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	snprintf(address, sizeof(address), "fd:%d", fds[0]);
	listener = listen_on(address);
	rs_listener_close(listener);
	assert_int_equal(fcntl(fds[0], F_GETFD), -1);
	close(fds[1]);
	rs_listener_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shutdown_wakes_accept_now_and_later),
		cmocka_unit_test(shutdown_counts_for_addresses_of_one_stream),
		cmocka_unit_test(accept_times_out_despite_signals),
		cmocka_unit_test(a_taken_port_is_refused),
		cmocka_unit_test(what_was_not_accepted_is_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
