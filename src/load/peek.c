/* SPDX-License-Identifier: MIT */
#include "load/peek.h"

/* Have want bytes at *data; the session's error if the stream ends or fails before. */
static int peek(struct rs_load *load, struct rs_stream *stream, size_t want, const uint8_t **data)
{
	ssize_t have = rs_stream_peek(stream, data, want);

	if (have < 0)
		return rs_session_check_stream(load->state, stream);
	if ((size_t)have < want)
		return rs_session_fail(load->state, -ENODATA,
				       "the stream ended inside a body of RAM, after %llu bytes",
				       (unsigned long long)rs_stream_bytes_read(stream));
	return 0;
}

int rs_peek_record(struct rs_load *load, struct rs_stream *stream, struct rs_record *record)
{
	size_t want = RS_RECORD_MIN_BYTES;

	for (;;) {
		struct rs_error error = { 0 };
		const uint8_t *data;
		size_t need = 0;
		int bytes = peek(load, stream, want, &data);

		if (bytes == 0)
			bytes = rs_record_parse(data, want, &load->rules, record, &need, &error);
		if (error.code != 0)
			return rs_session_fail_with(load->state, &error);
		if (bytes != 0)
			return bytes;
		want = need;
	}
}

int rs_peek_block_entry(struct rs_load *load, struct rs_stream *stream, bool with_address,
			struct rs_block_entry *entry)
{
	size_t want = RS_BLOCK_ENTRY_MIN_BYTES;

	for (;;) {
		struct rs_error error = { 0 };
		const uint8_t *data;
		size_t need = 0;
		int bytes = peek(load, stream, want, &data);

		if (bytes == 0)
			bytes =
			    rs_block_entry_parse(data, want, with_address, entry, &need, &error);
		if (error.code != 0)
			return rs_session_fail_with(load->state, &error);
		if (bytes != 0)
			return bytes;
		want = need;
	}
}
