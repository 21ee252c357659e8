/* SPDX-License-Identifier: MIT */
/*
 * Compressed pages: any bytes as a stream, which never touch anything outside the page, and give what
 * zlib's own function gives, or are refused with a reason; and any page, which comes back, or does not
 * fit the limit. An inflater or deflater that had any input does the next page right.
 *
 * Input: a byte of options, then the stream; or for pages the limit in two bytes, and bytes that the page
 * is made of.
 */
#include "codec/zlib_page.h"
#include "fuzz/exactly.h"

#include <errno.h>

#define OPTION_PAGE 0x01
#define OPTION_LARGE 0x02
#define OPTION_LEVEL(options) (((options) >> 4) % 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static size_t page_bytes_of(uint8_t options)
{
	return options & OPTION_LARGE ? 4096 : 1024;
}

/* Of a page of zeros, by the same inflater. */
static void inflate_known(struct rs_inflater *inflater)
{
	static const uint8_t zeros[1024];
	uint8_t stream[64], page[1024];
	uLongf length = sizeof(stream);
	const char *reason = NULL;

	CHECK(compress2(stream, &length, zeros, sizeof(zeros), 1) == Z_OK);
	memset(page, 1, sizeof(page));
	CHECK(rs_inflate_page(inflater, stream, length, page, sizeof(page), &reason) == 1024);
	CHECK(memcmp(page, zeros, sizeof(page)) == 0 && reason == NULL);
}

/* zlib's function takes what follows a stream's end, and we do not. */
static void compare_with_zlib(const uint8_t *page, size_t page_bytes, int result,
			      const uint8_t *stream, size_t bytes)
{
	uint8_t *expected = exactly(NULL, page_bytes);
	uLongf length = page_bytes;
	uLong used = bytes;
	int verdict = uncompress2(expected, &length, stream, &used);

	CHECK((result >= 0) == (verdict == Z_OK && used == bytes));
	if (result >= 0)
		CHECK((uLongf)result == length && memcmp(page, expected, length) == 0);
	free(expected);
}

static void inflate_any(size_t page_bytes, const uint8_t *data, size_t bytes)
{
	uint8_t *page = exactly(NULL, page_bytes), *stream = exactly(data, bytes);
	struct rs_inflater inflater;
	const char *reason = NULL;

	CHECK(rs_inflater_init(&inflater) == 0);
	int result = rs_inflate_page(&inflater, stream, bytes, page, page_bytes, &reason);

	CHECK(result >= 0 ? reason == NULL : result == -EINVAL && reason[0] != '\0');
	compare_with_zlib(page, page_bytes, result, stream, bytes);
	inflate_known(&inflater);
	rs_inflater_fini(&inflater);
	free(page);
	free(stream);
}

/* The input again and again; each time some bytes are another value, if its first byte says so. */
static void make_page(uint8_t *page, size_t page_bytes, const uint8_t *data, size_t bytes)
{
	for (size_t i = 0; i < page_bytes; i++) {
		size_t round = bytes > 0 ? i / bytes : 0;

		page[i] = bytes > 0 ? data[i % bytes] : 0;
		if (bytes > 0 && data[0] & 1)
			page[i] ^= (uint8_t)(round * (i % (data[0] / 2 + 1u)));
	}
}

static void come_back(const uint8_t *page, size_t page_bytes, const uint8_t *stream, int length)
{
	uint8_t *copy = exactly(stream, (size_t)length), *back = exactly(NULL, page_bytes);
	struct rs_inflater inflater;
	const char *reason = NULL;

	CHECK(rs_inflater_init(&inflater) == 0);
	CHECK(rs_inflate_page(&inflater, copy, (size_t)length, back, page_bytes, &reason) ==
	      (int)page_bytes);
	CHECK(memcmp(back, page, page_bytes) == 0);
	rs_inflater_fini(&inflater);
	free(copy);
	free(back);
}

/* Twice: the deflater is as good as new after a page, whether it fitted or not. */
static void deflate_any(int level, size_t page_bytes, const uint8_t *data, size_t bytes)
{
	size_t bound = rs_deflated_page_bound(page_bytes);
	size_t limit = bytes < 2 ? bound : (data[0] | (size_t)data[1] << 8) % (bound + 1);
	uint8_t *page = exactly(NULL, page_bytes), *stream = exactly(NULL, limit);
	uint8_t *whole = exactly(NULL, bound + RS_DEFLATE_SLACK);
	struct rs_deflater deflater;
	const char *reason = NULL;

	make_page(page, page_bytes, data + (bytes < 2 ? bytes : 2), bytes < 2 ? 0 : bytes - 2);
	CHECK(rs_deflater_init(&deflater, level, page_bytes) == 0);
	int length = rs_deflate_page(&deflater, page, stream, limit, &reason);
	int needed = rs_deflate_page(&deflater, page, whole, bound + RS_DEFLATE_SLACK, &reason);

	CHECK(reason == NULL && needed > 0);
	CHECK(length == needed || length == RS_DEFLATE_NO_GAIN);
	CHECK(length == 0 || (size_t)length <= limit);
	CHECK(length != 0 || (size_t)needed + RS_DEFLATE_SLACK > limit);
	CHECK(memcmp(stream, whole, (size_t)length) == 0);
	come_back(page, page_bytes, whole, needed);
	rs_deflater_fini(&deflater);
	free(page);
	free(stream);
	free(whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	if (bytes == 0)
		return 0;
	if (data[0] & OPTION_PAGE)
		deflate_any(OPTION_LEVEL(data[0]), page_bytes_of(data[0]), data + 1, bytes - 1);
	else
		inflate_any(page_bytes_of(data[0]), data + 1, bytes - 1);
	return 0;
}
