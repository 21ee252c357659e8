/* SPDX-License-Identifier: MIT */
#include "support/xbzrle_model.h"

#include <stdbool.h>
#include <string.h>

static size_t put_length(uint8_t *at, size_t length)
{
	at[0] = (uint8_t)(length < 128 ? length : (length % 128) + 128);
	if (length < 128)
		return 1;
	at[1] = (uint8_t)(length / 128);
	return 2;
}

static size_t run_from(const uint8_t *old, const uint8_t *new, size_t at, size_t end, bool same)
{
	size_t from = at;

	while (at < end && (old[at] == new[at]) == same)
		at++;
	return at - from;
}

int xbzrle_model_encode(const uint8_t *old, const uint8_t *new, size_t page_bytes, uint8_t *delta,
			size_t limit)
{
	size_t at = 0, used = 0;

	while (at < page_bytes) {
		if (used + 2 > limit)
			return RS_XBZRLE_OVERFLOW;
		size_t same = run_from(old, new, at, page_bytes, true);

		at += same;
		if (at == page_bytes)
			break;
		used += put_length(delta + used, same);
		if (used + 2 > limit)
			return RS_XBZRLE_OVERFLOW;
		size_t different = run_from(old, new, at, page_bytes, false);
		uint8_t length[2];
		size_t bytes = put_length(length, different);

		if (used + bytes + different > limit)
			return RS_XBZRLE_OVERFLOW;
		memcpy(delta + used, length, bytes);
		memcpy(delta + used + bytes, new + at, different);
		used += bytes + different;
		at += different;
	}
	return (int)used;
}
