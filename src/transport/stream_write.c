/* SPDX-License-Identifier: MIT */
/*
 * Putting: small things are copied to the arena, large ones are referred to where they lie. The
 * queue holds both in order; neighbours in memory share an entry.
 */
#include "transport/stream_core.h"

#include "base/bytes.h"
#include "transport/stream_buffers.h"

#include <errno.h>

int rs_iov_consume(struct iovec *iov, int count, size_t bytes)
{
	int used = 0;

	while (used < count && bytes >= iov[used].iov_len) {
		bytes -= iov[used].iov_len;
		used++;
	}
	if (used < count) {
		iov[used].iov_base = (uint8_t *)iov[used].iov_base + bytes;
		iov[used].iov_len -= bytes;
	}
	return used;
}

int rs_stream_flush(struct rs_stream *stream)
{
	struct rs_stream_writer *writer = &stream->writer;
	struct iovec *iov = writer->queue;
	int left = writer->queue_length;

	while (left > 0) {
		ssize_t moved = rs_stream_move(stream, RS_WRITING, iov, left);
		int used;

		if (moved < 0)
			break;
		used = rs_iov_consume(iov, left, (size_t)moved);
		iov += used;
		left -= used;
	}
	writer->queue_length = 0;
	writer->queued_bytes = 0;
	writer->arena_used = 0;
	return rs_stream_code(stream);
}

static bool may_put(struct rs_stream *stream)
{
	if (rs_stream_code(stream) != 0)
		return false;
	if ((stream->flags & RS_STREAM_WRITE) == 0) {
		rs_stream_fail(stream, -EBADF, "the stream cannot be written");
		return false;
	}
	return true;
}

static bool follows_last(const struct rs_stream_writer *writer, const void *data)
{
	const struct iovec *last;

	if (writer->queue_length == 0)
		return false;
	last = &writer->queue[writer->queue_length - 1];
	return (const uint8_t *)last->iov_base + last->iov_len == data;
}

/* Put an entry at the end of the queue. The caller made sure that there is room. */
static void enqueue(struct rs_stream_writer *writer, const void *data, size_t bytes)
{
	if (follows_last(writer, data)) {
		writer->queue[writer->queue_length - 1].iov_len += bytes;
	} else {
		writer->queue[writer->queue_length].iov_base = (void *)data;
		writer->queue[writer->queue_length].iov_len = bytes;
		writer->queue_length++;
	}
	writer->queued_bytes += bytes;
	writer->bytes_put += bytes;
}

void rs_stream_put_ref(struct rs_stream *stream, const void *data, size_t bytes)
{
	struct rs_stream_writer *writer = &stream->writer;

	if (bytes == 0 || !may_put(stream))
		return;
	if (writer->queue_length == RS_STREAM_QUEUE_MAX && rs_stream_flush(stream) != 0)
		return;
	enqueue(writer, data, bytes);
	if (writer->queued_bytes >= RS_STREAM_FLUSH_BYTES)
		rs_stream_flush(stream);
}

/* Room for bytes <= RS_STREAM_ARENA_BYTES in one piece; NULL after an error. */
static uint8_t *arena_room(struct rs_stream *stream, size_t bytes)
{
	struct rs_stream_writer *writer = &stream->writer;

	if (!may_put(stream))
		return NULL;
	if ((bytes > RS_STREAM_ARENA_BYTES - writer->arena_used ||
	     writer->queue_length == RS_STREAM_QUEUE_MAX) &&
	    rs_stream_flush(stream) != 0)
		return NULL;
	return writer->arena + writer->arena_used;
}

static void arena_take(struct rs_stream *stream, size_t bytes)
{
	struct rs_stream_writer *writer = &stream->writer;

	enqueue(writer, writer->arena + writer->arena_used, bytes);
	writer->arena_used += bytes;
	if (writer->queued_bytes >= RS_STREAM_FLUSH_BYTES)
		rs_stream_flush(stream);
}

void rs_stream_put_bytes(struct rs_stream *stream, const void *data, size_t bytes)
{
	uint8_t *room;

	if (bytes == 0)
		return;
	/* What would not fit is cheaper to send from where it lies than to copy in pieces. */
	if (bytes > RS_STREAM_ARENA_BYTES) {
		rs_stream_put_ref(stream, data, bytes);
		rs_stream_flush(stream);
		return;
	}
	room = arena_room(stream, bytes);
	if (room == NULL)
		return;
	memcpy(room, data, bytes);
	arena_take(stream, bytes);
}

void rs_stream_put_u8(struct rs_stream *stream, uint8_t value)
{
	rs_stream_put_bytes(stream, &value, sizeof(value));
}

void rs_stream_put_be16(struct rs_stream *stream, uint16_t value)
{
	uint8_t bytes[sizeof(value)];

	rs_put_be16(bytes, value);
	rs_stream_put_bytes(stream, bytes, sizeof(bytes));
}

void rs_stream_put_be32(struct rs_stream *stream, uint32_t value)
{
	uint8_t bytes[sizeof(value)];

	rs_put_be32(bytes, value);
	rs_stream_put_bytes(stream, bytes, sizeof(bytes));
}

void rs_stream_put_be64(struct rs_stream *stream, uint64_t value)
{
	uint8_t bytes[sizeof(value)];

	rs_put_be64(bytes, value);
	rs_stream_put_bytes(stream, bytes, sizeof(bytes));
}
