/* SPDX-License-Identifier: MIT */
/* Puts pages where they belong, in guest memory that nobody else writes yet. */
#ifndef RS_LOAD_PAGE_PLACER_H
#define RS_LOAD_PAGE_PLACER_H

#include "load/load.h"

/* Read the content of pages [first, first + count) from the stream, straight into place. */
void rs_place_content(struct rs_load *load, struct rs_stream *stream, struct rs_region *region,
		      uint64_t first, uint64_t count);

/*
 * Change a page as a delta says. 0, or -EINVAL if it is malformed: then the page is part old and
 * part new.
 */
int rs_place_delta(struct rs_region *region, uint64_t page, const uint8_t *delta, size_t bytes);

/* Fill one page with a byte. */
void rs_place_fill(struct rs_region *region, uint64_t page, uint8_t fill);

/* Make pages zero, touching only those that may not be: not those of a fresh region, or those
 * that were never populated, unless content was put there since. */
void rs_place_zero(struct rs_load *load, struct rs_region *region, uint64_t first, uint64_t count);

#endif
