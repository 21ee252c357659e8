/* SPDX-License-Identifier: MIT */
/*
 * Getting: from the buffer what is there, the rest straight into place, with whatever follows it
 * read into the buffer by the same call.
 */
#include "transport/stream_core.h"

#include "base/bytes.h"
#include "base/checked.h"
#include "codec/page_copy.h"
#include "transport/stream_buffers.h"

#include <errno.h>

#define LONG_BYTES (64u << 10)

static int may_get(struct rs_stream *stream)
{
	int code = rs_stream_code(stream);

	if (code == 0 && (stream->flags & RS_STREAM_READ) == 0)
		code = rs_stream_fail(stream, -EBADF, "the stream cannot be read");
	return code;
}

static int ended_early(struct rs_stream *stream)
{
	return rs_stream_fail(stream, -ENODATA, "the stream ended after %llu bytes",
			      (unsigned long long)stream->reader.bytes_moved);
}

/* One read; remembers the end, so that nobody has to hit end-of-file twice on a terminal. */
static ssize_t read_some(struct rs_stream *stream, const struct iovec *iov, int count)
{
	ssize_t moved;

	if (stream->reader.ended)
		return 0;
	moved = rs_stream_move(stream, RS_READING, iov, count);
	if (moved == 0)
		stream->reader.ended = true;
	return moved;
}

static size_t take_buffered(struct rs_stream_reader *reader, void *to, size_t bytes)
{
	size_t taken = rs_min_u64(bytes, reader->tail - reader->head);

	if (to != NULL)
		rs_page_copy(to, reader->buffer + reader->head, taken);
	reader->head += taken;
	reader->bytes_got += taken;
	return taken;
}

/*
 * Read more than the buffer holds, which is empty now: into place, and what follows behind it. What
 * goes through the buffer is copied once more. That is cheaper than a call for each small piece,
 * but behind a long run of pages only the next header is wanted.
 */
static int read_in_place(struct rs_stream *stream, uint8_t *to, size_t bytes, size_t *placed)
{
	struct rs_stream_reader *reader = &stream->reader;
	size_t ahead = bytes < LONG_BYTES ? RS_STREAM_BUFFER_BYTES : RS_STREAM_PEEK_MAX;

	while (*placed < bytes) {
		size_t wanted = bytes - *placed;
		struct iovec iov[2] = { { to + *placed, wanted }, { reader->buffer, ahead } };
		ssize_t moved = read_some(stream, iov, 2);
		size_t here;

		if (moved < 0)
			return (int)moved;
		if (moved == 0)
			return ended_early(stream);
		here = rs_min_u64((size_t)moved, wanted);
		*placed += here;
		reader->bytes_got += here;
		reader->head = 0;
		reader->tail = (size_t)moved - here;
	}
	return 0;
}

size_t rs_stream_last_words(struct rs_stream *stream, void *to, size_t bytes)
{
	size_t have;

	if (!(stream->flags & RS_STREAM_READ) || !stream->backend->never_blocks ||
	    rs_stream_code(stream) == -ECANCELED)
		return 0;
	have = take_buffered(&stream->reader, to, bytes);
	while (have < bytes) {
		struct iovec rest = { (uint8_t *)to + have, bytes - have };
		ssize_t moved = stream->backend->readv(stream, &rest, 1);

		if (moved <= 0)
			break;
		have += (size_t)moved;
	}
	return have;
}

int rs_stream_read_into(struct rs_stream *stream, void *to, size_t bytes, size_t *placed)
{
	int code = may_get(stream);
	size_t done = 0;

	if (code == 0 && bytes > 0) {
		done = take_buffered(&stream->reader, to, bytes);
		code = read_in_place(stream, to, bytes, &done);
	}
	if (placed != NULL)
		*placed = done;
	return code;
}

/* Have at least bytes in the buffer, or all that come. 0 or the sticky error. */
static int fill(struct rs_stream *stream, size_t bytes)
{
	struct rs_stream_reader *reader = &stream->reader;

	if (reader->tail - reader->head >= bytes)
		return 0;
	/* Less than RS_STREAM_PEEK_MAX bytes are there: cheap to move, and the read gets it all. */
	memmove(reader->buffer, reader->buffer + reader->head, reader->tail - reader->head);
	reader->tail -= reader->head;
	reader->head = 0;
	while (reader->tail < bytes) {
		struct iovec iov = { reader->buffer + reader->tail,
				     RS_STREAM_BUFFER_BYTES - reader->tail };
		ssize_t moved = read_some(stream, &iov, 1);

		if (moved <= 0)
			return (int)moved;
		reader->tail += (size_t)moved;
	}
	return 0;
}

ssize_t rs_stream_peek(struct rs_stream *stream, const uint8_t **data, size_t bytes)
{
	struct rs_stream_reader *reader = &stream->reader;
	int code;

	if (bytes == 0 || bytes > RS_STREAM_PEEK_MAX)
		return -EINVAL;
	code = may_get(stream);
	if (code == 0)
		code = fill(stream, bytes);
	if (code != 0)
		return code;
	*data = reader->buffer + reader->head;
	return (ssize_t)rs_min_u64(bytes, reader->tail - reader->head);
}

size_t rs_stream_buffered(const struct rs_stream *stream, const uint8_t **data)
{
	const struct rs_stream_reader *reader = &stream->reader;

	*data = reader->buffer + reader->head;
	return reader->tail - reader->head;
}

int rs_stream_skip(struct rs_stream *stream, uint64_t bytes)
{
	struct rs_stream_reader *reader = &stream->reader;
	int code = may_get(stream);

	while (code == 0 && bytes > 0) {
		code = fill(stream, 1);
		if (code == 0 && reader->tail == reader->head)
			code = ended_early(stream);
		if (code == 0)
			bytes -= take_buffered(reader, NULL, bytes);
	}
	return code;
}

int rs_stream_get_bytes(struct rs_stream *stream, void *data, size_t bytes)
{
	int code = rs_stream_read_into(stream, data, bytes, NULL);

	if (code != 0 && bytes > 0)
		memset(data, 0, bytes);
	return code;
}

uint8_t rs_stream_get_u8(struct rs_stream *stream)
{
	uint8_t value;

	rs_stream_get_bytes(stream, &value, sizeof(value));
	return value;
}

uint16_t rs_stream_get_be16(struct rs_stream *stream)
{
	uint8_t bytes[sizeof(uint16_t)];

	rs_stream_get_bytes(stream, bytes, sizeof(bytes));
	return rs_get_be16(bytes);
}

uint32_t rs_stream_get_be32(struct rs_stream *stream)
{
	uint8_t bytes[sizeof(uint32_t)];

	rs_stream_get_bytes(stream, bytes, sizeof(bytes));
	return rs_get_be32(bytes);
}

uint64_t rs_stream_get_be64(struct rs_stream *stream)
{
	uint8_t bytes[sizeof(uint64_t)];

	rs_stream_get_bytes(stream, bytes, sizeof(bytes));
	return rs_get_be64(bytes);
}
