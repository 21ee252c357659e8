/* SPDX-License-Identifier: MIT */
#include "transport/stream_core.h"

#include "base/error.h"
#include "transport/stream_buffers.h"

#include <limits.h>
#include <stdlib.h>

#define AGAIN_NS RS_NS_PER_MS

static bool flags_fit(const struct rs_backend *backend, unsigned flags)
{
	const unsigned known = RS_STREAM_TWO_WAY | RS_STREAM_KEEP_FD;

	if ((flags & ~known) != 0 || (flags & RS_STREAM_TWO_WAY) == 0)
		return false;
	if ((flags & RS_STREAM_READ) != 0 && backend->readv == NULL)
		return false;
	return (flags & RS_STREAM_WRITE) == 0 || backend->writev != NULL;
}

/* The condition variable counts the clock that every other rule here counts. */
static int locks_init(struct rs_stream *stream)
{
	pthread_condattr_t attributes;
	int failed;

	if (pthread_condattr_init(&attributes) != 0)
		return -ENOMEM;
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	failed = pthread_cond_init(&stream->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	if (failed != 0)
		return -ENOMEM;
	if (pthread_mutex_init(&stream->lock, NULL) != 0) {
		pthread_cond_destroy(&stream->wake);
		return -ENOMEM;
	}
	return 0;
}

int rs_stream_new(const struct rs_backend *backend, void *backend_data, unsigned flags,
		  struct rs_stream **out)
{
	struct rs_stream *stream;

	if (!flags_fit(backend, flags))
		return -EINVAL;
	stream = calloc(1, sizeof(*stream));
	if (stream == NULL)
		return -ENOMEM;
	stream->backend = backend;
	stream->backend_data = backend_data;
	stream->flags = flags;
	if (rs_stream_buffers_init(stream) != 0 || locks_init(stream) != 0) {
		rs_stream_buffers_fini(stream);
		free(stream);
		return -ENOMEM;
	}
	*out = stream;
	return 0;
}

int rs_stream_close(struct rs_stream *stream, struct rs_error *error)
{
	int code = 0;

	if (error != NULL)
		*error = (struct rs_error){ 0 };
	if (stream == NULL)
		return 0;
	if (stream->backend->close != NULL)
		code = stream->backend->close(stream, error);
	pthread_cond_destroy(&stream->wake);
	pthread_mutex_destroy(&stream->lock);
	rs_stream_buffers_fini(stream);
	free(stream);
	return code;
}

/* ---- the sticky error ---------------------------------------------------------------------- */

int rs_stream_fail(struct rs_stream *stream, int code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	pthread_mutex_lock(&stream->lock);
	rs_error_setv(&stream->error, code, format, arguments);
	code = stream->error.code;
	atomic_store_explicit(&stream->failed, code, memory_order_release);
	pthread_cond_broadcast(&stream->wake);
	pthread_mutex_unlock(&stream->lock);
	va_end(arguments);
	return code;
}

void rs_stream_shutdown(struct rs_stream *stream)
{
	rs_stream_fail(stream, -ECANCELED, "the stream was shut down");
	if (stream->backend->shutdown != NULL)
		stream->backend->shutdown(stream);
}

void rs_stream_hang_up(struct rs_stream *stream)
{
	rs_stream_shutdown(stream);
	if (stream->backend->hang_up != NULL)
		stream->backend->hang_up(stream);
}

void rs_stream_queue_little(struct rs_stream *stream)
{
	if (stream->backend->queue_little != NULL)
		stream->backend->queue_little(stream);
}

int rs_stream_error(const struct rs_stream *stream, struct rs_error *error)
{
	struct rs_stream *unlocked = (struct rs_stream *)stream;
	int code;

	/* Asked after each record. Besides its own price a locked instruction waits until the pages
	 * that were just copied have reached memory. */
	if (rs_stream_code(stream) == 0) {
		if (error != NULL)
			*error = (struct rs_error){ 0 };
		return 0;
	}
	pthread_mutex_lock(&unlocked->lock);
	code = stream->error.code;
	if (error != NULL)
		*error = stream->error;
	pthread_mutex_unlock(&unlocked->lock);
	return code;
}

/* ---- what it is and has done --------------------------------------------------------------- */

unsigned rs_stream_flags(const struct rs_stream *stream)
{
	return stream->flags;
}

uint64_t rs_stream_bytes_written(const struct rs_stream *stream)
{
	return stream->writer.bytes_put;
}

uint64_t rs_stream_bytes_read(const struct rs_stream *stream)
{
	return stream->reader.bytes_got;
}

void rs_stream_set_stall_timeout(struct rs_stream *stream, unsigned timeout_ms)
{
	atomic_store_explicit(&stream->stall_timeout_ms[RS_READING], timeout_ms,
			      memory_order_relaxed);
	atomic_store_explicit(&stream->stall_timeout_ms[RS_WRITING], timeout_ms,
			      memory_order_relaxed);
}

void rs_stream_read_patiently(struct rs_stream *stream)
{
	atomic_store_explicit(&stream->stall_timeout_ms[RS_READING], 0, memory_order_relaxed);
	atomic_store_explicit(&stream->waits_to_read, stream->backend->wait != NULL,
			      memory_order_relaxed);
}

/* ---- moving bytes -------------------------------------------------------------------------- */

void rs_stream_sleep_locked(struct rs_stream *stream, uint64_t ns)
{
	uint64_t until = rs_clock_ns() + ns;
	struct timespec deadline = { .tv_sec = (time_t)(until / RS_NS_PER_S),
				     .tv_nsec = (long)(until % RS_NS_PER_S) };

	if (stream->error.code == 0)
		pthread_cond_timedwait(&stream->wake, &stream->lock, &deadline);
}

void rs_stream_sleep(struct rs_stream *stream, uint64_t ns)
{
	pthread_mutex_lock(&stream->lock);
	rs_stream_sleep_locked(stream, ns);
	pthread_mutex_unlock(&stream->lock);
}

static const char *direction_name(enum rs_direction direction)
{
	return direction == RS_READING ? "reading" : "writing";
}

static int move_failed(struct rs_stream *stream, enum rs_direction direction, int code)
{
	uint64_t moved =
	    direction == RS_READING ? stream->reader.bytes_moved : stream->writer.bytes_moved;

	return rs_stream_fail(stream, code, "%s the stream failed after %llu bytes: %s",
			      direction_name(direction), (unsigned long long)moved,
			      rs_errno_text(code));
}

/* One wait; since is when the waits for the same byte began, 0 before the first. */
static int wait_ready(struct rs_stream *stream, enum rs_direction direction, uint64_t *since)
{
	unsigned timeout_ms =
	    atomic_load_explicit(&stream->stall_timeout_ms[direction], memory_order_relaxed);
	uint64_t limit = timeout_ms * RS_NS_PER_MS;
	uint64_t now = rs_clock_ns();
	uint64_t left_ms = INT_MAX;
	int code;

	if (*since == 0)
		*since = now;
	if (limit != 0 && now - *since >= limit)
		return rs_stream_fail(stream, -ETIMEDOUT, "%s stalled: not a byte moved in %u ms",
				      direction_name(direction), timeout_ms);
	if (stream->backend->wait == NULL) {
		rs_stream_sleep(stream, AGAIN_NS);
		return 0;
	}
	if (limit != 0)
		left_ms = (limit - (now - *since)) / RS_NS_PER_MS + 1;
	code = stream->backend->wait(stream, direction,
				     limit == 0 || left_ms > INT_MAX ? -1 : (int)left_ms);
	return code == 0 ? 0 : move_failed(stream, direction, code);
}

static size_t iov_bytes(const struct iovec *iov, int count)
{
	size_t bytes = 0;
	int i;

	for (i = 0; i < count; i++)
		bytes += iov[i].iov_len;
	return bytes;
}

/* An embedder's callback may claim anything. */
static ssize_t check_moved(struct rs_stream *stream, enum rs_direction direction, ssize_t moved,
			   size_t asked)
{
	if (moved < 0)
		return move_failed(stream, direction, (int)moved);
	if (moved == 0 && direction == RS_READING) {
		/* The end that a shutdown makes the backend report is none. */
		return rs_stream_code(stream);
	}
	if (moved == 0 || (size_t)moved > asked)
		return rs_stream_fail(stream, -EIO,
				      "%s the stream failed: the transport claims %zd of %zu bytes",
				      direction_name(direction), moved, asked);
	if (direction == RS_READING)
		stream->reader.bytes_moved += (uint64_t)moved;
	else
		stream->writer.bytes_moved += (uint64_t)moved;
	return moved;
}

ssize_t rs_stream_move(struct rs_stream *stream, enum rs_direction direction,
		       const struct iovec *iov, int count)
{
	bool waits = direction == RS_READING &&
		     atomic_load_explicit(&stream->waits_to_read, memory_order_relaxed);
	uint64_t since = 0;

	for (;;) {
		int code = rs_stream_code(stream);
		ssize_t moved;

		if (code != 0)
			return code;
		if (waits)
			moved = -EAGAIN;
		else if (direction == RS_READING)
			moved = stream->backend->readv(stream, iov, count);
		else
			moved = stream->backend->writev(stream, iov, count);
		waits = false;
		if (moved == -EAGAIN)
			code = wait_ready(stream, direction, &since);
		else if (moved != -EINTR)
			return check_moved(stream, direction, moved, iov_bytes(iov, count));
		if (code != 0)
			return code;
	}
}
