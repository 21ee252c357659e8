/* SPDX-License-Identifier: MIT */
/* Threads of the library's. They take no signal that is sent: signals are the embedder's. */
#ifndef RS_BASE_THREAD_H
#define RS_BASE_THREAD_H

#include <pthread.h>

/* Call run(argument) in a thread that has all signals blocked but those that it causes itself. 0 or a
 * negative errno. */
int rs_thread_create(pthread_t *thread, void *(*run)(void *), void *argument);

#endif
