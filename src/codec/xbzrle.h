/* SPDX-License-Identifier: MIT */
/*
 * XBZRLE: a page as what is different from an older copy of it, as QEMU's streams have it.
 *
 *	delta	= ( same different )+
 *	same	= length		bytes as in the old page
 *	different = length byte...	new ones
 *	length	= 1 or 2 bytes, 7 bits each, the lower ones first; bit 7: another byte follows
 *
 * Runs are as long as they can be, so that there is one delta for a pair of pages; the bytes behind
 * the last difference are left out. Both pages must be stable: a page that changes while it is
 * looked at makes a delta that fits neither version.
 */
#ifndef RS_CODEC_XBZRLE_H
#define RS_CODEC_XBZRLE_H

#include <stddef.h>
#include <stdint.h>

/* What two bytes of length can say. */
#define RS_XBZRLE_MAX_PAGE_BYTES 16384u

/* The delta would not be shorter than the page. */
#define RS_XBZRLE_OVERFLOW (-1)

/*
 * Write the delta that makes old into new, in at most limit bytes, which usually are a page. Pages
 * are multiples of 1024 bytes. Its length; 0 if they are equal; RS_XBZRLE_OVERFLOW.
 */
int rs_xbzrle_encode(const uint8_t *old, const uint8_t *new, size_t page_bytes, uint8_t *delta,
		     size_t limit);

/*
 * Apply a delta to a page, in place. 0, or -EINVAL for anything that the encoder does not write and
 * QEMU does not take; then the page is part old, part new. Any bytes at all may come in; nothing
 * outside the page is written.
 */
int rs_xbzrle_decode(uint8_t *page, size_t page_bytes, const uint8_t *delta, size_t bytes);

/* The versions for this processor, the fastest last; for tests and benchmarks. */
typedef int rs_xbzrle_function(const uint8_t *old, const uint8_t *new, size_t page_bytes,
			       uint8_t *delta, size_t limit);

struct rs_xbzrle_version {
	const char *name;
	rs_xbzrle_function *encode;
};

const struct rs_xbzrle_version *rs_xbzrle_versions(size_t *count);

#endif
