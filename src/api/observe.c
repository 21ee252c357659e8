/* SPDX-License-Identifier: MIT */
#include "base/checked.h"
#include "base/bytes.h"
#include "migrate/header_io.h"
#include "wire/outer.h"

#include <ramsync/observe.h>
#include <string.h>

#define PAGE_BITS_MAX 30u

const char *rs_record_kind_name(enum rs_record_kind kind)
{
	static const char *const names[] = {
		[RS_RECORD_EOS] = "end",
		[RS_RECORD_BLOCK_LIST] = "list",
		[RS_RECORD_ZERO] = "zero",
		[RS_RECORD_PAGE] = "page",
		[RS_RECORD_ZERO_RUN] = "zero-run",
		[RS_RECORD_PAGE_RUN] = "page-run",
		[RS_RECORD_FLUSH] = "flush",
		[RS_RECORD_XBZRLE] = "xbzrle",
		[RS_RECORD_COMPRESSED] = "compressed",
	};

	return (size_t)kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "unknown";
}

static uint32_t flags_of(const struct rs_header *header, bool native)
{
	return (native ? RS_HEADER_NATIVE : 0u) |
	       (header->ignore_shared ? RS_HEADER_IGNORE_SHARED : 0u) |
	       (header->mapped_ram ? RS_HEADER_MAPPED_RAM : 0u) |
	       (header->has_uuid ? RS_HEADER_UUID : 0u);
}

/* What a source of QEMU's form says next, if it does. */
static uint32_t peek_return_path(struct rs_stream *stream, size_t at)
{
	const size_t bytes = 5;
	const uint8_t *data;

	if (rs_stream_peek(stream, &data, at + bytes) < (ssize_t)(at + bytes))
		return 0;
	data += at;
	return data[0] == RS_OUTER_COMMAND && rs_get_be16(data + 1) == RS_COMMAND_OPEN_RETURN_PATH
		   ? RS_HEADER_RETURN_PATH
		   : 0;
}

int rs_stream_peek_header(struct rs_stream *stream, struct rs_stream_header *header,
			  struct rs_error *error)
{
	struct rs_stream_header found = { .size = sizeof(found) };
	struct rs_error local = { 0 };
	struct rs_header parsed;
	int result = rs_header_peek(stream, &parsed, &local);

	if (result > 0 && parsed.page_bits > PAGE_BITS_MAX)
		result = rs_error_setf(&local, -EINVAL, "configuration: pages of 2^%u bytes",
				       parsed.page_bits);
	if (result > 0 && header->size < sizeof(header->size))
		result = rs_error_setf(&local, -EINVAL, "rs_stream_header without its size");
	if (result < 0) {
		if (error != NULL)
			*error = local;
		return result;
	}
	bool native = strcmp(parsed.machine, RS_NATIVE_MACHINE) == 0;

	found.flags = flags_of(&parsed, native);
	if (!native)
		found.flags |= peek_return_path(stream, (size_t)result);
	found.page_bytes = 1u << parsed.page_bits;
	if (!native)
		memcpy(found.machine, parsed.machine, sizeof(parsed.machine));
	if (parsed.has_uuid)
		rs_uuid_format(parsed.uuid, found.uuid);
	found.size = header->size;
	memcpy(header, &found, rs_min_u64(header->size, sizeof(found)));
	return 0;
}
