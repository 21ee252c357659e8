/* SPDX-License-Identifier: MIT */
/* Threads of the library's. They take no signal that is sent: signals are the embedder's. */
#ifndef RS_BASE_THREAD_H
#define RS_BASE_THREAD_H

#include <pthread.h>
#include <stdint.h>

/* Call run(argument) in a thread that has all signals blocked but those that it causes itself. 0 or a
 * negative errno. */
int rs_thread_create(pthread_t *thread, void *(*run)(void *), void *argument);

/* For one that does little at a time, and that somebody waits for. */
#define RS_SLICE_PROMPT_NS 100000u
/* For one that computes, or copies, for long, while nobody waits for it. */
#define RS_SLICE_PATIENT_NS 10000000u

/*
 * Change the slice of the calling thread: woken, it runs before those on its processor that have a longer one, which
 * Linux 6.12 and later do, and earlier ones do not know. Its share of the processor stays as it is, and so does one
 * that is no ordinary thread, because the embedder made it so. Returns what the slice was, for setting it back; 0, which
 * can be set and changes nothing, if it cannot be changed.
 */
uint64_t rs_thread_set_slice(uint64_t ns);

#endif
