/* SPDX-License-Identifier: MIT */
/*
 * Compressed pages, by worker threads: the thread that saves hands pages over in batches, and writes
 * what comes back, in the same order. The workers take copies, because the guest may be writing. Pages of
 * one region only are under way at any time, and none at the end of a body: so a body has no page
 * twice, which is what lets a reader work in threads as well.
 */
#ifndef RS_SAVE_COMPRESSOR_H
#define RS_SAVE_COMPRESSOR_H

#include "base/worker_pool.h"
#include "save/convergence.h"
#include "save/record_writer.h"

struct rs_compressor_job;

/* All of it belongs to the thread that saves. */
struct rs_compressor {
	struct rs_worker_pool *pool;
	struct rs_compressor_job *open; /* is being filled */
	struct rs_record_writer *writer;
	unsigned job_pages;
	bool waits; /* for a thread, rather than send a page in full */
	struct rs_compress_counts counted;
};

/* If the parameter compress is on: start the threads. 0, or the session's error. */
int rs_compressor_init(struct rs_compressor *compressor, struct rs_record_writer *writer);

/* End the threads. What is under way is lost. Also for a compressor that is all zero. */
void rs_compressor_fini(struct rs_compressor *compressor);

static inline bool rs_compressor_on(const struct rs_compressor *compressor)
{
	return compressor->pool != NULL;
}

/* A period ends: its rates become statistics. */
void rs_compressor_count(struct rs_compressor *compressor);

/* Pages with content, of a region that stays pinned until the next drain and flush. Once the session or the
 * stream has failed, nothing happens to them. */
void rs_compressor_send(struct rs_compressor *compressor, const struct rs_region *region,
			uint64_t first, uint64_t count);

/* Wait for all that is under way, and write it. A worker's failure becomes the session's. */
void rs_compressor_drain(struct rs_compressor *compressor);

#endif
