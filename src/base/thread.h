/* SPDX-License-Identifier: MIT */
/* Threads of the library's. They take no signal that is sent: signals are the embedder's. */
#ifndef RS_BASE_THREAD_H
#define RS_BASE_THREAD_H

#include <pthread.h>

/* Call run(argument) in a thread that has all signals blocked but those that it causes itself. 0 or a
 * negative errno. */
int rs_thread_create(pthread_t *thread, void *(*run)(void *), void *argument);

/*
 * Have the calling thread, which does little at a time, run soon after it is woken, before threads that compute: by a
 * short slice, which Linux 6.12 and later honour. Its policy and nice value stay as they are; one that is not an ordinary
 * thread, because the embedder made it so, is left alone.
 */
void rs_thread_run_promptly(void);

#endif
