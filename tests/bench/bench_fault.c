/* SPDX-License-Identifier: MIT */
/*
 * How long a guest waits for a page that it touches in postcopy, as the guest sees it: one thread touches the pages
 * of its memory in random order, and those touches that faulted count. Both ends are processes of their own, over
 * loopback TCP.
 *
 *	bare	one thread takes the fault, asks with 16 bytes, reads the page, and places it; another one answers
 *	plain	ours, over one connection
 *	preempt	ours, with postcopy-preempt
 *
 * Each also while all other pages are sent, as fast as that goes ("full"), ours by 128 MiB a second too ("128M").
 * bench_fault [--smoke] [--huge] [NAME...]: a JSON object a line; names as printed. Percentiles and the worst are
 * medians of those of the rounds, a ratio is to bare's or bare-full's of the same round, and noise is the share of the
 * processors that others used in the noisiest round.
 */
#include "bare_postcopy.h"
#include "measure.h"
#include "postcopy_pair.h"

#include <sys/resource.h>
#include <unistd.h>

#include "../support/huge_pages.h"

#define MAX_ROUNDS 9u

struct scale {
	size_t bytes;
	size_t page_bytes;
	size_t faults; /* at most, of a round */
	unsigned rounds;
};

/* ---- the guest ----------------------------------------------------------------------------- */

struct toucher {
	const struct scale *scale;
	uint32_t *order; /* of the pages */
	double *us;      /* of each touch that faulted */
	size_t count;
};

static void toucher_init(struct toucher *toucher, const struct scale *scale)
{
	size_t pages = scale->bytes / scale->page_bytes;
	uint64_t random = 88172645463325252ull;

	*toucher = (struct toucher){
		.scale = scale,
		.order = calloc(pages, sizeof(*toucher->order)),
		.us = calloc(scale->faults, sizeof(*toucher->us)),
	};
	if (toucher->order == NULL || toucher->us == NULL)
		measure_die("calloc");
	/* Touched now, lest they fault among the touches that are measured. */
	memset(toucher->us, 1, scale->faults * sizeof(*toucher->us));
	for (size_t i = 0; i < pages; i++) {
		size_t other = next_random(&random) % (i + 1);

		toucher->order[i] = toucher->order[other];
		toucher->order[other] = (uint32_t)i;
	}
}

static void toucher_fini(struct toucher *toucher)
{
	free(toucher->order);
	free(toucher->us);
}

/* A page that was placed before it is touched is mapped, and does not fault. */
static long faults_of_thread(void)
{
	struct rusage usage;

	if (getrusage(RUSAGE_THREAD, &usage) != 0)
		measure_die("getrusage");
	return usage.ru_majflt + usage.ru_minflt;
}

static void touch_all(void *opaque, unsigned char *memory)
{
	struct toucher *toucher = opaque;
	const struct scale *scale = toucher->scale;
	long before = faults_of_thread();

	toucher->count = 0;
	for (size_t i = 0; i < scale->bytes / scale->page_bytes && toucher->count < scale->faults;
	     i++) {
		size_t page = toucher->order[i];
		uint64_t start = rs_clock_ns();
		bool right = is_page(memory + page * scale->page_bytes, page);
		uint64_t ns = rs_clock_ns() - start;
		long now = faults_of_thread();

		if (!right) {
			fprintf(stderr, "page %zu is not what it was\n", page);
			exit(1);
		}
		if (now != before)
			toucher->us[toucher->count++] = (double)ns / 1e3;
		before = now;
	}
}

/* ---- contestants --------------------------------------------------------------------------- */

#define NO_BACKGROUND "1"

static const struct contestant {
	const char *name;
	const char *bandwidth; /* of the background */
	bool preempt;
	bool bare;
} contestants[] = {
	{ "bare", NO_BACKGROUND, .bare = true },
	{ "bare-full", "0", .bare = true },
	{ "plain", NO_BACKGROUND, .preempt = false },
	{ "preempt", NO_BACKGROUND, .preempt = true },
	{ "plain-full", "0", .preempt = false },
	{ "preempt-full", "0", .preempt = true },
	{ "plain-128M", "128M", .preempt = false },
	{ "preempt-128M", "128M", .preempt = true },
};

#define CONTESTANTS (sizeof(contestants) / sizeof(contestants[0]))

struct figures {
	struct samples count, seconds, mean, p50, p99, p999, worst, noise;
};

/* Of sorted values. */
static double percentile(const struct toucher *toucher, double share)
{
	size_t rank = (size_t)((double)toucher->count * share);

	return toucher->count == 0 ? 0
				   : toucher->us[rank < toucher->count ? rank : toucher->count - 1];
}

static void run_contestant(const struct contestant *contestant, struct toucher *toucher,
			   struct figures *figures)
{
	const struct bare_plan bare = {
		.bytes = toucher->scale->bytes,
		.page_bytes = toucher->scale->page_bytes,
		.background = strcmp(contestant->bandwidth, NO_BACKGROUND) != 0,
		.guest = touch_all,
		.opaque = toucher,
	};
	const struct postcopy_plan plan = {
		.bytes = toucher->scale->bytes,
		.page_bytes = toucher->scale->page_bytes,
		.preempt = contestant->preempt,
		.bandwidth = contestant->bandwidth,
		.guest = touch_all,
		.opaque = toucher,
	};
	double sum = 0, seconds, others = seconds_of_others();
	uint64_t start = rs_clock_ns();

	if (contestant->bare)
		seconds = run_bare_postcopy(&bare);
	else
		seconds = run_postcopy(&plan).seconds;
	others = (seconds_of_others() - others) / seconds_since(start) /
		 (double)sysconf(_SC_NPROCESSORS_ONLN);
	samples_add(&figures->noise, others > 0 ? others : 0);
	qsort(toucher->us, toucher->count, sizeof(toucher->us[0]), compare_doubles);
	for (size_t i = 0; i < toucher->count; i++)
		sum += toucher->us[i];
	samples_add(&figures->count, (double)toucher->count);
	samples_add(&figures->seconds, seconds);
	samples_add(&figures->mean, toucher->count != 0 ? sum / (double)toucher->count : 0);
	samples_add(&figures->p50, percentile(toucher, 0.5));
	samples_add(&figures->p99, percentile(toucher, 0.99));
	samples_add(&figures->p999, percentile(toucher, 0.999));
	samples_add(&figures->worst, percentile(toucher, 1));
}

static double ratio_of(const struct samples *ours, const struct samples *bare)
{
	struct samples ratios = { .count = 0 };

	for (size_t i = 0; i < ours->count && i < bare->count; i++)
		if (bare->values[i] > 0)
			samples_add(&ratios, ours->values[i] / bare->values[i]);
	return samples_median(&ratios);
}

static double largest(const struct samples *samples)
{
	double found = 0;

	for (size_t i = 0; i < samples->count; i++)
		found = samples->values[i] > found ? samples->values[i] : found;
	return found;
}

/* bare: the first and the second contestant. */
static void tell(const struct scale *scale, const char *name, const struct figures *figures,
		 const struct figures *bare)
{
	printf("{\"bench\": \"fault\", \"who\": \"%s\", \"bytes\": %zu, \"page_bytes\": %zu, "
	       "\"seconds\": %.3f, \"faults\": %.0f, \"mean_us\": %.1f, \"p50_us\": %.1f, "
	       "\"p99_us\": %.1f, "
	       "\"p999_us\": %.1f, \"worst_us\": %.1f, \"worst_of_all_us\": %.1f, \"noise\": %.3f, "
	       "\"p50_ratio\": %.2f, \"p99_ratio\": %.2f, \"p50_to_full\": %.2f, \"p99_to_full\": "
	       "%.2f}\n",
	       name, scale->bytes, scale->page_bytes, samples_median(&figures->seconds),
	       samples_median(&figures->count), samples_median(&figures->mean),
	       samples_median(&figures->p50), samples_median(&figures->p99),
	       samples_median(&figures->p999), samples_median(&figures->worst),
	       largest(&figures->worst), largest(&figures->noise),
	       ratio_of(&figures->p50, &bare[0].p50), ratio_of(&figures->p99, &bare[0].p99),
	       ratio_of(&figures->p50, &bare[1].p50), ratio_of(&figures->p99, &bare[1].p99));
	fflush(stdout);
}

/* ---- all of it ----------------------------------------------------------------------------- */

static bool is_wanted(const struct contestant *contestant, int count, char **names)
{
	for (int i = 0; i < count; i++)
		if (strcmp(names[i], contestant->name) == 0)
			return true;
	return count == 0 || contestant->bare;
}

static void run_all(const struct scale *scale, int name_count, char **names)
{
	struct figures figures[CONTESTANTS] = { 0 };
	struct toucher toucher;

	toucher_init(&toucher, scale);
	for (unsigned round = 0; round < scale->rounds; round++)
		for (size_t i = 0; i < CONTESTANTS; i++)
			if (is_wanted(&contestants[i], name_count, names))
				run_contestant(&contestants[i], &toucher, &figures[i]);
	for (size_t i = 0; i < CONTESTANTS; i++)
		if (is_wanted(&contestants[i], name_count, names))
			tell(scale, contestants[i].name, &figures[i], figures);
	toucher_fini(&toucher);
}

int main(int argc, char **argv)
{
	static const struct scale small = { (size_t)512 << 20, 4096, 20000, 5 };
	static const struct scale huge = { (size_t)1 << 30, MEASURE_HUGE_BYTES, 512, 5 };
	static const struct scale smoke = { (size_t)8 << 20, 4096, 500, 1 };
	const struct scale *scale = &small;
	int options = 1;

	if (is_smoke_run(argc, argv))
		scale = &smoke;
	else if (argc > 1 && strcmp(argv[1], "--huge") == 0)
		scale = &huge;
	else
		options = 0;
	/* Both ends', and the page that is copied from. */
	if (scale == &huge &&
	    !huge_pages_reserve(&huge_pages, (long)(2 * scale->bytes / MEASURE_HUGE_BYTES) + 8))
		return 77;
	run_all(scale, argc - 1 - options, argv + 1 + options);
	huge_pages_release(&huge_pages);
	return 0;
}
