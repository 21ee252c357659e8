/* SPDX-License-Identifier: MIT */
#include "wire/device_tail.h"

#include "wire/outer.h"

#include <string.h>

/* What stands before a description: u8 0x7e, u32 section, u8 0x00, u8 0x06, u32 length. */
#define END_MARK_DISTANCE 6u /* from the end mark to the description's text */

/* ---- just enough JSON ---------------------------------------------------------------------- */

static bool open_bracket(struct rs_json *json, bool object)
{
	if (json->depth == RS_JSON_DEPTH_MAX)
		return false;
	json->objects &= ~(1ull << json->depth);
	json->objects |= (uint64_t)object << json->depth;
	json->depth++;
	return true;
}

static bool close_bracket(struct rs_json *json, bool object)
{
	if (json->depth == 0)
		return false;
	json->depth--;
	return (json->objects >> json->depth & 1) == object;
}

static bool in_string(struct rs_json *json, uint8_t byte)
{
	if (byte < ' ')
		return false;
	if (json->escaped)
		json->escaped = false;
	else if (byte == '\\')
		json->escaped = true;
	else if (byte == '"')
		json->in_string = false;
	return true;
}

static bool outside_strings(struct rs_json *json, uint8_t byte)
{
	switch (byte) {
	case '{':
	case '[':
		return open_bracket(json, byte == '{');
	case '}':
	case ']':
		return close_bracket(json, byte == '}');
	case '"':
		json->in_string = true;
		return true;
	case ' ':
	case '\t':
	case '\r':
	case '\n':
		return true;
	default:
		return byte != '\0' && strchr("+,-.0123456789:Eaeflnrstu", byte) != NULL;
	}
}

/* Take a byte; false if no object could go on like that. The first one opens it. */
static bool json_takes(struct rs_json *json, uint8_t byte)
{
	if (json->depth == 0)
		return byte == '{' && open_bracket(json, true);
	return json->in_string ? in_string(json, byte) : outside_strings(json, byte);
}

/* ---- the tail ------------------------------------------------------------------------------ */

void rs_device_tail_init(struct rs_device_tail *tail, uint64_t max_description)
{
	*tail = (struct rs_device_tail){ .max_description = max_description };
	/* What stands before it is a footer, or may be taken for one. */
	tail->last_low = (uint64_t)RS_OUTER_FOOTER << 32;
}

static void remember(struct rs_device_tail *tail, uint8_t byte)
{
	tail->last_high = tail->last_high << 8 | tail->last_low >> 56;
	tail->last_low = tail->last_low << 8 | byte;
}

/* Whether a description begins with the next byte. */
static void look_for_mark(struct rs_device_tail *tail)
{
	uint32_t length = (uint32_t)tail->last_low;

	if ((tail->last_low >> 32 & 0xffff) != (RS_OUTER_EOF << 8 | RS_OUTER_VMDESCRIPTION) ||
	    (tail->last_high >> 16 & 0xff) != RS_OUTER_FOOTER || length > tail->max_description)
		return;
	tail->left = length;
	tail->end_mark = tail->bytes - END_MARK_DISTANCE;
	tail->json = (struct rs_json){ 0 };
}

/*
 * A byte of what may be the description. If it is not: nothing that was taken for it holds a
 * control character but white space, and a mark holds two others, so no mark began
 * before the present byte's.
 */
static void take_description(struct rs_device_tail *tail, uint8_t byte)
{
	tail->left--;
	if (!json_takes(&tail->json, byte) || (tail->json.depth == 0) != (tail->left == 0))
		tail->left = 0;
	else
		tail->whole = tail->left == 0;
}

size_t rs_device_tail_feed(struct rs_device_tail *tail, const uint8_t *data, size_t bytes)
{
	size_t at = 0;

	while (at < bytes && !tail->whole) {
		uint8_t byte = data[at++];

		tail->bytes++;
		remember(tail, byte);
		if (tail->left > 0)
			take_description(tail, byte);
		if (tail->left == 0 && !tail->whole)
			look_for_mark(tail);
	}
	return at;
}

bool rs_device_tail_may_end(const struct rs_device_tail *tail)
{
	return tail->bytes > 0 && (tail->last_low >> 40 & 0xff) == RS_OUTER_FOOTER &&
	       (tail->last_low & 0xff) == RS_OUTER_EOF;
}
