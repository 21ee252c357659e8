/* SPDX-License-Identifier: MIT */
#include "interop/framing.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	START = 0x01,
	PART = 0x02,
	END = 0x03,
	FULL = 0x04,
	SUBSECTION = 0x05,
	CONFIGURATION = 0x07,
	COMMAND = 0x08,
	FOOTER = 0x7e,
};

static int odd(const char *what, uint64_t value)
{
	fprintf(stderr, "framing: %s: 0x%llx\n", what, (unsigned long long)value);
	return -EPROTO;
}

static void get_name(struct rs_stream *stream, char name[256])
{
	uint8_t bytes = rs_stream_get_u8(stream);

	memset(name, 0, 256);
	rs_stream_get_bytes(stream, name, bytes);
}

static int peek_byte(struct rs_stream *stream)
{
	const uint8_t *data;

	return rs_stream_peek(stream, &data, 1) == 1 ? *data : -1;
}

static int get_subsection(struct rs_stream *stream)
{
	char name[256];

	rs_stream_get_u8(stream);
	get_name(stream, name);
	rs_stream_get_be32(stream);
	if (strcmp(name, "configuration/capabilities") != 0)
		return odd(name, 0);
	for (uint32_t count = rs_stream_get_be32(stream); count > 0; count--)
		get_name(stream, name);
	return 0;
}

static int get_header(struct framing *framing, struct rs_stream *stream)
{
	uint32_t magic = rs_stream_get_be32(stream), version = rs_stream_get_be32(stream);
	uint8_t configuration = rs_stream_get_u8(stream);
	uint32_t bytes = rs_stream_get_be32(stream);

	if (magic != 0x5145564d || version != 3 || configuration != CONFIGURATION ||
	    bytes >= sizeof(framing->machine))
		return odd("header", magic);
	rs_stream_get_bytes(stream, framing->machine, bytes);
	while (peek_byte(stream) == SUBSECTION) {
		int result = get_subsection(stream);

		if (result != 0)
			return result;
	}
	return rs_stream_error(stream, NULL);
}

static int load_body(struct framing *framing, struct rs_state *state, struct rs_stream *stream,
		     int version)
{
	int result = rs_load(state, stream, version);

	if (result != 0)
		return result;
	framing->bodies++;
	uint8_t footer = rs_stream_get_u8(stream);
	uint32_t id = rs_stream_get_be32(stream);

	return footer == FOOTER && id == framing->ram_id ? 0 : odd("footer", id);
}

static int load_section(struct framing *framing, struct rs_state *state, struct rs_stream *stream)
{
	uint64_t at = rs_stream_bytes_read(stream);
	uint8_t record = rs_stream_get_u8(stream);
	uint32_t id = rs_stream_get_be32(stream), version = 4;

	if (record == START) {
		char name[256];

		get_name(stream, name);
		uint32_t instance = rs_stream_get_be32(stream);

		version = rs_stream_get_be32(stream);
		if (strcmp(name, RS_RAM_SECTION_NAME) != 0 || instance != 0)
			return odd(name, instance);
		framing->ram_id = id;
		framing->ram_at = at;
	}
	return id == framing->ram_id ? load_body(framing, state, stream, (int)version)
				     : odd("section", id);
}

static void skip_command(struct rs_stream *stream)
{
	rs_stream_skip(stream, 3);
	rs_stream_skip(stream, rs_stream_get_be16(stream));
}

int framing_load(struct framing *framing, struct rs_state *state, struct rs_stream *stream)
{
	int result = get_header(framing, stream);

	while (result == 0) {
		int record = peek_byte(stream);

		switch (record) {
		case START:
		case PART:
		case END:
			result = load_section(framing, state, stream);
			break;
		case COMMAND:
			skip_command(stream);
			break;
		case FULL:
			framing->devices_at = rs_stream_bytes_read(stream);
			return 0;
		default:
			result = odd("record", (uint64_t)record);
		}
	}
	return result;
}

void framing_begin(struct rs_stream *stream, uint8_t record, uint32_t id)
{
	rs_stream_put_u8(stream, record);
	rs_stream_put_be32(stream, id);
	if (record != START)
		return;
	rs_stream_put_u8(stream, (uint8_t)strlen(RS_RAM_SECTION_NAME));
	rs_stream_put_bytes(stream, RS_RAM_SECTION_NAME, strlen(RS_RAM_SECTION_NAME));
	rs_stream_put_be32(stream, 0);
	rs_stream_put_be32(stream, RS_RAM_SECTION_VERSION);
}

void framing_end(struct rs_stream *stream, uint32_t id)
{
	rs_stream_put_u8(stream, FOOTER);
	rs_stream_put_be32(stream, id);
}
