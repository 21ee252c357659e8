/* SPDX-License-Identifier: MIT */
/*
 * The page cursor yields runs of dirty pages: onward from where it was, round the list of
 * regions. A run's bits are clear when it is yielded, and the logs of its chunks too: only then
 * may its pages be read. That order is what makes a write during the send be sent again.
 *
 * Between calls of the saver the cursor holds no pin; it is valid as long as the session has not
 * failed, because any change of the list fails it.
 */
#ifndef RS_RAM_PAGE_CURSOR_H
#define RS_RAM_PAGE_CURSOR_H

#include "ram/region.h"

struct rs_page_cursor {
	struct rs_state *state;
	struct rs_region *region; /* where the scan goes on; NULL: at the first region */
	uint64_t page;
	uint64_t wraps; /* how often the scan came to the end of the list */
	bool pinned;    /* region is pinned: inside a call */
	bool claims;    /* postcopy: the guest does not run, others take pages too (page_claim.h) */
};

struct rs_page_run {
	struct rs_region *region; /* pinned by the cursor until its next call */
	uint64_t first;
	uint64_t count;
};

void rs_page_cursor_init(struct rs_page_cursor *cursor, struct rs_state *state);

/*
 * The next run of at most max_pages dirty pages. 1; 0 if there is no dirty page anywhere; the
 * session's error. Before the cursor lets go of a region it calls before_leaving(opaque), which
 * writes out what still points into the region's memory.
 */
int rs_page_cursor_next(struct rs_page_cursor *cursor, uint64_t max_pages,
			int (*before_leaving)(void *opaque), void *opaque, struct rs_page_run *run);

/* Not sent after all: pages [first, first + count) of the run's region are dirty again, and the
 * scan goes on with them. */
void rs_page_cursor_put_back(struct rs_page_cursor *cursor, uint64_t first, uint64_t count);

/* Go on with that page of a region that was found in this session. 0; the session's error, or what
 * before_leaving says. */
int rs_page_cursor_go_to(struct rs_page_cursor *cursor, struct rs_region *region, uint64_t page,
			 int (*before_leaving)(void *opaque), void *opaque);

/* The call ends: let go of the region. */
void rs_page_cursor_release(struct rs_page_cursor *cursor);

#endif
