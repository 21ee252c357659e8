/* SPDX-License-Identifier: MIT */
#include "base/thread.h"

#include <signal.h>

int rs_thread_create(pthread_t *thread, void *(*run)(void *), void *argument)
{
	sigset_t all, before;

	/* A thread begins with the mask of the one that made it: blocked any later, a signal could
	 * come in between. */
	sigfillset(&all);
	/* These come from what the thread itself does, such as a read of memory that is gone: the
	 * embedder's handler is to see them, and blocked they would kill. */
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(thread, NULL, run, argument);

	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -error;
}
