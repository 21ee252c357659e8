/* SPDX-License-Identifier: MIT */
/*
 * What stands around a stream's bodies: its header, whose parser asks for more until it knows and
 * writes again what it took; and the end of its device state, which is the same however the bytes
 * come in pieces, and agrees with a slow search for it.
 *
 * Input: a byte that says how long the pieces are, then the bytes.
 */
#include "base/bytes.h"
#include "fuzz/check.h"
#include "wire/device_tail.h"
#include "wire/header.h"

/* ---- header -------------------------------------------------------------------------------- */

static void write_again(const struct rs_header *header)
{
	uint8_t written[RS_HEADER_MAX_BYTES + 1];
	size_t bytes = rs_header_write(written, header), need;
	struct rs_header again;

	CHECK(bytes <= RS_HEADER_MAX_BYTES);
	written[bytes] = 0;
	CHECK(rs_header_parse(written, bytes + 1, &again, &need, NULL) == (int)bytes);
	CHECK(strcmp(again.machine, header->machine) == 0);
	CHECK(again.page_bits == header->page_bits);
	CHECK(again.ignore_shared == header->ignore_shared && again.has_uuid == header->has_uuid);
	CHECK(memcmp(again.uuid, header->uuid, RS_UUID_BYTES) == 0);
}

static void parse_header(const uint8_t *data, size_t bytes)
{
	size_t have = RS_HEADER_MIN_BYTES, need;

	while (have <= bytes) {
		uint8_t *copy = malloc(have);
		struct rs_error error = { 0 };
		struct rs_header header;

		CHECK(copy != NULL);
		memcpy(copy, data, have);
		int result = rs_header_parse(copy, have, &header, &need, &error);

		free(copy);
		CHECK((result < 0) == (error.code != 0) && (result >= 0 || error.code == result));
		if (result > 0) {
			CHECK((size_t)result < have);
			write_again(&header);
		}
		if (result != 0)
			return;
		CHECK(need > have);
		have = need;
	}
}

/* ---- the end of device state --------------------------------------------------------------- */

#define MAX_DESCRIPTION 4096u

static size_t feed(struct rs_device_tail *tail, const uint8_t *data, size_t bytes, size_t piece)
{
	size_t taken = 0;

	rs_device_tail_init(tail, MAX_DESCRIPTION);
	while (taken < bytes && !tail->whole) {
		size_t some = bytes - taken < piece ? bytes - taken : piece;

		taken += rs_device_tail_feed(tail, data + taken, some);
	}
	CHECK(tail->bytes == taken && (tail->whole || taken == bytes));
	return taken;
}

/* Whether an end mark at data[at] is behind a footer; the first bytes are behind one already. */
static bool is_behind_footer(const uint8_t *data, size_t at)
{
	return at == 0 || (at >= 5 && data[at - 5] == 0x7e);
}

/* Brackets that close in the last byte and not before, strings and control characters minded. */
static bool is_object(const uint8_t *text, size_t bytes)
{
	char open[RS_JSON_DEPTH_MAX];
	size_t depth = 0;
	bool string = false;

	for (size_t i = 0; i < bytes; i++) {
		uint8_t c = text[i];

		if (string) {
			if (c < ' ')
				return false;
			if (c == '\\' && (++i == bytes || text[i] < ' '))
				return false;
			string = c != '"';
			continue;
		}
		if (c == '{' || (c == '[' && depth > 0)) {
			if (depth == sizeof(open))
				return false;
			open[depth++] = (char)c;
		} else if ((c == '}' || c == ']') && depth > 0 && open[depth - 1] == c - 2) {
			if (--depth == 0)
				return i + 1 == bytes;
		} else if (c == '"' && depth > 0) {
			string = true;
		} else if (depth == 0 || c == '\0' ||
			   strchr(" \t\r\n+,-.0123456789:Eaeflnrstu", c) == NULL) {
			return false;
		}
	}
	return false;
}

/* The first place where a whole description stands; bytes if there is none. */
static size_t search(const uint8_t *data, size_t bytes)
{
	for (size_t at = 0; at + 6 <= bytes; at++) {
		uint32_t length = rs_get_be32(data + at + 2);

		if (data[at] == 0 && data[at + 1] == 6 && is_behind_footer(data, at) &&
		    length <= MAX_DESCRIPTION && length <= bytes - at - 6 &&
		    is_object(data + at + 6, length))
			return at;
	}
	return bytes;
}

static void find_end(const uint8_t *data, size_t bytes, size_t piece)
{
	struct rs_device_tail tail, pieces;
	size_t taken = feed(&tail, data, bytes, bytes + 1), found = search(data, bytes);

	CHECK(feed(&pieces, data, bytes, piece) == taken);
	CHECK(pieces.whole == tail.whole);
	CHECK(tail.whole == (found < bytes));
	CHECK(!tail.whole || (tail.end_mark == found && pieces.end_mark == found));
	CHECK(rs_device_tail_may_end(&tail) == rs_device_tail_may_end(&pieces));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	if (bytes == 0)
		return 0;
	parse_header(data + 1, bytes - 1);
	find_end(data + 1, bytes - 1, 1u + data[0] % 13);
	return 0;
}
