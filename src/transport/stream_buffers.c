/* SPDX-License-Identifier: MIT */
#include "transport/stream_buffers.h"

#include "transport/stream_core.h"

#include <errno.h>
#include <stdlib.h>

int rs_stream_buffers_init(struct rs_stream *stream)
{
	if ((stream->flags & RS_STREAM_WRITE) != 0) {
		stream->writer.arena = malloc(RS_STREAM_ARENA_BYTES);
		stream->writer.queue = calloc(RS_STREAM_QUEUE_MAX, sizeof(struct iovec));
		if (stream->writer.arena == NULL || stream->writer.queue == NULL)
			return -ENOMEM;
	}
	if ((stream->flags & RS_STREAM_READ) != 0) {
		stream->reader.buffer = malloc(RS_STREAM_BUFFER_BYTES);
		if (stream->reader.buffer == NULL)
			return -ENOMEM;
	}
	return 0;
}

void rs_stream_buffers_fini(struct rs_stream *stream)
{
	free(stream->writer.arena);
	free(stream->writer.queue);
	free(stream->reader.buffer);
}
