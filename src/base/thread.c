/* SPDX-License-Identifier: MIT */
#include "base/thread.h"

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As in linux/sched/types.h, which cannot be included beside sched.h. */
struct scheduling {
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime_ns;
	uint64_t deadline_ns;
	uint64_t period_ns;
};

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

uint64_t rs_thread_set_slice(uint64_t ns)
{
	struct scheduling now = { .size = sizeof(now) };

	if (ns == 0 || syscall(SYS_sched_getattr, 0, &now, sizeof(now), 0) != 0 ||
	    now.policy != SCHED_OTHER)
		return 0;
	uint64_t before = now.runtime_ns;

	now.runtime_ns = ns;
	return syscall(SYS_sched_setattr, 0, &now, 0) == 0 ? before : 0;
}
