/* SPDX-License-Identifier: MIT */
#include "wire/postcopy.h"

#include "base/bytes.h"

#include <string.h>

#define RANGE_BYTES 16u
#define DISCARD_VERSION 0u
/* A version, a name of one letter, its end and a range. */
#define DISCARD_MIN_BYTES (1u + 2u + 1u + RANGE_BYTES)
/* What stands in a request before the name. */
#define REQUEST_BYTES 12u

/* ---- names --------------------------------------------------------------------------------- */

static size_t write_name(uint8_t *to, const char *name, size_t bytes)
{
	to[0] = (uint8_t)bytes;
	memcpy(to + 1, name, bytes);
	return 1 + bytes;
}

/* A name at the head of so many bytes. what: the payload, for the text. */
static int parse_name(const char *what, const uint8_t *data, size_t bytes, const char **name,
		      uint8_t *name_bytes, struct rs_error *error)
{
	if (bytes < 1 || data[0] > bytes - 1)
		return rs_error_setf(error, -EINVAL, "%s: the region's name is cut off", what);
	if (data[0] == 0 || memchr(data + 1, 0, data[0]) != NULL)
		return rs_error_setf(error, -EINVAL,
				     "%s: the region's name is empty, or has a zero byte in it",
				     what);
	*name = (const char *)data + 1;
	*name_bytes = data[0];
	return 0;
}

/* The same, with nothing behind it. */
static int parse_last_name(const char *what, const uint8_t *data, size_t bytes, const char **name,
			   uint8_t *name_bytes, struct rs_error *error)
{
	int result = parse_name(what, data, bytes, name, name_bytes, error);

	if (result == 0 && bytes != 1u + *name_bytes)
		return rs_error_setf(error, -EINVAL, "%s: %zu bytes where the region's name has %u",
				     what, bytes, *name_bytes);
	return result;
}

static int check_end(const char *what, uint64_t start, uint64_t bytes, struct rs_error *error)
{
	if (bytes > UINT64_MAX - start)
		return rs_error_setf(error, -EINVAL,
				     "%s: 0x%llx bytes at offset 0x%llx have no end", what,
				     (unsigned long long)bytes, (unsigned long long)start);
	return 0;
}

/* ---- POSTCOPY_ADVISE ----------------------------------------------------------------------- */

void rs_postcopy_advice_write(uint8_t to[RS_POSTCOPY_ADVICE_BYTES],
			      const struct rs_postcopy_advice *advice)
{
	rs_put_be64(to, advice->host_page_sizes);
	rs_put_be64(to + 8, advice->target_page_bytes);
}

int rs_postcopy_advice_parse(const uint8_t *data, size_t bytes, struct rs_postcopy_advice *advice,
			     struct rs_error *error)
{
	if (bytes != RS_POSTCOPY_ADVICE_BYTES)
		return rs_error_setf(error, -EINVAL, "POSTCOPY_ADVISE: %zu bytes instead of %u",
				     bytes, RS_POSTCOPY_ADVICE_BYTES);
	advice->host_page_sizes = rs_get_be64(data);
	advice->target_page_bytes = rs_get_be64(data + 8);
	return 0;
}

/* ---- POSTCOPY_RAM_DISCARD ------------------------------------------------------------------ */

size_t rs_discard_write(uint8_t *to, const char *name, const struct rs_byte_range *ranges,
			size_t count)
{
	uint8_t *at = to;

	*at++ = DISCARD_VERSION;
	at += write_name(at, name, strlen(name));
	*at++ = 0;
	for (size_t i = 0; i < count; i++, at += RANGE_BYTES) {
		rs_put_be64(at, ranges[i].start);
		rs_put_be64(at + 8, ranges[i].bytes);
	}
	return (size_t)(at - to);
}

int rs_discard_parse(const uint8_t *data, size_t bytes, struct rs_discard *discard,
		     struct rs_error *error)
{
	static const char what[] = "POSTCOPY_RAM_DISCARD";

	if (bytes < DISCARD_MIN_BYTES)
		return rs_error_setf(error, -EINVAL, "%s: %zu bytes, and no range in them", what,
				     bytes);
	if (data[0] != DISCARD_VERSION)
		return rs_error_setf(error, -EINVAL, "%s: version %u instead of %u", what, data[0],
				     DISCARD_VERSION);
	int result =
	    parse_name(what, data + 1, bytes - 1, &discard->name, &discard->name_bytes, error);

	if (result != 0)
		return result;
	size_t head = 2u + discard->name_bytes;

	if (head == bytes || data[head] != 0)
		return rs_error_setf(error, -EINVAL, "%s: no zero byte behind the region's name",
				     what);
	size_t rest = bytes - head - 1;

	if (rest == 0 || rest % RANGE_BYTES != 0)
		return rs_error_setf(error, -EINVAL, "%s: %zu bytes are no ranges", what, rest);
	discard->ranges = data + head + 1;
	discard->count = rest / RANGE_BYTES;
	for (size_t i = 0; i < discard->count && result == 0; i++) {
		struct rs_byte_range range = rs_discard_range(discard, i);

		result = check_end(what, range.start, range.bytes, error);
	}
	return result;
}

struct rs_byte_range rs_discard_range(const struct rs_discard *discard, size_t index)
{
	const uint8_t *at = discard->ranges + index * RANGE_BYTES;

	return (struct rs_byte_range){ .start = rs_get_be64(at), .bytes = rs_get_be64(at + 8) };
}

/* ---- REQ_PAGES ----------------------------------------------------------------------------- */

size_t rs_page_request_write(uint8_t *to, const struct rs_page_request *request)
{
	rs_put_be64(to, request->start);
	rs_put_be32(to + 8, request->bytes);
	if (request->name == NULL)
		return REQUEST_BYTES;
	return REQUEST_BYTES + write_name(to + REQUEST_BYTES, request->name, request->name_bytes);
}

int rs_page_request_parse(bool with_name, const uint8_t *data, size_t bytes,
			  struct rs_page_request *request, struct rs_error *error)
{
	const char *what = with_name ? "REQ_PAGES_ID" : "REQ_PAGES";

	if (with_name ? bytes < REQUEST_BYTES : bytes != REQUEST_BYTES)
		return rs_error_setf(error, -EINVAL, "%s: %zu bytes", what, bytes);
	request->start = rs_get_be64(data);
	request->bytes = rs_get_be32(data + 8);
	request->name = NULL;
	request->name_bytes = 0;
	int result = check_end(what, request->start, request->bytes, error);

	if (result != 0 || !with_name)
		return result;
	return parse_last_name(what, data + REQUEST_BYTES, bytes - REQUEST_BYTES, &request->name,
			       &request->name_bytes, error);
}

/* ---- RECV_BITMAP --------------------------------------------------------------------------- */

size_t rs_bitmap_name_write(uint8_t *to, const char *name)
{
	return write_name(to, name, strlen(name));
}

int rs_bitmap_name_parse(const uint8_t *data, size_t bytes, const char **name, uint8_t *name_bytes,
			 struct rs_error *error)
{
	return parse_last_name("RECV_BITMAP", data, bytes, name, name_bytes, error);
}
