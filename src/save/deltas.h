/* SPDX-License-Identifier: MIT */
/*
 * Pages as what changed since they were sent before: XBZRLE, by QEMU's rules. The cache is byte for
 * byte what the destination has of the pages in it. So whatever is sent from here is first copied,
 * because the guest may be writing it, and it is the copy that is sent.
 */
#ifndef RS_SAVE_DELTAS_H
#define RS_SAVE_DELTAS_H

#include "codec/page_cache.h"
#include "save/convergence.h"
#include "save/record_writer.h"

/* All of it belongs to the thread that saves. */
struct rs_deltas {
	struct rs_page_cache cache;
	uint64_t cache_bytes;           /* that were asked for last */
	uint8_t *snapshot;              /* a page */
	uint8_t *delta;                 /* at most a page */
	struct rs_delta_counts counted; /* when the rates were made last */
	bool last_stage; /* no page comes again: those that are not in the cache stay out */
};

/* If the parameter xbzrle is on: 0, or the session's error. If it is off: nothing. */
int rs_deltas_init(struct rs_deltas *deltas, struct rs_state *state);
void rs_deltas_fini(struct rs_deltas *deltas);

static inline bool rs_deltas_on(const struct rs_deltas *deltas)
{
	return deltas->cache.items != NULL;
}

/* If xbzrle-cache-size has changed, go on with an empty cache of that size; in the last stage all
 * stays as it is. What was sent from the cache must have been flushed. */
void rs_deltas_resize(struct rs_deltas *deltas, struct rs_state *state);

/* A period ends: its rates become statistics. */
void rs_deltas_count(struct rs_deltas *deltas, struct rs_state *state);

/* Pages with content. The region must stay pinned until the next flush. */
void rs_deltas_send(struct rs_deltas *deltas, struct rs_record_writer *writer,
		    const struct rs_region *region, uint64_t first, uint64_t count);

/* Pages that were sent as zero. */
void rs_deltas_zero(struct rs_deltas *deltas, const struct rs_region *region, uint64_t first,
		    uint64_t count);

#endif
