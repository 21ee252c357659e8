/* SPDX-License-Identifier: MIT */
#include "load/peek.h"

/* Have want bytes at *data; the reader's failure if the stream ends or fails before. */
static int peek(struct rs_page_reader *reader, struct rs_stream *stream, size_t want,
		const uint8_t **data)
{
	ssize_t have = rs_stream_peek(stream, data, want);

	if (have < 0)
		return rs_page_reader_check_stream(reader, stream);
	if ((size_t)have < want)
		return rs_page_reader_fail(
		    reader, -ENODATA, "the stream ended inside a body of RAM, after %llu bytes",
		    (unsigned long long)rs_stream_bytes_read(stream));
	return 0;
}

/* A parser of wire/, with what it needs of the reader. */
typedef int parser(const struct rs_page_reader *reader, const uint8_t *data, size_t have,
		   void *result, size_t *need, struct rs_error *error);

static int parse_record(const struct rs_page_reader *reader, const uint8_t *data, size_t have,
			void *result, size_t *need, struct rs_error *error)
{
	return rs_record_parse(data, have, reader->rules, result, need, error);
}

static int parse_block_entry(const struct rs_page_reader *reader, const uint8_t *data, size_t have,
			     void *result, size_t *need, struct rs_error *error)
{
	return rs_block_entry_parse(data, have, rs_state_ignores_shared(reader->state), result,
				    need, error);
}

/* Ask for as many bytes as the parser is sure of, until it has what it needs. */
static int peek_parsed(struct rs_page_reader *reader, struct rs_stream *stream, size_t want,
		       parser *parse, void *result)
{
	for (;;) {
		struct rs_error error = { 0 };
		const uint8_t *data;
		size_t need = 0;
		int bytes = peek(reader, stream, want, &data);

		if (bytes == 0)
			bytes = parse(reader, data, want, result, &need, &error);
		if (error.code != 0)
			return rs_page_reader_fail(reader, error.code, "%s", error.text);
		if (bytes != 0)
			return bytes;
		want = need;
	}
}

int rs_peek_record(struct rs_page_reader *reader, struct rs_stream *stream,
		   struct rs_record *record)
{
	return peek_parsed(reader, stream, RS_RECORD_MIN_BYTES, parse_record, record);
}

int rs_peek_block_entry(struct rs_page_reader *reader, struct rs_stream *stream,
			struct rs_block_entry *entry)
{
	return peek_parsed(reader, stream, RS_BLOCK_ENTRY_MIN_BYTES, parse_block_entry, entry);
}
