/* SPDX-License-Identifier: MIT */
#include "base/thread.h"

#include <signal.h>

int rs_thread_create(pthread_t *thread, void *(*run)(void *), void *argument)
{
	sigset_t all, before;

	/* A thread begins with the mask of the one that made it: blocked any later, a signal could
	 * come in between. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(thread, NULL, run, argument);

	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -error;
}
