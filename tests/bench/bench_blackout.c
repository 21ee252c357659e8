/* SPDX-License-Identifier: MIT */
/*
 * How long a guest stands still in postcopy: from the call of stop at the source to the return of resume at the
 * destination, which are two processes, over loopback TCP. The guest writes its working set, and the userfaultfd log
 * finds that. All of the memory was sent before, so that what is dirty then is discarded; the most of it while the guest
 * still runs.
 *
 * bench_blackout [--smoke] [MIB...]: a JSON object for each size of memory (256 to 8192), with medians and the worst of the
 * rounds. Both ends have that much.
 */
#include "measure.h"
#include "postcopy_pair.h"

#include <unistd.h>

#define MIB ((size_t)1 << 20)
#define ROUNDS 7u

static void bench(size_t bytes, size_t working_set, unsigned rounds)
{
	const struct postcopy_plan plan = {
		.bytes = bytes,
		.page_bytes = 4096,
		.bandwidth = "0",
		/* The first one begins the first pass, the second one has found what was written in it. */
		.passes = 2,
		.working_set = working_set,
	};
	struct samples blackout = { 0 }, sync = { 0 }, rest = { 0 }, early = { 0 };
	double worst = 0, others = seconds_of_others();
	uint64_t start = rs_clock_ns();

	for (unsigned i = 0; i < rounds; i++) {
		struct postcopy_outcome outcome = run_postcopy(&plan);

		samples_add(&blackout, outcome.blackout_ms);
		samples_add(&sync, outcome.final_sync_ms);
		samples_add(&rest, outcome.blackout_ms - outcome.final_sync_ms);
		samples_add(&early, outcome.early_ms);
		worst = outcome.blackout_ms > worst ? outcome.blackout_ms : worst;
	}
	double noise = (seconds_of_others() - others) / seconds_since(start) /
		       (double)sysconf(_SC_NPROCESSORS_ONLN);

	printf("{\"bench\": \"blackout\", \"bytes\": %zu, \"working_set_bytes\": %zu, "
	       "\"blackout_ms\": %.3f, \"worst_ms\": %.3f, \"final_sync_ms\": %.3f, "
	       "\"rest_ms\": %.3f, \"before_ms\": %.1f, \"noise\": %.3f}\n",
	       bytes, working_set, samples_median(&blackout), worst, samples_median(&sync),
	       samples_median(&rest), samples_median(&early), noise > 0 ? noise : 0);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	if (is_smoke_run(argc, argv)) {
		bench(16 * MIB, 2 * MIB, 1);
		return 0;
	}
	for (int i = 1; i < argc; i++)
		bench((size_t)strtoul(argv[i], NULL, 10) * MIB, 64 * MIB, ROUNDS);
	for (size_t mib = 256; argc == 1 && mib <= 8192; mib *= 2)
		bench(mib * MIB, 64 * MIB, ROUNDS);
	return 0;
}
