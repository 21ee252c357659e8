/* SPDX-License-Identifier: MIT */
#include "migrate/outer_io.h"

#include <string.h>

void rs_outer_put_section(struct rs_stream *stream, enum rs_outer_record record,
			  const struct rs_section *section)
{
	rs_stream_put_u8(stream, (uint8_t)record);
	rs_stream_put_be32(stream, section->id);
	if (record == RS_OUTER_SECTION_PART || record == RS_OUTER_SECTION_END)
		return;
	size_t bytes = strlen(section->name);

	rs_stream_put_u8(stream, (uint8_t)bytes);
	rs_stream_put_bytes(stream, section->name, bytes);
	rs_stream_put_be32(stream, section->instance);
	rs_stream_put_be32(stream, section->version);
}

void rs_outer_put_footer(struct rs_stream *stream, uint32_t id)
{
	rs_stream_put_u8(stream, RS_OUTER_FOOTER);
	rs_stream_put_be32(stream, id);
}

static void put_message(struct rs_stream *stream, unsigned type, const void *payload, size_t bytes)
{
	rs_stream_put_be16(stream, (uint16_t)type);
	rs_stream_put_be16(stream, (uint16_t)bytes);
	rs_stream_put_bytes(stream, payload, bytes);
}

void rs_outer_put_command(struct rs_stream *stream, enum rs_command command, const void *payload,
			  size_t bytes)
{
	rs_stream_put_u8(stream, RS_OUTER_COMMAND);
	put_message(stream, command, payload, bytes);
}

void rs_outer_put_return(struct rs_stream *stream, enum rs_return_message message,
			 const void *payload, size_t bytes)
{
	put_message(stream, message, payload, bytes);
}

/* A pstr of 1 to 255 bytes without zero bytes, as a C string. */
static int get_name(struct rs_state *state, struct rs_stream *stream, char name[256])
{
	uint8_t bytes = rs_stream_get_u8(stream);

	memset(name, 0, 256);
	rs_stream_get_bytes(stream, name, bytes);
	int result = rs_session_check_stream(state, stream);

	if (result != 0)
		return result;
	if (bytes == 0 || strlen(name) != bytes)
		return rs_session_fail(state, -EINVAL,
				       "the name of a section is empty or contains a zero byte");
	return 0;
}

int rs_outer_get_section(struct rs_state *state, struct rs_stream *stream,
			 enum rs_outer_record record, struct rs_section *section)
{
	*section = (struct rs_section){ .id = rs_stream_get_be32(stream) };
	if (record == RS_OUTER_SECTION_PART || record == RS_OUTER_SECTION_END)
		return rs_session_check_stream(state, stream);
	int result = get_name(state, stream, section->name);

	section->instance = rs_stream_get_be32(stream);
	section->version = rs_stream_get_be32(stream);
	return result != 0 ? result : rs_session_check_stream(state, stream);
}

int rs_outer_get_footer(struct rs_state *state, struct rs_stream *stream,
			const struct rs_section *section)
{
	uint8_t mark = rs_stream_get_u8(stream);
	uint32_t id = rs_stream_get_be32(stream);
	int result = rs_session_check_stream(state, stream);

	if (result != 0)
		return result;
	if (mark != RS_OUTER_FOOTER)
		return rs_session_fail(state, -EINVAL,
				       "section %s (%u): 0x%02x stands where its footer should",
				       section->name, section->id, mark);
	if (id != section->id)
		return rs_session_fail(state, -EINVAL, "section %s (%u): its footer says %u",
				       section->name, section->id, id);
	return 0;
}

int rs_outer_hear_message(struct rs_stream *stream, size_t max_bytes, struct rs_message *message,
			  struct rs_error *error)
{
	message->type = rs_stream_get_be16(stream);
	message->bytes = rs_stream_get_be16(stream);
	int result = rs_stream_error(stream, error);

	if (result != 0)
		return result;
	if (message->bytes > max_bytes)
		return rs_error_setf(error, -EINVAL,
				     "message 0x%x: %u bytes, and at most %zu are allowed",
				     message->type, message->bytes, max_bytes);
	rs_stream_get_bytes(stream, message->payload, message->bytes);
	return rs_stream_error(stream, error);
}

int rs_outer_get_message(struct rs_state *state, struct rs_stream *stream, size_t max_bytes,
			 struct rs_message *message)
{
	struct rs_error error = { 0 };

	return rs_outer_hear_message(stream, max_bytes, message, &error) == 0
		   ? 0
		   : rs_session_fail_with(state, &error);
}

int rs_outer_get_answer(struct rs_migration *migration, enum rs_return_message wanted,
			struct rs_message *message)
{
	int result =
	    rs_outer_get_message(migration->state, migration->stream, RS_RETURN_MAX_BYTES, message);

	if (result != 0 || message->type == wanted)
		return result;
	if (message->type == RS_RETURN_FAILED)
		return rs_session_fail(migration->state, -EREMOTEIO, "the destination failed: %.*s",
				       message->bytes, (const char *)message->payload);
	return rs_session_fail(migration->state, -EPROTO,
			       "the destination says 0x%x where 0x%x is due", message->type,
			       (unsigned)wanted);
}
