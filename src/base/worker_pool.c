/* SPDX-License-Identifier: MIT */
/*
 * The ring is three counters that only grow: reclaimed <= claimed <= submitted, and submitted is at
 * most the ring's length ahead of reclaimed. A job's place is its number modulo that length.
 *
 * Waking somebody is what handing over costs: in a virtual machine 20 to 50 microseconds, most of them the
 * processor's way out of its sleep and back. So nobody is woken who does not sleep: workers say how many
 * of them do, and the owner for which job. And the owner sleeps on while the workers have enough to do
 * without it: it then finds several jobs finished at once. With 500 us for a job and a ring of 6, one
 * worker's jobs cost 15 us more instead of 40; two workers' and a ring of 10, 6 instead of 23.
 */
#include "base/worker_pool.h"

#include "base/thread.h"

#include <stdint.h>
#include <stdlib.h>

/* No two blocks share a cache line. */
#define BLOCK_ALIGNMENT 64u

struct worker {
	struct rs_worker_pool *pool;
	void *block;
	pthread_t thread;
};

struct blocks {
	unsigned char *allocation, *first;
	size_t stride;
};

struct rs_worker_pool {
	/* immutable */
	struct rs_worker_pool_config config;
	struct worker *workers;
	struct blocks jobs, worker_blocks;
	unsigned inited, started; /* workers; less than there are only in create */

	pthread_mutex_t lock;
	pthread_cond_t submitted_one, finished_one;

	/* written by the owner under the lock; it may read them without */
	uint64_t submitted;

	/* the owner's alone */
	uint64_t reclaimed;

	/* guarded by the lock */
	bool *finished; /* by place in the ring */
	uint64_t claimed, completed;
	unsigned sleeping;
	bool owner_sleeps; /* until the job number reclaimed is finished */
	uint64_t awaited;
	bool stopping;
};

/* One more than asked for is allocated, for what alignment takes. */
static int blocks_init(struct blocks *blocks, unsigned count, size_t bytes)
{
	size_t all;

	if (bytes > SIZE_MAX - BLOCK_ALIGNMENT)
		return -ENOMEM;
	/* A block without bytes has an address of its own, too. */
	bytes += bytes == 0;
	blocks->stride = (bytes + BLOCK_ALIGNMENT - 1) / BLOCK_ALIGNMENT * BLOCK_ALIGNMENT;
	if (__builtin_mul_overflow((size_t)count + 1, blocks->stride, &all))
		return -ENOMEM;
	/* What is not used is not touched. */
	blocks->allocation = calloc(all, 1);
	if (blocks->allocation == NULL)
		return -ENOMEM;
	blocks->first = blocks->allocation + -(uintptr_t)blocks->allocation % BLOCK_ALIGNMENT;
	return 0;
}

static void *block(const struct blocks *blocks, uint64_t number)
{
	return blocks->first + (size_t)number * blocks->stride;
}

static void *job_of(const struct rs_worker_pool *pool, uint64_t number)
{
	return block(&pool->jobs, number % pool->config.jobs);
}

/* ---- the workers --------------------------------------------------------------------------- */

/* Whether there is a job, which then is the caller's. */
static bool claim_locked(struct rs_worker_pool *pool, uint64_t *number)
{
	while (pool->claimed == pool->submitted && !pool->stopping) {
		pool->sleeping++;
		pthread_cond_wait(&pool->submitted_one, &pool->lock);
		pool->sleeping--;
	}
	if (pool->stopping)
		return false;
	*number = pool->claimed++;
	return true;
}

static void complete_locked(struct rs_worker_pool *pool, uint64_t number)
{
	pool->finished[number % pool->config.jobs] = true;
	pool->completed++;
	if (!pool->owner_sleeps || !pool->finished[pool->awaited % pool->config.jobs])
		return;
	/* One for each worker is left to begin: time for the owner to fill more. As a job that is begun
	 * is completed later, and comes by here, the owner is woken in the end. */
	if (pool->submitted - pool->claimed <= pool->config.threads)
		pthread_cond_signal(&pool->finished_one);
}

static void *worker_main(void *argument)
{
	struct worker *worker = argument;
	struct rs_worker_pool *pool = worker->pool;
	uint64_t number;

	pthread_mutex_lock(&pool->lock);
	while (claim_locked(pool, &number)) {
		pthread_mutex_unlock(&pool->lock);
		pool->config.work(job_of(pool, number), worker->block);
		pthread_mutex_lock(&pool->lock);
		complete_locked(pool, number);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

/* ---- the owner ----------------------------------------------------------------------------- */

static int start_workers(struct rs_worker_pool *pool, struct rs_error *error)
{
	const struct rs_worker_pool_config *config = &pool->config;

	for (; pool->inited < config->threads; pool->inited++) {
		struct worker *worker = &pool->workers[pool->inited];

		worker->pool = pool;
		worker->block = block(&pool->worker_blocks, pool->inited);
		int result =
		    config->init != NULL ? config->init(worker->block, config->opaque, error) : 0;

		if (result != 0)
			return rs_error_setf(error, result, "worker thread %u: %s", pool->inited,
					     rs_errno_text(result));
	}
	for (; pool->started < config->threads; pool->started++) {
		struct worker *worker = &pool->workers[pool->started];
		int result = rs_thread_create(&worker->thread, worker_main, worker);

		if (result != 0)
			return rs_error_setf(error, result, "worker thread %u cannot start: %s",
					     pool->started, rs_errno_text(result));
	}
	return 0;
}

static int allocate(struct rs_worker_pool *pool)
{
	const struct rs_worker_pool_config *config = &pool->config;

	pool->workers = calloc(config->threads, sizeof(*pool->workers));
	pool->finished = calloc(config->jobs, sizeof(*pool->finished));
	if (pool->workers == NULL || pool->finished == NULL ||
	    blocks_init(&pool->jobs, config->jobs, config->job_bytes) != 0 ||
	    blocks_init(&pool->worker_blocks, config->threads, config->worker_bytes) != 0)
		return -ENOMEM;
	return 0;
}

int rs_worker_pool_create(const struct rs_worker_pool_config *config, struct rs_worker_pool **pool,
			  struct rs_error *error)
{
	struct rs_worker_pool *made;
	int result;

	if (config->threads == 0 || config->jobs == 0)
		return rs_error_setf(error, -EINVAL, "a worker pool needs a thread and a job");
	made = calloc(1, sizeof(*made));
	if (made == NULL)
		return rs_error_setf(error, -ENOMEM, "worker threads: out of memory");
	made->config = *config;
	pthread_mutex_init(&made->lock, NULL);
	pthread_cond_init(&made->submitted_one, NULL);
	pthread_cond_init(&made->finished_one, NULL);
	result = allocate(made);
	if (result != 0)
		rs_error_setf(error, result, "worker threads: out of memory");
	else
		result = start_workers(made, error);
	if (result != 0) {
		rs_worker_pool_destroy(made);
		return result;
	}
	*pool = made;
	return 0;
}

void rs_worker_pool_destroy(struct rs_worker_pool *pool)
{
	if (pool == NULL)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->stopping = true;
	pthread_cond_broadcast(&pool->submitted_one);
	pthread_mutex_unlock(&pool->lock);
	while (pool->started > 0)
		pthread_join(pool->workers[--pool->started].thread, NULL);
	while (pool->inited > 0) {
		pool->inited--;
		if (pool->config.fini != NULL)
			pool->config.fini(pool->workers[pool->inited].block);
	}
	pthread_cond_destroy(&pool->finished_one);
	pthread_cond_destroy(&pool->submitted_one);
	pthread_mutex_destroy(&pool->lock);
	free(pool->worker_blocks.allocation);
	free(pool->jobs.allocation);
	free(pool->finished);
	free(pool->workers);
	free(pool);
}

unsigned rs_worker_pool_pending(const struct rs_worker_pool *pool)
{
	return (unsigned)(pool->submitted - pool->reclaimed);
}

void *rs_worker_pool_free_job(struct rs_worker_pool *pool)
{
	if (rs_worker_pool_pending(pool) == pool->config.jobs)
		return NULL;
	return job_of(pool, pool->submitted);
}

void rs_worker_pool_submit(struct rs_worker_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->submitted++;
	bool wake = pool->sleeping > 0;

	pthread_mutex_unlock(&pool->lock);
	/* After the unlock, or the one that wakes up would sleep again at once, at the lock. */
	if (wake)
		pthread_cond_signal(&pool->submitted_one);
}

unsigned rs_worker_pool_idle(struct rs_worker_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	uint64_t busy = pool->submitted - pool->completed;

	pthread_mutex_unlock(&pool->lock);
	return busy < pool->config.threads ? pool->config.threads - (unsigned)busy : 0;
}

void *rs_worker_pool_done(struct rs_worker_pool *pool, bool wait)
{
	bool *finished = &pool->finished[pool->reclaimed % pool->config.jobs];

	if (pool->submitted == pool->reclaimed)
		return NULL;
	pthread_mutex_lock(&pool->lock);
	pool->awaited = pool->reclaimed;
	pool->owner_sleeps = wait;
	while (wait && !*finished)
		pthread_cond_wait(&pool->finished_one, &pool->lock);
	pool->owner_sleeps = false;
	bool done = *finished;

	pthread_mutex_unlock(&pool->lock);
	return done ? job_of(pool, pool->reclaimed) : NULL;
}

void rs_worker_pool_reclaim(struct rs_worker_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->finished[pool->reclaimed % pool->config.jobs] = false;
	pthread_mutex_unlock(&pool->lock);
	pool->reclaimed++;
}
