/* SPDX-License-Identifier: MIT */
/*
 * Dirty bitmaps in postcopy: pages that are left to send, in *units*, that is in what the destination
 * places as one (rs_placement_bytes()). All bits of a unit are set, or it is somebody's.
 *
 * Any number of threads may take units at once, and each unit goes to one of them. What they fight for
 * is the unit's first bit: whoever clears it has the unit, and clears the rest, which for units of up
 * to 64 pages is the same atomic operation. Set bits behind a clear first one are somebody's who is not
 * done with clearing. Taking gives no order: the pages do not change while units are taken.
 */
#ifndef RS_RAM_PAGE_CLAIM_H
#define RS_RAM_PAGE_CLAIM_H

#include "ram/page_cursor.h"

static inline uint64_t rs_placement_pages(const struct rs_region *region)
{
	return rs_placement_bytes(region) >> region->state->page_shift;
}

/* Make units whole of which a page is set, before anybody takes one. How many bits that set. pages: whole
 * units. */
uint64_t rs_page_claim_make_whole(struct rs_bitmap *dirty, uint64_t unit_pages, uint64_t pages);

/* Take the unit that begins at page first, if it is left. */
bool rs_page_claim_unit(struct rs_bitmap *dirty, uint64_t first, uint64_t unit_pages);

/*
 * Take the first run of units that are left, at or after page from, before page end, which are whole
 * units: at most max_pages, but a unit at least. False if there is none. They are not in the state's
 * dirty_pages any more.
 */
bool rs_page_claim_run(struct rs_region *region, uint64_t from, uint64_t end, uint64_t max_pages,
		       struct rs_page_run *run);

/* The first page in [from, end), whole units, of which the unit may be left; end if none is. */
static inline uint64_t rs_page_claim_find(const struct rs_region *region, uint64_t from,
					  uint64_t end)
{
	return rs_bitmap_find_set(&region->dirty, from, end) & ~(rs_placement_pages(region) - 1);
}

#endif
