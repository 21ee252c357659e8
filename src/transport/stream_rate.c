/* SPDX-License-Identifier: MIT */
#include "transport/stream_core.h"

#include "base/checked.h"

/* From any thread, also while another one waits for budget under the old rate. */
void rs_stream_rate_set(struct rs_stream *stream, uint64_t bytes_per_second)
{
	rs_rate_limit_set(&stream->rate, bytes_per_second);
	pthread_mutex_lock(&stream->lock);
	pthread_cond_broadcast(&stream->wake);
	pthread_mutex_unlock(&stream->lock);
}

void rs_stream_rate_set_windows(struct rs_stream *stream, unsigned windows)
{
	rs_rate_limit_set_windows(&stream->rate, windows);
}

void rs_stream_rate_forgive(struct rs_stream *stream, uint64_t bytes)
{
	rs_rate_limit_forgive(&stream->rate, bytes, stream->writer.bytes_put, rs_clock_ns());
}

uint64_t rs_stream_rate_left(struct rs_stream *stream)
{
	return rs_rate_limit_left(&stream->rate, stream->writer.bytes_put, rs_clock_ns());
}

bool rs_stream_rate_exceeded(struct rs_stream *stream)
{
	return rs_stream_rate_left(stream) == 0;
}

int rs_stream_rate_wait(struct rs_stream *stream)
{
	int code = rs_stream_code(stream);

	while (code == 0) {
		uint64_t ns =
		    rs_rate_limit_wait_ns(&stream->rate, stream->writer.bytes_put, rs_clock_ns());

		if (ns == 0)
			return 0;
		/* What is queued would lie there as long as the debt takes to pay. */
		code = rs_stream_flush(stream);
		/* A rate set between the look and the sleep wakes nobody: look again soon. */
		if (code == 0)
			rs_stream_sleep(stream, rs_min_u64(ns, RS_RATE_WINDOW_NS));
		if (code == 0)
			code = rs_stream_code(stream);
	}
	return code;
}

void rs_stream_wake(struct rs_stream *stream)
{
	pthread_mutex_lock(&stream->lock);
	stream->woken = true;
	pthread_cond_broadcast(&stream->wake);
	pthread_mutex_unlock(&stream->lock);
}

/* Sleep, unless there was a wake. Whether there was one. */
static bool doze(struct rs_stream *stream, uint64_t ns)
{
	pthread_mutex_lock(&stream->lock);
	if (!stream->woken)
		rs_stream_sleep_locked(stream, ns);
	bool woken = stream->woken;

	stream->woken = false;
	pthread_mutex_unlock(&stream->lock);
	return woken;
}

int rs_stream_wait_for_wake(struct rs_stream *stream, bool for_budget)
{
	int code = rs_stream_flush(stream);

	while (code == 0) {
		uint64_t ns = UINT64_MAX;

		if (for_budget)
			ns = rs_rate_limit_wait_ns(&stream->rate, stream->writer.bytes_put,
						   rs_clock_ns());
		/* As above: a new rate may have woken nobody. */
		if (ns == 0 || doze(stream, rs_min_u64(ns, RS_RATE_WINDOW_NS)))
			break;
		code = rs_stream_code(stream);
	}
	return code != 0 ? code : rs_stream_code(stream);
}
