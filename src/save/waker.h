/* SPDX-License-Identifier: MIT */
/* The sleep of the thread that saves: on the stream that it writes, so that a shutdown ends it, as does
 * whoever has something for it to do. */
#ifndef RS_SAVE_WAKER_H
#define RS_SAVE_WAKER_H

#include <ramsync/stream.h>

#include <pthread.h>
#include <stdbool.h>

struct rs_waker {
	pthread_mutex_t lock;
	/* guarded by lock */
	struct rs_stream *stream; /* on which it sleeps, or is about to */
	bool for_budget;          /* it sleeps for that */
	bool woken;               /* the next sleep is to be none */
	bool body_ends;           /* the next body is to be short */
};

void rs_waker_init(struct rs_waker *waker);
void rs_waker_fini(struct rs_waker *waker);

/*
 * Sleep until somebody calls; with for_budget, at the longest until the stream's limit allows bytes. No
 * sleep if is_ready(opaque): a call that comes after that is not missed. 0 or the stream's error.
 */
int rs_waker_sleep(struct rs_waker *waker, struct rs_stream *stream, bool for_budget,
		   bool (*is_ready)(void *opaque), void *opaque);

/* What is_ready() asks about may have changed. Any thread. */
void rs_waker_call(struct rs_waker *waker);

/* The same for somebody who does not sleep for budget: there is nothing new to send. Any thread. */
void rs_waker_call_unless_for_budget(struct rs_waker *waker);

/* End this sleep or the next, and the body that is being written or the next. Any thread. */
void rs_waker_wake(struct rs_waker *waker);

/* Whether the body is to end by that; once. */
bool rs_waker_ends_body(struct rs_waker *waker);

#endif
