/* SPDX-License-Identifier: MIT */
/* Which ranges of a region the destination must forget: dirty pages of which it was not told before. */
#ifndef RS_POSTCOPY_DISCARD_SCAN_H
#define RS_POSTCOPY_DISCARD_SCAN_H

#include "ram/region.h"
#include "wire/postcopy.h"

typedef void rs_discard_emit(void *opaque, const struct rs_region *region,
			     const struct rs_byte_range *ranges, size_t count);

/*
 * Emit pages that are dirty and whose bits in told are clear, and set these. In ascending order, as few
 * ranges as there can be, at most RS_DISCARD_RANGES at a time. told: as many words as the region's dirty
 * bitmap. The thread that saves.
 */
void rs_discard_scan(const struct rs_region *region, _Atomic uint64_t *told, rs_discard_emit *emit,
		     void *opaque);

#endif
