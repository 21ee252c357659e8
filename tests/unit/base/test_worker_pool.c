/* SPDX-License-Identifier: MIT */
#include "base/worker_pool.h"
#include "support/test_random.h"

#include <dirent.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

/* What a job is to do, and what became of it. */
struct job {
	unsigned number, spins;
	sem_t *begun, *may_end; /* or NULL */
	uint64_t result;
	unsigned times; /* that it was worked on */
	bool signals_blocked;
};

struct worker {
	unsigned jobs;
};

static uint64_t result_of(unsigned number, unsigned spins)
{
	uint64_t result = number;

	for (unsigned i = 0; i < spins; i++)
		result = test_mix(result);
	return result;
}

static void work(void *argument, void *own)
{
	struct job *job = argument;
	struct worker *worker = own;
	sigset_t mask;

	if (job->begun != NULL)
		sem_post(job->begun);
	if (job->may_end != NULL)
		sem_wait(job->may_end);
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	job->signals_blocked = sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGUSR1) == 1;
	job->result = result_of(job->number, job->spins);
	job->times++;
	worker->jobs++;
}

/* What init and fini saw, and what they are to do. */
static struct {
	unsigned inited, finished, jobs;
	unsigned fail_at; /* this one fails, from 1 on */
	const char *text;
} workers;

static int init_worker(void *own, const void *opaque, struct rs_error *error)
{
	struct worker *worker = own;

	assert_ptr_equal(opaque, &workers);
	assert_int_equal(worker->jobs, 0);
	if (++workers.inited != workers.fail_at)
		return 0;
	workers.inited--;
	return workers.text != NULL ? rs_error_setf(error, -EPROTO, "%s", workers.text) : -ENOMEM;
}

static void fini_worker(void *own)
{
	workers.jobs += ((struct worker *)own)->jobs;
	workers.finished++;
}

static struct rs_worker_pool_config config_of(unsigned threads, unsigned jobs)
{
	struct rs_worker_pool_config config = {
		.threads = threads,
		.jobs = jobs,
		.job_bytes = sizeof(struct job),
		.worker_bytes = sizeof(struct worker),
		.work = work,
		.init = init_worker,
		.fini = fini_worker,
		.opaque = &workers,
	};

	memset(&workers, 0, sizeof(workers));
	return config;
}

static struct rs_worker_pool *make_pool(unsigned threads, unsigned jobs)
{
	struct rs_worker_pool_config config = config_of(threads, jobs);
	struct rs_worker_pool *pool = NULL;
	struct rs_error error = { .code = 0 };

	assert_int_equal(rs_worker_pool_create(&config, &pool, &error), 0);
	assert_int_equal(error.code, 0);
	assert_int_equal(workers.inited, threads);
	return pool;
}

/* Every worker that began has ended, and they did so many jobs together. */
static void destroy_pool(struct rs_worker_pool *pool, unsigned jobs)
{
	rs_worker_pool_destroy(pool);
	assert_int_equal(workers.finished, workers.inited);
	assert_int_equal(workers.jobs, jobs);
}

static struct job *fill(struct rs_worker_pool *pool, unsigned number)
{
	struct job *job = rs_worker_pool_free_job(pool);

	assert_non_null(job);
	job->number = number;
	return job;
}

static void submit(struct rs_worker_pool *pool, unsigned number, unsigned spins)
{
	fill(pool, number)->spins = spins;
	rs_worker_pool_submit(pool);
}

static void submit_gated(struct rs_worker_pool *pool, unsigned number, sem_t *begun, sem_t *may_end)
{
	struct job *job = fill(pool, number);

	job->begun = begun;
	job->may_end = may_end;
	rs_worker_pool_submit(pool);
}

static void take(struct rs_worker_pool *pool, unsigned number)
{
	struct job *job = rs_worker_pool_done(pool, true);

	assert_non_null(job);
	assert_int_equal(job->number, number);
	assert_true(job->result == result_of(number, job->spins));
	assert_true(job->signals_blocked);
	rs_worker_pool_reclaim(pool);
}

/* When there is no pool. */
static unsigned threads_at_first;

static unsigned count_threads(void)
{
	DIR *directory = opendir("/proc/self/task");
	unsigned count = 0;

	assert_non_null(directory);
	while (readdir(directory) != NULL)
		count++;
	closedir(directory);
	return count;
}

/* None is left. One that was joined may still be on its way out of the kernel's list. */
static void check_threads(void)
{
	for (unsigned i = 0; i < 1000 && count_threads() != threads_at_first; i++)
		usleep(1000);
	assert_int_equal(count_threads(), threads_at_first);
}

/* ---- the ring ------------------------------------------------------------------------------ */

static void jobs_come_back_in_order(void **state)
{
	(void)state;
	for (unsigned threads = 1; threads <= 4; threads++)
		for (unsigned jobs = 1; jobs <= 9; jobs += 2) {
			struct rs_worker_pool *pool = make_pool(threads, jobs);
			struct test_random random = { threads * 100 + jobs };
			unsigned submitted = 0, taken = 0;

			while (taken < 2000) {
				if (submitted < 2000 && rs_worker_pool_free_job(pool) != NULL &&
				    !test_random_one_in(&random, 4))
					submit(pool, submitted++,
					       (unsigned)test_random_below(&random, 300));
				else if (submitted > taken)
					take(pool, taken++);
				assert_int_equal(rs_worker_pool_pending(pool), submitted - taken);
			}
			destroy_pool(pool, 2000);
		}
}

/* As somebody takes them who never waits. */
static void nothing_is_lost_without_waiting(void **state)
{
	struct rs_worker_pool *pool = make_pool(2, 4);
	unsigned submitted = 0, taken = 0;

	(void)state;
	while (taken < 3000) {
		struct job *job = rs_worker_pool_done(pool, false);

		if (job != NULL) {
			assert_int_equal(job->number, taken++);
			rs_worker_pool_reclaim(pool);
		}
		if (submitted < 3000 && rs_worker_pool_free_job(pool) != NULL)
			submit(pool, submitted++, 10);
	}
	destroy_pool(pool, 3000);
}

static void the_ring_is_bounded(void **state)
{
	struct rs_worker_pool *pool = make_pool(1, 3);
	sem_t may_end;

	(void)state;
	sem_init(&may_end, 0, 0);
	assert_null(rs_worker_pool_done(pool, false));
	assert_null(rs_worker_pool_done(pool, true));
	for (unsigned number = 0; number < 3; number++) {
		assert_ptr_equal(rs_worker_pool_free_job(pool), rs_worker_pool_free_job(pool));
		submit_gated(pool, number, NULL, &may_end);
	}
	assert_null(rs_worker_pool_free_job(pool));
	sem_post(&may_end);
	sem_post(&may_end);
	void *done = rs_worker_pool_done(pool, true);

	assert_ptr_equal(rs_worker_pool_done(pool, false), done);
	assert_null(rs_worker_pool_free_job(pool));
	take(pool, 0);
	assert_non_null(rs_worker_pool_free_job(pool));
	take(pool, 1);
	assert_null(rs_worker_pool_done(pool, false));
	sem_post(&may_end);
	take(pool, 2);
	assert_null(rs_worker_pool_done(pool, true));
	destroy_pool(pool, 3);
	sem_destroy(&may_end);
}

/* A later one is finished long ago. */
static void the_oldest_job_is_waited_for(void **state)
{
	struct rs_worker_pool *pool = make_pool(2, 4);
	sem_t begun, may_end, second_may_end;

	(void)state;
	sem_init(&begun, 0, 0);
	sem_init(&may_end, 0, 0);
	sem_init(&second_may_end, 0, 1);
	submit_gated(pool, 0, &begun, &may_end);
	submit_gated(pool, 1, &begun, &second_may_end);
	sem_wait(&begun);
	sem_wait(&begun);
	while (rs_worker_pool_idle(pool) == 0)
		usleep(100);
	assert_null(rs_worker_pool_done(pool, false));
	sem_post(&may_end);
	take(pool, 0);
	take(pool, 1);
	destroy_pool(pool, 2);
	sem_destroy(&begun);
	sem_destroy(&may_end);
	sem_destroy(&second_may_end);
}

/* All of them at the same moment: each waits until the last one has begun. */
static void all_threads_work(void **state)
{
	enum { THREADS = 5 };
	struct rs_worker_pool *pool = make_pool(THREADS, THREADS + 2);
	sem_t begun, may_end;

	(void)state;
	sem_init(&begun, 0, 0);
	sem_init(&may_end, 0, 0);
	for (unsigned round = 0; round < 50; round++) {
		assert_int_equal(rs_worker_pool_idle(pool), THREADS);
		for (unsigned i = 0; i < THREADS; i++) {
			submit_gated(pool, i, &begun, &may_end);
			assert_int_equal(rs_worker_pool_idle(pool), THREADS - 1 - i);
		}
		/* It waits for a thread. */
		submit_gated(pool, THREADS, &begun, &may_end);
		assert_int_equal(rs_worker_pool_idle(pool), 0);
		for (unsigned i = 0; i < THREADS; i++)
			sem_wait(&begun);
		for (unsigned i = 0; i <= THREADS; i++)
			sem_post(&may_end);
		for (unsigned i = 0; i <= THREADS; i++)
			take(pool, i);
		sem_wait(&begun);
	}
	destroy_pool(pool, 50 * (THREADS + 1));
	sem_destroy(&begun);
	sem_destroy(&may_end);
}

static void blocks_keep_what_is_in_them(void **state)
{
	struct rs_worker_pool *pool = make_pool(2, 3);

	(void)state;
	for (unsigned number = 0; number < 12; number++) {
		struct job *job = fill(pool, number);

		assert_int_equal((uintptr_t)job % 64, 0);
		assert_int_equal(job->times, number / 3);
		rs_worker_pool_submit(pool);
		take(pool, number);
	}
	destroy_pool(pool, 12);
}

/* ---- beginning and end --------------------------------------------------------------------- */

struct release {
	pid_t thread;
	sem_t *semaphore;
	unsigned times;
};

static bool is_asleep(pid_t thread)
{
	char path[64], text[256] = "";

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)thread);
	FILE *file = fopen(path, "r");
	size_t got = fread(text, 1, sizeof(text) - 1, file);
	const char *state = strrchr(text, ')');

	fclose(file);
	return got > 0 && state != NULL && state[2] == 'S';
}

/* Once the thread has slept for a while, as it does where it waits for others to end. */
static void *release_later(void *argument)
{
	struct release *release = argument;

	for (unsigned asleep = 0; asleep < 10; asleep++) {
		usleep(1000);
		if (!is_asleep(release->thread))
			asleep = 0;
	}
	while (release->times-- > 0)
		sem_post(release->semaphore);
	return NULL;
}

static void destroy_waits_for_what_runs_only(void **state)
{
	struct rs_worker_pool *pool = make_pool(2, 8);
	struct release release;
	sem_t begun, may_end;
	pthread_t releaser;

	(void)state;
	sem_init(&begun, 0, 0);
	sem_init(&may_end, 0, 0);
	for (unsigned number = 0; number < 8; number++)
		submit_gated(pool, number, &begun, &may_end);
	sem_wait(&begun);
	sem_wait(&begun);
	release = (struct release){ gettid(), &may_end, 8 };
	assert_int_equal(pthread_create(&releaser, NULL, release_later, &release), 0);
	destroy_pool(pool, 2);
	pthread_join(releaser, NULL);
	check_threads();
	sem_destroy(&begun);
	sem_destroy(&may_end);
}

static void idle_pools_end(void **state)
{

	(void)state;
	for (unsigned i = 0; i < 200; i++)
		destroy_pool(make_pool(1 + i % 3, 1), 0);
	check_threads();
	rs_worker_pool_destroy(NULL);
}

/* Finished jobs that nobody takes are no hindrance. */
static void destroyed_with_jobs_in_it(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		struct rs_worker_pool *pool = make_pool(2, 6);

		for (unsigned number = 0; number < 6; number++)
			submit(pool, number, i * 10);
		if (i % 2 != 0)
			take(pool, 0);
		rs_worker_pool_destroy(pool);
		assert_int_equal(workers.finished, 2);
		assert_in_range(workers.jobs, i % 2, 6);
	}
}

static void init_fails(void **state)
{
	static const struct {
		const char *text;
		int code;
		const char *expected;
	} rows[] = {
		{ "no room for a dictionary", -EPROTO, "no room for a dictionary" },
		{ NULL, -ENOMEM, "worker thread 2: Cannot allocate memory" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rs_worker_pool_config config = config_of(4, 4);
		struct rs_worker_pool *pool = NULL;
		struct rs_error error = { .code = 0 };

		workers.fail_at = 3;
		workers.text = rows[i].text;
		assert_int_equal(rs_worker_pool_create(&config, &pool, &error), rows[i].code);
		assert_null(pool);
		assert_int_equal(error.code, rows[i].code);
		assert_string_equal(error.text, rows[i].expected);
		assert_int_equal(workers.inited, 2);
		assert_int_equal(workers.finished, 2);
		check_threads();
	}
}

static void impossible_pools(void **state)
{
	static const struct {
		unsigned threads, jobs;
		size_t job_bytes, worker_bytes;
		int result;
	} rows[] = {
		{ 0, 1, 1, 1, -EINVAL },
		{ 1, 0, 1, 1, -EINVAL },
		{ 1, 1, SIZE_MAX, 1, -ENOMEM },
		{ 1, 1, SIZE_MAX / 2, 1, -ENOMEM },
		{ 1, 1, 1, SIZE_MAX - 63, -ENOMEM },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rs_worker_pool_config config = config_of(rows[i].threads, rows[i].jobs);
		struct rs_worker_pool *pool = NULL;
		struct rs_error error = { .code = 0 };

		config.job_bytes = rows[i].job_bytes;
		config.worker_bytes = rows[i].worker_bytes;
		assert_int_equal(rs_worker_pool_create(&config, &pool, &error), rows[i].result);
		assert_null(pool);
		assert_int_equal(error.code, rows[i].result);
		assert_string_not_equal(error.text, "");
		assert_int_equal(workers.inited, 0);
	}
}

static void count_only(void *job, void *worker)
{
	(void)worker;
	++*(unsigned *)job;
}

/* Neither callbacks, nor a block of their own. */
static void workers_without_anything(void **state)
{
	static const struct rs_worker_pool_config config = {
		.threads = 2, .jobs = 2, .job_bytes = sizeof(unsigned), .work = count_only
	};
	struct rs_worker_pool *pool;

	(void)state;
	assert_int_equal(rs_worker_pool_create(&config, &pool, NULL), 0);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(*(unsigned *)rs_worker_pool_free_job(pool), i / 2);
		rs_worker_pool_submit(pool);
		assert_int_equal(*(unsigned *)rs_worker_pool_done(pool, true), i / 2 + 1);
		rs_worker_pool_reclaim(pool);
	}
	rs_worker_pool_destroy(pool);
}

static void *do_nothing(void *argument)
{
	return argument;
}

/* ThreadSanitizer has a thread of its own, from the first one that is made on. */
static unsigned fewest_threads(void)
{
	unsigned fewest = UINT_MAX;
	pthread_t thread;

	if (pthread_create(&thread, NULL, do_nothing, NULL) != 0)
		abort();
	pthread_join(thread, NULL);
	for (unsigned i = 0; i < 50; i++) {
		unsigned count = count_threads();

		fewest = count < fewest ? count : fewest;
		usleep(1000);
	}
	return fewest;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jobs_come_back_in_order),
		cmocka_unit_test(nothing_is_lost_without_waiting),
		cmocka_unit_test(the_ring_is_bounded),
		cmocka_unit_test(the_oldest_job_is_waited_for),
		cmocka_unit_test(all_threads_work),
		cmocka_unit_test(blocks_keep_what_is_in_them),
		cmocka_unit_test(destroy_waits_for_what_runs_only),
		cmocka_unit_test(idle_pools_end),
		cmocka_unit_test(destroyed_with_jobs_in_it),
		cmocka_unit_test(init_fails),
		cmocka_unit_test(impossible_pools),
		cmocka_unit_test(workers_without_anything),
	};

	threads_at_first = fewest_threads();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
