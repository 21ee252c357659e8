/* SPDX-License-Identifier: MIT */
/* Streams out of and into memory. */
#include "transport/stream_core.h"

#include "base/checked.h"
#include "codec/live_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading ------------------------------------------------------------------------------- */

struct source {
	const uint8_t *data;
	size_t left;
};

static ssize_t source_readv(struct rs_stream *stream, const struct iovec *iov, int count)
{
	struct source *source = stream->backend_data;
	size_t done = 0;
	int i;

	for (i = 0; i < count && source->left > 0; i++) {
		size_t bytes = rs_min_u64(iov[i].iov_len, source->left);

		memcpy(iov[i].iov_base, source->data, bytes);
		source->data += bytes;
		source->left -= bytes;
		done += bytes;
	}
	return (ssize_t)done;
}

static int source_close(struct rs_stream *stream, struct rs_error *error)
{
	(void)error;
	free(stream->backend_data);
	return 0;
}

static const struct rs_backend source_backend = {
	.readv = source_readv,
	.close = source_close,
};

int rs_stream_from_memory(const void *data, size_t bytes, struct rs_stream **stream)
{
	struct source *source = malloc(sizeof(*source));
	int code;

	if (source == NULL)
		return -ENOMEM;
	source->data = data;
	source->left = bytes;
	code = rs_stream_new(&source_backend, source, RS_STREAM_READ, stream);
	if (code != 0)
		free(source);
	return code;
}

/* ---- writing ------------------------------------------------------------------------------- */

struct sink {
	uint8_t *data;
	size_t used;
	size_t capacity;
	size_t max_bytes;
};

/* Have room for bytes more, which max_bytes allows. */
static int sink_grow(struct sink *sink, size_t bytes)
{
	size_t capacity = sink->capacity;
	uint8_t *data;

	if (bytes <= capacity - sink->used)
		return 0;
	capacity = rs_max_u64(rs_add_saturating(capacity, capacity), sink->used + bytes);
	capacity = rs_min_u64(capacity, sink->max_bytes);
	data = realloc(sink->data, capacity);
	if (data == NULL)
		return -ENOMEM;
	sink->data = data;
	sink->capacity = capacity;
	return 0;
}

static ssize_t sink_writev(struct rs_stream *stream, const struct iovec *iov, int count)
{
	struct sink *sink = stream->backend_data;
	size_t done = 0;
	int i;

	for (i = 0; i < count; i++) {
		size_t bytes = rs_min_u64(iov[i].iov_len, sink->max_bytes - sink->used);

		if (bytes == 0)
			break;
		if (sink_grow(sink, bytes) != 0)
			return -ENOMEM;
		/* The vector may point at memory that the guest is writing. */
		rs_live_copy(sink->data + sink->used, iov[i].iov_base, bytes);
		sink->used += bytes;
		done += bytes;
	}
	if (done > 0)
		return (ssize_t)done;
	return rs_stream_fail(stream, -ENOSPC, "the memory stream is full: it may hold %zu bytes",
			      sink->max_bytes);
}

static int sink_close(struct rs_stream *stream, struct rs_error *error)
{
	struct sink *sink = stream->backend_data;

	(void)error;
	free(sink->data);
	free(sink);
	return 0;
}

static const struct rs_backend sink_backend = {
	.writev = sink_writev,
	.close = sink_close,
};

int rs_stream_to_memory(size_t max_bytes, struct rs_stream **stream)
{
	struct sink *sink = calloc(1, sizeof(*sink));
	int code;

	if (sink == NULL)
		return -ENOMEM;
	sink->max_bytes = max_bytes;
	code = rs_stream_new(&sink_backend, sink, RS_STREAM_WRITE, stream);
	if (code != 0)
		free(sink);
	return code;
}

ssize_t rs_stream_memory(struct rs_stream *stream, const void **data)
{
	const struct sink *sink = stream->backend_data;
	int code;

	if (stream->backend != &sink_backend)
		return -EINVAL;
	code = rs_stream_flush(stream);
	if (code != 0)
		return code;
	*data = sink->data;
	return (ssize_t)sink->used;
}
