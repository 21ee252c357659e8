/* SPDX-License-Identifier: MIT */
/*
 * A fixed number of threads that work on a bounded ring of jobs. One thread, the owner, fills jobs
 * and takes them back in the order in which it submitted them; the workers begin them in that order,
 * and finish them as they like.
 *
 *	free --owner fills, submits--> waiting --a worker--> running --> finished --reclaimed--> free
 *
 * A job is a block of bytes that belongs to the owner while it is free or finished, and to one
 * worker while it runs; handing it over orders the memory accesses of both. Handing over costs a
 * lock and perhaps a wake-up on either side, so a job should be worth some hundred microseconds.
 *
 * All functions are the owner's.
 */
#ifndef RS_BASE_WORKER_POOL_H
#define RS_BASE_WORKER_POOL_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct rs_worker_pool;

struct rs_worker_pool_config {
	unsigned threads; /* at least 1 */
	unsigned jobs;    /* in the ring; at least 1, and more than threads if none is to wait */
	size_t job_bytes;
	size_t worker_bytes;

	/* In a worker's thread. What goes wrong goes into the job. */
	void (*work)(void *job, void *worker);

	/* Each worker's own block, zero at first; in the owner's thread, before the first job and after
	 * the last. Both may be NULL. A worker of which init failed (a negative errno) has no fini. */
	int (*init)(void *worker, const void *opaque, struct rs_error *error);
	void (*fini)(void *worker);
	const void *opaque; /* for init */
};

/* 0 or a negative errno, with a text. The jobs' blocks are zero at first, and aligned for anything. */
int rs_worker_pool_create(const struct rs_worker_pool_config *config, struct rs_worker_pool **pool,
			  struct rs_error *error);

/* Running jobs are waited for, and those that nobody began are dropped. NULL is nothing to do. */
void rs_worker_pool_destroy(struct rs_worker_pool *pool);

/* The job to fill next, the same until it is submitted; NULL if all are on their way. What its block
 * held when it was last reclaimed is still there. */
void *rs_worker_pool_free_job(struct rs_worker_pool *pool);

/* Hand over the job that rs_worker_pool_free_job() gave. */
void rs_worker_pool_submit(struct rs_worker_pool *pool);

/* How many threads have nothing to do. Until the next submit it can only grow. */
unsigned rs_worker_pool_idle(struct rs_worker_pool *pool);

/* How many jobs were submitted and not reclaimed. */
unsigned rs_worker_pool_pending(const struct rs_worker_pool *pool);

/* The oldest pending job if it is finished, the same until it is reclaimed; else NULL, or wait for it.
 * NULL if none is pending. A wait may last until the workers are about to run out of jobs, so that there are
 * some to take back at once; jobs do not depend on the owner. */
void *rs_worker_pool_done(struct rs_worker_pool *pool, bool wait);

/* The job that rs_worker_pool_done() gave is free again. */
void rs_worker_pool_reclaim(struct rs_worker_pool *pool);

#endif
