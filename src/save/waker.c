/* SPDX-License-Identifier: MIT */
#include "save/waker.h"

#include "transport/stream.h"

void rs_waker_init(struct rs_waker *waker)
{
	*waker = (struct rs_waker){ .stream = NULL };
	pthread_mutex_init(&waker->lock, NULL);
}

void rs_waker_fini(struct rs_waker *waker)
{
	pthread_mutex_destroy(&waker->lock);
}

int rs_waker_sleep(struct rs_waker *waker, struct rs_stream *stream, bool for_budget,
		   bool (*is_ready)(void *opaque), void *opaque)
{
	pthread_mutex_lock(&waker->lock);
	bool sleeps = !waker->woken && !is_ready(opaque);

	waker->woken = false;
	waker->for_budget = for_budget;
	if (sleeps)
		waker->stream = stream;
	pthread_mutex_unlock(&waker->lock);
	if (!sleeps)
		return rs_stream_flush(stream);
	int result = rs_stream_wait_for_wake(stream, for_budget);

	/* From here on nobody touches the stream: it may be closed. */
	pthread_mutex_lock(&waker->lock);
	waker->stream = NULL;
	waker->woken = false;
	pthread_mutex_unlock(&waker->lock);
	return result;
}

static void call_locked(struct rs_waker *waker)
{
	if (waker->stream != NULL)
		rs_stream_wake(waker->stream);
}

void rs_waker_call(struct rs_waker *waker)
{
	pthread_mutex_lock(&waker->lock);
	call_locked(waker);
	pthread_mutex_unlock(&waker->lock);
}

void rs_waker_call_unless_for_budget(struct rs_waker *waker)
{
	pthread_mutex_lock(&waker->lock);
	if (!waker->for_budget)
		call_locked(waker);
	pthread_mutex_unlock(&waker->lock);
}

void rs_waker_wake(struct rs_waker *waker)
{
	pthread_mutex_lock(&waker->lock);
	waker->woken = true;
	waker->body_ends = true;
	call_locked(waker);
	pthread_mutex_unlock(&waker->lock);
}

bool rs_waker_ends_body(struct rs_waker *waker)
{
	pthread_mutex_lock(&waker->lock);
	bool ends = waker->body_ends;

	waker->body_ends = false;
	pthread_mutex_unlock(&waker->lock);
	return ends;
}
