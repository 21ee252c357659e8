/* SPDX-License-Identifier: MIT */
/*
 * The inside of a stream: a writer, a reader and a sticky error over a backend.
 *
 *	stream.c	life, sticky error, shutdown, the one loop that moves bytes
 *	stream_write.c	put and flush: arena and iovec queue
 *	stream_read.c	get, peek, read into place: buffer
 *	stream_rate.c	rate limit
 *	*_stream.c	the backends: descriptors, memory, the embedder's callbacks
 *
 * The public rule is one thread at a time. Here the writer and the reader share nothing but the
 * sticky error, so that one thread may read while another one writes.
 */
#ifndef RS_TRANSPORT_STREAM_CORE_H
#define RS_TRANSPORT_STREAM_CORE_H

#include "transport/rate_limit.h"
#include "transport/stream.h"

#include <pthread.h>
#include <stdatomic.h>

enum rs_direction {
	RS_READING,
	RS_WRITING,
};

/*
 * What moves the bytes. readv and writev return bytes moved, 0 at the end of the input, -EINTR or
 * -EAGAIN for "ask again", or another negative errno; they should not block. wait blocks until
 * the direction may have become ready, shutdown was called, or timeout_ms (-1: none) passed; NULL
 * sleeps a millisecond. shutdown (any thread, NULL if nothing blocks) wakes what blocks; the
 * sticky error is set before it is called. close frees backend_data and may fail.
 */
struct rs_backend {
	ssize_t (*readv)(struct rs_stream *stream, const struct iovec *iov, int count);
	ssize_t (*writev)(struct rs_stream *stream, const struct iovec *iov, int count);
	int (*wait)(struct rs_stream *stream, enum rs_direction direction, int timeout_ms);
	void (*shutdown)(struct rs_stream *stream);
	/* Tell the peer that nothing more comes or is read, after shutdown; NULL if there is no way to. */
	void (*hang_up)(struct rs_stream *stream);
	/* Have little on the way, see rs_stream_queue_little(); NULL if that is so anyway, or cannot be. */
	void (*queue_little)(struct rs_stream *stream);
	int (*close)(struct rs_stream *stream, struct rs_error *error);
	bool never_blocks; /* readv and writev keep to what they should */
};

struct rs_stream_writer {
	/* Bytes that were put by value, as the queue refers to them. */
	uint8_t *arena;
	size_t arena_used;
	/* What the next flush sends, in order. */
	struct iovec *queue;
	int queue_length;
	uint64_t queued_bytes;
	uint64_t bytes_put;
	uint64_t bytes_moved;
};

struct rs_stream_reader {
	/* The bytes [head, tail) came from the backend and were not taken yet. */
	uint8_t *buffer;
	size_t head;
	size_t tail;
	bool ended;
	uint64_t bytes_got;
	uint64_t bytes_moved;
};

struct rs_stream {
	/* immutable */
	const struct rs_backend *backend;
	void *backend_data;
	unsigned flags;

	/* any thread: the code of error, set after its text, or 0 */
	atomic_int failed;

	/* guarded by lock; wake is broadcast when failed, woken or the rate limit changes */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool woken; /* by rs_stream_wake(), and nobody waited since */
	struct rs_error error;

	/* the thread that uses the stream (the reading and the writing one) */
	atomic_uint stall_timeout_ms[2]; /* by direction; may be changed while a thread waits */
	atomic_bool waits_to_read;       /* before each read: mostly there is nothing yet */
	struct rs_stream_writer writer;
	struct rs_stream_reader reader;
	struct rs_rate_limit rate;
};

/*
 * Make a stream of a backend. flags are checked: -EINVAL for none, unknown, or without a
 * callback. On failure backend_data stays the caller's.
 */
int rs_stream_new(const struct rs_backend *backend, void *backend_data, unsigned flags,
		  struct rs_stream **stream);

/* Code of the sticky error, or 0. */
static inline int rs_stream_code(const struct rs_stream *stream)
{
	return atomic_load_explicit(&stream->failed, memory_order_acquire);
}

/*
 * Move at least one byte, or wait until that is possible; the stall time-out and shutdown end the
 * wait. Bytes moved; 0 at the end of the input; the sticky error.
 */
ssize_t rs_stream_move(struct rs_stream *stream, enum rs_direction direction,
		       const struct iovec *iov, int count);

/* Sleep, but not beyond shutdown or a new rate. */
void rs_stream_sleep(struct rs_stream *stream, uint64_t ns);
void rs_stream_sleep_locked(struct rs_stream *stream, uint64_t ns);

/* Take moved bytes off the front of a vector; returns how many entries are used up. */
int rs_iov_consume(struct iovec *iov, int count, size_t bytes);

#endif
