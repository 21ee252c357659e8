/* SPDX-License-Identifier: MIT */
#include "base/thread.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void *look_at_mask(void *argument)
{
	pthread_sigmask(SIG_SETMASK, NULL, argument);
	return argument;
}

/* Neither KILL and STOP, nor the two that the C library keeps for itself. */
static void takes_no_signal(void **state)
{
	static const int signals[] = { SIGHUP,  SIGINT,  SIGQUIT, SIGUSR1, SIGUSR2,
				       SIGPIPE, SIGALRM, SIGTERM, SIGCHLD, SIGWINCH };
	sigset_t mask, before, after;
	pthread_t thread;
	void *returned;

	(void)state;
	sigemptyset(&mask);
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	assert_int_equal(rs_thread_create(&thread, look_at_mask, &mask), 0);
	assert_int_equal(pthread_join(thread, &returned), 0);
	assert_ptr_equal(returned, &mask);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		assert_int_equal(sigismember(&mask, signals[i]), 1);
	assert_int_equal(sigismember(&mask, SIGRTMIN), 1);

	/* The maker's own mask is as it was. */
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		assert_int_equal(sigismember(&after, signals[i]), sigismember(&before, signals[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_no_signal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
