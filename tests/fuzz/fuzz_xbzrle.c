/* SPDX-License-Identifier: MIT */
/*
 * XBZRLE: any bytes as a delta, which never touch anything outside the page; and any two pages, for
 * which all versions of the encoder write the same, and what they wrote makes one out of the other.
 *
 * Input: a byte of options, then the delta; or for pages a byte that says how to make them, the limit in
 * two bytes, and bytes that the two are made of.
 */
#include "codec/xbzrle.h"
#include "fuzz/exactly.h"
#include "support/xbzrle_model.h"

#include <errno.h>

#define OPTION_PAGES 0x01
#define OPTION_LARGE 0x02
#define OPTION_HUGE 0x04

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static size_t page_bytes_of(uint8_t options)
{
	if (options & OPTION_HUGE)
		return RS_XBZRLE_MAX_PAGE_BYTES;
	return options & OPTION_LARGE ? 4096 : 1024;
}

static void decode(size_t page_bytes, const uint8_t *data, size_t bytes)
{
	uint8_t *page = exactly(NULL, page_bytes), *delta = exactly(data, bytes);
	int result = rs_xbzrle_decode(page, page_bytes, delta, bytes);

	CHECK(result == 0 || result == -EINVAL);
	free(page);
	free(delta);
}

/* The input says where the pages differ: pairs of a distance in 1 or 2 bytes, and a value. */
static void make_pages(uint8_t *old, uint8_t *new, size_t page_bytes, const uint8_t *data,
		       size_t bytes)
{
	size_t at = 0;

	for (size_t i = 0; i < page_bytes; i++)
		old[i] = new[i] = (uint8_t)(i * 31);
	for (size_t i = 0; i + 1 < bytes; i += 2) {
		size_t run = data[i + 1] & 0x80 ? 1 + (data[i + 1] & 0x7fu) : 1;

		at += data[i];
		for (; run > 0 && at < page_bytes; run--, at++)
			new[at] ^= data[i + 1];
	}
}

static void encode(size_t page_bytes, const uint8_t *data, size_t bytes)
{
	size_t limit = bytes < 2 ? page_bytes : (data[0] | (size_t)data[1] << 8) % (page_bytes + 1);
	uint8_t *old = exactly(NULL, page_bytes), *new = exactly(NULL, page_bytes);
	uint8_t *expected = exactly(NULL, limit), *delta = exactly(NULL, limit);
	size_t count;
	const struct rs_xbzrle_version *versions = rs_xbzrle_versions(&count);

	make_pages(old, new, page_bytes, data + (bytes < 2 ? bytes : 2), bytes < 2 ? 0 : bytes - 2);
	int length = xbzrle_model_encode(old, new, page_bytes, expected, limit);

	for (size_t v = 0; v < count; v++) {
		CHECK(versions[v].encode(old, new, page_bytes, delta, limit) == length);
		CHECK(length <= 0 || memcmp(delta, expected, (size_t)length) == 0);
	}
	if (length >= 0) {
		CHECK(rs_xbzrle_decode(old, page_bytes, delta, (size_t)length) == 0);
		CHECK(memcmp(old, new, page_bytes) == 0);
	}
	free(old);
	free(new);
	free(expected);
	free(delta);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	if (bytes == 0)
		return 0;
	if (data[0] & OPTION_PAGES)
		encode(page_bytes_of(data[0]), data + 1, bytes - 1);
	else
		decode(page_bytes_of(data[0]), data + 1, bytes - 1);
	return 0;
}
