/* SPDX-License-Identifier: MIT */
/*
 * A page as a zlib stream of its own (RFC 1950: header, deflated data, Adler-32), as QEMU's compressed
 * pages are. Pages must be stable: one that changes while it is looked at makes a stream that fits no
 * version of it, or none at all.
 *
 * A deflater or inflater is used by one thread at a time, and stays where it was initialised. Reasons are
 * constant texts, most of them zlib's.
 */
#ifndef RS_CODEC_ZLIB_PAGE_H
#define RS_CODEC_ZLIB_PAGE_H

#include "codec/fast_deflate.h"

#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

/* The page would not get small enough. */
#define RS_DEFLATE_NO_GAIN 0

/* So many bytes of room beyond a stream's length are always enough for it. */
#define RS_DEFLATE_SLACK 16u

struct rs_deflater {
	rs_fast_deflater *fast; /* or, if that is NULL: */
	z_stream z;
	size_t page_bytes;
};

/* Level 0 (stored) to 9 (smallest); pages are powers of two, 512 bytes to 1 MiB. 0, -EINVAL, -ENOMEM. */
int rs_deflater_init(struct rs_deflater *deflater, int level, size_t page_bytes);
void rs_deflater_fini(struct rs_deflater *deflater);

/* Write the page's stream, at most limit bytes of it. Its length; RS_DEFLATE_NO_GAIN if it has more,
 * or nearly as many (then to is half written); -EIO with a reason. */
int rs_deflate_page(struct rs_deflater *deflater, const void *page, void *to, size_t limit,
		    const char **reason);

/* Largest page that the fast inflater is given. */
#define RS_FAST_PAGE_BYTES 65536u

/* What the longest stream that QEMU takes for such a page has. */
size_t rs_deflated_page_bound(size_t page_bytes);

struct rs_inflater {
	rs_fast_inflater *fast; /* may be NULL */
	uint8_t *scratch;       /* it writes beyond what it has got: not into guest memory */
	z_stream z;             /* judges what the fast one does not take */
};

/* 0, or -ENOMEM. */
int rs_inflater_init(struct rs_inflater *inflater);
void rs_inflater_fini(struct rs_inflater *inflater);

/*
 * Take a page from its stream, which must be all of data. How many bytes the page got, from its start on:
 * page_bytes, or less if the stream has less, for the caller to judge. Or -EINVAL with a reason,
 * -ENOMEM; then the page is part old, part new. Any bytes at all may come in; nothing outside the page is
 * written.
 */
int rs_inflate_page(struct rs_inflater *inflater, const void *data, size_t bytes, void *page,
		    size_t page_bytes, const char **reason);

#endif
