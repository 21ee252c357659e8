/* SPDX-License-Identifier: MIT */
#include "migrate/header_io.h"

#include "transport/stream_buffers.h"

/* Have want bytes at *data. */
static int peek(struct rs_stream *stream, size_t want, const uint8_t **data, struct rs_error *error)
{
	if (want > RS_STREAM_PEEK_MAX)
		return rs_error_setf(error, -EINVAL, "the header is longer than %u bytes",
				     RS_STREAM_PEEK_MAX);
	ssize_t have = rs_stream_peek(stream, data, want);

	if (have < 0) {
		struct rs_error cause = { 0 };

		rs_stream_error(stream, &cause);
		return rs_error_setf(error, (int)have, "%s", cause.text);
	}
	if ((size_t)have < want)
		return rs_error_setf(
		    error, -ENODATA, "the stream ended after %llu bytes, inside its header",
		    (unsigned long long)rs_stream_bytes_read(stream) + (unsigned long long)have);
	return 0;
}

int rs_header_peek(struct rs_stream *stream, struct rs_header *header, struct rs_error *error)
{
	size_t want = RS_HEADER_MIN_BYTES;

	for (;;) {
		const uint8_t *data = NULL;
		size_t need = 0;
		int bytes = peek(stream, want, &data, error);

		if (bytes == 0)
			bytes = rs_header_parse(data, want, header, &need, error);
		if (bytes != 0)
			return bytes;
		want = need;
	}
}
