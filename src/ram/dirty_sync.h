/* SPDX-License-Identifier: MIT */
/*
 * From dirty logs to dirty bitmaps. Everything here belongs to the thread that saves.
 */
#ifndef RS_RAM_DIRTY_SYNC_H
#define RS_RAM_DIRTY_SYNC_H

#include "ram/region.h"

/* Start all logs of all regions, and mark every page of them dirty, in this order: a write
 * that a log does not see yet is one to a page that is not sent yet. The session's error. */
int rs_dirty_logs_start(struct rs_state *state);

/* The counterpart. Harmless for logs that were never started. */
void rs_dirty_logs_stop(struct rs_state *state);

/*
 * Pull all logs into the bitmaps and count the sync. *newly_dirty receives the number of pages that
 * were clean before. The session's error.
 */
int rs_dirty_sync(struct rs_state *state, uint64_t *newly_dirty);

/*
 * Begin a new log period for the pages [first, first + count), in whole chunks, where that was
 * not done since the last sync. To be called when their dirty bits are cleared, before they are
 * read. The session's error.
 */
int rs_dirty_logs_clear(struct rs_region *region, uint64_t first, uint64_t count);

#endif
