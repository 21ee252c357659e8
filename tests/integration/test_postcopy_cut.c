/* SPDX-License-Identifier: MIT */
/*
 * Postcopy over connections that are cut anywhere, also while it recovers. Whatever happens the guest is whole at
 * exactly one end, or can be made so: both ends pause, and go on over new connections; or the source has its guest
 * back, and the destination has none, or waits to be told so.
 */
#include "postcopy_drive.h"
#include "support/test_scale.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#define WATCHDOG_SECONDS 1000
#define MAX_CUTS 4u

struct cuts {
	struct test_random random;
	unsigned left;
	/* of a connection: bytes that pass there and back before it is cut */
	uint64_t there_bytes;
	uint64_t back_bytes;
};

static void maybe_cut(struct cuts *cuts, struct fake_options *options, uint64_t bytes)
{
	if (cuts->left == 0 || !test_random_one_in(&cuts->random, 2))
		return;
	cuts->left--;
	options->cut = true;
	options->cut_at = test_random_below(&cuts->random, bytes);
}

static void plan_cuts(struct postcopy_drive *drive, struct postcopy_connection *connection)
{
	struct cuts *cuts = drive->opaque;

	connection->there.seed = test_random_next(&cuts->random);
	connection->back.seed = test_random_next(&cuts->random);
	maybe_cut(cuts, &connection->there, cuts->there_bytes);
	maybe_cut(cuts, &connection->back, cuts->back_bytes);
	if (drive->how->preempt)
		maybe_cut(cuts, &connection->channel, cuts->there_bytes / 4);
}

static unsigned cases(void)
{
	return test_is_long() ? 2000 : 60;
}

static void cut_anywhere(void **unused)
{
	unsigned recoveries = 0, at_source = 0;

	(void)unused;
	for (unsigned i = 0; i < cases(); i++) {
		struct cuts cuts = { .random.state = test_mix(i + 77),
				     .left = 1 + i % MAX_CUTS,
				     .there_bytes = i % 3 == 0 ? 4000 : 1200000,
				     .back_bytes = i % 2 == 0 ? 400 : 4000 };
		struct postcopy_drive drive;

		postcopy_drive_open(&drive, &postcopy_hows[i % POSTCOPY_HOWS], true);
		drive.plan = plan_cuts;
		drive.opaque = &cuts;
		if (getenv("RS_TEST_SAY") != NULL)
			print_message("case %u: %s\n", i, drive.how->name);
		postcopy_drive_run(&drive);
		recoveries += drive.recoveries;
		at_source += drive.pair.from->running;
		postcopy_drive_check(&drive);
		postcopy_drive_close(&drive);
	}
	print_message("%u recoveries, %u guests stayed\n", recoveries, at_source);
	assert_true(recoveries > 0 && at_source > 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(cut_anywhere),
	};

	alarm(WATCHDOG_SECONDS);
	return cmocka_run_group_tests_name("postcopy_cut", tests, NULL, NULL);
}
