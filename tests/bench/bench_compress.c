/* SPDX-License-Identifier: MIT */
/*
 * Compressed pages, level 1: how many pages a second become zlib streams, and streams pages; in pages and in
 * megabytes of guest RAM. In turns in one run:
 *
 *	zlib	zlib's own loop: default parameters, reset for each page
 *	own	codec/zlib_page in a loop
 *	pool_1	a pool with one worker that copies 16 pages and deflates them, or inflates 16 streams that
 *		were copied for it; with all that handing over costs
 *	own_2	the loop in two threads, each with a half of the pages and nothing to do with the other: what
 *		this machine's cores have to give
 *	pool_2	a pool with two workers
 *
 * Goals: one worker at 0.95 of the loop, two at as much of two loops. Zero pages are left out: they never
 * get here. The medians of ratios are of ratios in the same round.
 */
#include "base/worker_pool.h"
#include "bench/measure.h"
#include "codec/live_memory.h"
#include "codec/zlib_page.h"
#include "guest/pattern.h"

#include <pthread.h>

enum { PAGE = PATTERN_PAGE_BYTES, BATCH = 16, ROUNDS = 5, LEVEL = 1, BOUND = PAGE + 64 };

struct set {
	size_t count;
	unsigned char *pages, *back;
	unsigned char *streams; /* a page's room for each */
	int *lengths;           /* 0: did not shrink */
	unsigned long long zlib_bytes;
};

/* What goes to a worker and comes back. */
struct job {
	struct set *set;
	size_t first, count;
	unsigned char content[BATCH * PAGE];
	int lengths[BATCH];
};

struct worker {
	struct rs_deflater deflater;
	struct rs_inflater inflater;
	unsigned char page[PAGE];
};

__attribute__((noreturn)) static void fail(const char *what)
{
	fprintf(stderr, "bench_compress: %s\n", what);
	exit(1);
}

/* ---- loops in one thread ------------------------------------------------------------------- */

static void zlib_deflate(struct set *set)
{
	static unsigned char to[BOUND];
	z_stream z = { .next_in = NULL };

	set->zlib_bytes = 0;
	if (deflateInit(&z, LEVEL) != Z_OK)
		fail("deflateInit");
	for (size_t page = 0; page < set->count; page++) {
		z.next_in = set->pages + page * PAGE;
		z.avail_in = PAGE;
		z.next_out = to;
		z.avail_out = sizeof(to);
		if (deflate(&z, Z_FINISH) != Z_STREAM_END)
			fail("deflate");
		set->zlib_bytes += z.total_out < PAGE ? z.total_out : PAGE;
		deflateReset(&z);
	}
	deflateEnd(&z);
}

static void zlib_inflate(struct set *set)
{
	z_stream z = { .next_in = NULL };

	if (inflateInit(&z) != Z_OK)
		fail("inflateInit");
	for (size_t page = 0; page < set->count; page++) {
		z.next_in = set->streams + page * PAGE;
		z.avail_in = (uInt)set->lengths[page];
		z.next_out = set->back + page * PAGE;
		z.avail_out = PAGE;
		if (set->lengths[page] != 0 && inflate(&z, Z_NO_FLUSH) != Z_STREAM_END)
			fail("inflate");
		inflateReset(&z);
	}
	inflateEnd(&z);
}

static int deflate_page(struct rs_deflater *deflater, const void *page, void *to)
{
	const char *reason;
	int length = rs_deflate_page(deflater, page, to, PAGE - 1, &reason);

	if (length < 0)
		fail(reason);
	return length;
}

static void inflate_page(struct rs_inflater *inflater, const void *data, int length, void *page)
{
	const char *reason = "too few bytes";

	if (length != 0 &&
	    rs_inflate_page(inflater, data, (size_t)length, page, PAGE, &reason) != PAGE)
		fail(reason);
}

static void own_deflate(struct set *set)
{
	struct rs_deflater deflater;

	if (rs_deflater_init(&deflater, LEVEL, PAGE) != 0)
		fail("rs_deflater_init");
	for (size_t page = 0; page < set->count; page++)
		set->lengths[page] =
		    deflate_page(&deflater, set->pages + page * PAGE, set->streams + page * PAGE);
	rs_deflater_fini(&deflater);
}

static void own_inflate(struct set *set)
{
	struct rs_inflater inflater;

	if (rs_inflater_init(&inflater) != 0)
		fail("rs_inflater_init");
	for (size_t page = 0; page < set->count; page++)
		inflate_page(&inflater, set->streams + page * PAGE, set->lengths[page],
			     set->back + page * PAGE);
	rs_inflater_fini(&inflater);
}

/* Of a half of the pages. */
struct half {
	pthread_t thread;
	struct set set;
	void (*loop)(struct set *set);
};

static void *do_half(void *argument)
{
	struct half *half = argument;

	half->loop(&half->set);
	return NULL;
}

static void in_two_threads(struct set *set, void (*loop)(struct set *set))
{
	struct half halves[2];

	for (size_t i = 0; i < 2; i++) {
		size_t first = i * (set->count / 2);

		halves[i].loop = loop;
		halves[i].set = (struct set){
			.count = i == 0 ? set->count / 2 : set->count - first,
			.pages = set->pages + first * PAGE,
			.back = set->back + first * PAGE,
			.streams = set->streams + first * PAGE,
			.lengths = set->lengths + first,
		};
		if (pthread_create(&halves[i].thread, NULL, do_half, &halves[i]) != 0)
			fail("pthread_create");
	}
	for (size_t i = 0; i < 2; i++)
		pthread_join(halves[i].thread, NULL);
}

static void own_2_deflate(struct set *set)
{
	in_two_threads(set, own_deflate);
}

static void own_2_inflate(struct set *set)
{
	in_two_threads(set, own_inflate);
}

/* ---- pools --------------------------------------------------------------------------------- */

static int init_worker(void *own, const void *opaque, struct rs_error *error)
{
	struct worker *worker = own;

	(void)opaque;
	(void)error;
	int result = rs_deflater_init(&worker->deflater, LEVEL, PAGE);

	return result != 0 ? result : rs_inflater_init(&worker->inflater);
}

static void fini_worker(void *own)
{
	struct worker *worker = own;

	rs_inflater_fini(&worker->inflater);
	rs_deflater_fini(&worker->deflater);
}

static void deflate_job(void *argument, void *own)
{
	struct job *job = argument;
	struct worker *worker = own;

	for (size_t i = 0; i < job->count; i++) {
		rs_live_copy(worker->page, job->set->pages + (job->first + i) * PAGE, PAGE);
		job->lengths[i] =
		    deflate_page(&worker->deflater, worker->page, job->content + i * PAGE);
	}
}

static void inflate_job(void *argument, void *own)
{
	struct job *job = argument;
	struct worker *worker = own;

	for (size_t i = 0; i < job->count; i++)
		inflate_page(&worker->inflater, job->content + i * PAGE, job->lengths[i],
			     job->set->back + (job->first + i) * PAGE);
}

/* The streams come out of a buffer that is needed again. */
static void fill_inflate_job(struct job *job)
{
	for (size_t i = 0; i < job->count; i++) {
		job->lengths[i] = job->set->lengths[job->first + i];
		memcpy(job->content + i * PAGE, job->set->streams + (job->first + i) * PAGE,
		       (size_t)job->lengths[i]);
	}
}

/* A destination would have been told what came; a source writes it from where it is. */
static void check_deflate_job(const struct job *job)
{
	for (size_t i = 0; i < job->count; i++)
		if (job->lengths[i] != job->set->lengths[job->first + i])
			fail("a page's stream has another length");
}

static void run_pool(struct set *set, unsigned threads, bool deflating)
{
	const struct rs_worker_pool_config config = {
		.threads = threads,
		.jobs = 4 * threads + 2,
		.job_bytes = sizeof(struct job),
		.worker_bytes = sizeof(struct worker),
		.work = deflating ? deflate_job : inflate_job,
		.init = init_worker,
		.fini = fini_worker,
	};
	struct rs_worker_pool *pool;
	struct job *job;
	size_t next = 0;

	if (rs_worker_pool_create(&config, &pool, NULL) != 0)
		fail("rs_worker_pool_create");
	do {
		while (next < set->count && (job = rs_worker_pool_free_job(pool)) != NULL) {
			job->set = set;
			job->first = next;
			job->count = set->count - next < BATCH ? set->count - next : BATCH;
			if (!deflating)
				fill_inflate_job(job);
			next += job->count;
			rs_worker_pool_submit(pool);
		}
		job = rs_worker_pool_done(pool, true);
		if (job != NULL && deflating)
			check_deflate_job(job);
		if (job != NULL)
			rs_worker_pool_reclaim(pool);
	} while (job != NULL);
	rs_worker_pool_destroy(pool);
}

static void pool_1_deflate(struct set *set)
{
	run_pool(set, 1, true);
}

static void pool_2_deflate(struct set *set)
{
	run_pool(set, 2, true);
}

static void pool_1_inflate(struct set *set)
{
	run_pool(set, 1, false);
}

static void pool_2_inflate(struct set *set)
{
	run_pool(set, 2, false);
}

/* ---- measuring ----------------------------------------------------------------------------- */

enum { ZLIB, OWN, POOL_1, OWN_2, POOL_2, WAYS };

static const char *const ways[WAYS] = { "zlib", "own", "pool_1", "own_2", "pool_2" };
static void (*const functions[2][WAYS])(struct set *set) = {
	{ zlib_deflate, own_deflate, pool_1_deflate, own_2_deflate, pool_2_deflate },
	{ zlib_inflate, own_inflate, pool_1_inflate, own_2_inflate, pool_2_inflate },
};

static void print(const struct set *set, const char *kind, bool inflating, unsigned rounds,
		  const struct samples *seconds)
{
	unsigned long long bytes = 0;
	size_t raw = 0;

	for (size_t page = 0; page < set->count; page++) {
		bytes += set->lengths[page] != 0 ? (unsigned)set->lengths[page] : PAGE;
		raw += set->lengths[page] == 0;
	}
	printf("{\"bench\":\"compress\",\"direction\":\"%s\",\"pages\":\"%s\",\"count\":%zu,"
	       "\"raw\":%zu,\"rounds\":%u,\"zlib_bytes\":%llu,\"own_bytes\":%llu",
	       inflating ? "inflate" : "deflate", kind, set->count, raw, rounds, set->zlib_bytes,
	       bytes);
	for (size_t way = 0; way < WAYS; way++) {
		double speed = (double)set->count / samples_median(&seconds[way]);

		printf(",\"%s_pages_s\":%.0f,\"%s_mbps\":%.4g", ways[way], speed, ways[way],
		       speed * PAGE / 1e6);
	}
}

static void print_ratio(const char *name, const struct samples *slow, const struct samples *fast)
{
	struct samples ratios = { .count = 0 };

	for (size_t i = 0; i < slow->count; i++)
		samples_add(&ratios, slow->values[i] / fast->values[i]);
	printf(",\"%s\":%.3f", name, samples_median(&ratios));
}

static void measure(struct set *set, const char *kind, bool inflating, unsigned rounds)
{
	struct samples seconds[WAYS] = { { .count = 0 } };

	for (unsigned round = 0; round < rounds; round++)
		for (size_t way = 0; way < WAYS; way++) {
			uint64_t start = rs_clock_ns();

			functions[inflating][way](set);
			samples_add(&seconds[way], seconds_since(start));
		}
	print(set, kind, inflating, rounds, seconds);
	print_ratio("own_vs_zlib", &seconds[ZLIB], &seconds[OWN]);
	print_ratio("pool_1_vs_own", &seconds[OWN], &seconds[POOL_1]);
	print_ratio("pool_2_vs_own_2", &seconds[OWN_2], &seconds[POOL_2]);
	print_ratio("pool_2_vs_pool_1", &seconds[POOL_1], &seconds[POOL_2]);
	printf("}\n");
}

static void fill(struct set *set, enum pattern pattern)
{
	static const unsigned char zero[PAGE];
	uint64_t index = 0;

	for (size_t page = 0; page < set->count; page++)
		do
			pattern_fill(set->pages + page * PAGE, pattern, index++);
		while (memcmp(set->pages + page * PAGE, zero, PAGE) == 0);
}

static void check(const struct set *set)
{
	for (size_t page = 0; page < set->count; page++)
		if (set->lengths[page] != 0 &&
		    memcmp(set->pages + page * PAGE, set->back + page * PAGE, PAGE) != 0)
			fail("a page came back different");
}

int main(int argc, char **argv)
{
	static const char *const kinds[] = { "text", "mix" };
	bool smoke = is_smoke_run(argc, argv);
	struct set set = { .count = smoke ? 100 : 16384 };
	size_t bytes = set.count * PAGE;

	set.pages = map_memory(bytes);
	set.back = map_memory(bytes);
	set.streams = map_memory(bytes);
	set.lengths = calloc(set.count, sizeof(*set.lengths));
	if (set.lengths == NULL)
		measure_die("calloc");
	memset(set.streams, 1, bytes);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		enum pattern pattern;

		if (!pattern_parse(kinds[i], &pattern))
			fail("no such pattern");
		fill(&set, pattern);
		memset(set.back, 0, bytes);
		measure(&set, kinds[i], false, smoke ? 1 : ROUNDS);
		measure(&set, kinds[i], true, smoke ? 1 : ROUNDS);
		check(&set);
	}
	free(set.lengths);
	return 0;
}
