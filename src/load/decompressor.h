/* SPDX-License-Identifier: MIT */
/*
 * Compressed pages at the destination: the thread that loads collects them in batches, and worker threads
 * inflate them straight into place. Nothing else may happen meanwhile to a page that is under way, nor
 * may its region be let go: rs_decompressor_settle() and rs_decompressor_drain() see to it.
 */
#ifndef RS_LOAD_DECOMPRESSOR_H
#define RS_LOAD_DECOMPRESSOR_H

#include "base/worker_pool.h"
#include "ram/region.h"

#define RS_DECOMPRESSOR_FILTER_PAGES 65536u

struct rs_decompressor_job;
struct rs_load;

/* All of it belongs to the thread that loads. */
struct rs_decompressor {
	const struct rs_load *load;
	struct rs_worker_pool *pool;      /* NULL: no such page came yet */
	struct rs_decompressor_job *open; /* is being filled */
	unsigned job_pages;
	/* Pages under way, by the low bits of their numbers. */
	uint64_t under_way[RS_DECOMPRESSOR_FILTER_PAGES / 64];
};

void rs_decompressor_init(struct rs_decompressor *decompressor, const struct rs_load *load);

/* End the threads. What is under way is lost. Also for a decompressor that is all zero. */
void rs_decompressor_fini(struct rs_decompressor *decompressor);

/* Longest content of a compressed page that a reader takes; 0 if the parameter compress is off. */
uint32_t rs_decompressor_limit(const struct rs_state *state);

/*
 * Take a page's content, at most the limit, from the stream. The region must stay pinned until the next
 * drain. A failure, also a worker's with an earlier page, becomes the session's.
 */
void rs_decompressor_take(struct rs_decompressor *decompressor, struct rs_stream *stream,
			  struct rs_region *region, uint64_t page, size_t bytes);

/* Pages [first, first + count) are about to be used: none of them is under way any more. */
void rs_decompressor_settle(struct rs_decompressor *decompressor, uint64_t first, uint64_t count);

/* Wait for all that is under way. */
void rs_decompressor_drain(struct rs_decompressor *decompressor);

#endif
