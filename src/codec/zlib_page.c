/* SPDX-License-Identifier: MIT */
#include "codec/zlib_page.h"

#include "base/checked.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SMALLEST_PAGE_BYTES 512u
#define LARGEST_PAGE_BYTES (1u << 20)

/* zlib's default: 64 KiB of hash table. */
#define MEMORY_LEVEL 8

/*
 * For zlib's own deflate, where there is no libdeflate. The smallest window from all of which zlib finds
 * matches: it keeps a little free, so that one of the page's own length would not do.
 *
 * Of window and memory level, only these choices give not one byte more than zlib's defaults. A smaller
 * memory level means a smaller hash table, to be cleared for each page. But what that saves is lost in
 * longer chains of strings that only have the same hash: at level 1, in microseconds a page and bytes
 * for each of 4096, with zlib 1.2.13:
 *
 *	window, memory		text		program code	noise
 *	15, 8 (default)		61.7  1591.8	109.2  2418.2	62.4
 *	13, 8			57.1  1591.8	107.9  2418.2	63.2
 *	12, 8			60.9  1592.0	108.3  2418.4	64.6
 *	13, 9			62.6  1591.9	112.0  2419.9	63.5
 *	13, 7			58.7  1591.9	110.2  2420.4	69.5
 *	13, 6			60.2  1593.5	112.0  2424.4	82.8
 *
 * The page of noise pays for a table of fewer symbols, too. An inflater reads the window's size from the
 * header; QEMU's is set up for the largest.
 */
static int window_bits(size_t page_bytes)
{
	int bits = (int)rs_log2(page_bytes) + 1;

	return bits < MAX_WBITS ? bits : MAX_WBITS;
}

int rs_deflater_init(struct rs_deflater *deflater, int level, size_t page_bytes)
{
	if (level < 0 || level > 9 || !rs_is_power_of_two(page_bytes) ||
	    page_bytes < SMALLEST_PAGE_BYTES || page_bytes > LARGEST_PAGE_BYTES)
		return -EINVAL;
	memset(deflater, 0, sizeof(*deflater));
	deflater->page_bytes = page_bytes;
	deflater->fast = rs_fast_deflater_new(level);
	if (deflater->fast != NULL)
		return 0;
	switch (deflateInit2(&deflater->z, level, Z_DEFLATED, window_bits(page_bytes), MEMORY_LEVEL,
			     Z_DEFAULT_STRATEGY)) {
	case Z_OK:
		return 0;
	case Z_MEM_ERROR:
		return -ENOMEM;
	default: /* another version of zlib, or a level that it does not have */
		return -EINVAL;
	}
}

void rs_deflater_fini(struct rs_deflater *deflater)
{
	if (deflater->fast != NULL)
		rs_fast_deflater_free(deflater->fast);
	else
		deflateEnd(&deflater->z);
}

int rs_deflate_page(struct rs_deflater *deflater, const void *page, void *to, size_t limit,
		    const char **reason)
{
	z_stream *z = &deflater->z;

	if (deflater->fast != NULL)
		return (int)rs_fast_deflate(deflater->fast, page, deflater->page_bytes, to, limit);
	uInt room = (uInt)rs_min_u64(limit, rs_deflated_page_bound(deflater->page_bytes));

	z->next_in = (z_const Bytef *)page;
	z->avail_in = (uInt)deflater->page_bytes;
	z->next_out = to;
	z->avail_out = room;
	int result = deflateReset(z);

	if (result == Z_OK)
		result = deflate(z, Z_FINISH);
	if (result == Z_STREAM_END)
		return (int)(room - z->avail_out);
	if (result == Z_OK || result == Z_BUF_ERROR)
		return RS_DEFLATE_NO_GAIN;
	*reason = z->msg != NULL ? z->msg : zError(result);
	return -EIO;
}

size_t rs_deflated_page_bound(size_t page_bytes)
{
	return compressBound((uLong)page_bytes);
}

int rs_inflater_init(struct rs_inflater *inflater)
{
	memset(inflater, 0, sizeof(*inflater));
	if (inflateInit(&inflater->z) != Z_OK)
		return -ENOMEM;
	inflater->fast = rs_fast_inflater_new();
	inflater->scratch = inflater->fast != NULL ? malloc(RS_FAST_PAGE_BYTES) : NULL;
	return 0;
}

void rs_inflater_fini(struct rs_inflater *inflater)
{
	if (inflater->fast != NULL)
		rs_fast_inflater_free(inflater->fast);
	free(inflater->scratch);
	inflateEnd(&inflater->z);
}

/* Of a stream that did not come to its end as it should. */
static int refuse(const z_stream *z, int result, const char **reason)
{
	if (result == Z_MEM_ERROR) {
		*reason = "out of memory";
		return -ENOMEM;
	}
	if (result == Z_STREAM_END)
		*reason = "more follows its end";
	else if (result == Z_NEED_DICT)
		*reason = "it needs a dictionary";
	else if (z->msg != NULL)
		*reason = z->msg;
	else
		*reason = z->avail_out == 0 && z->avail_in > 0 ? "it is longer than a page"
							       : "it breaks off";
	return -EINVAL;
}

/* True if it was a page, all of it; else zlib is to judge, over a page that is as it was. */
static bool inflate_fast(struct rs_inflater *inflater, const void *data, size_t bytes, void *page,
			 size_t page_bytes)
{
	if (inflater->scratch == NULL || page_bytes > RS_FAST_PAGE_BYTES ||
	    !rs_fast_inflate(inflater->fast, data, bytes, inflater->scratch, page_bytes))
		return false;
	memcpy(page, inflater->scratch, page_bytes);
	return true;
}

int rs_inflate_page(struct rs_inflater *inflater, const void *data, size_t bytes, void *page,
		    size_t page_bytes, const char **reason)
{
	z_stream *z = &inflater->z;

	if (inflate_fast(inflater, data, bytes, page, page_bytes))
		return (int)page_bytes;
	z->next_in = (z_const Bytef *)data;
	z->avail_in = (uInt)rs_min_u64(bytes, UINT_MAX);
	z->next_out = page;
	z->avail_out = (uInt)page_bytes;
	int result = inflateReset(z);

	/* Z_FINISH: there is no later call, so that zlib need not keep a window for it. */
	if (result == Z_OK)
		result = inflate(z, Z_FINISH);
	if (result == Z_STREAM_END && z->avail_in == 0)
		return (int)(page_bytes - z->avail_out);
	return refuse(z, result, reason);
}
