/* SPDX-License-Identifier: MIT */
/*
 * Postcopy by the driver: the guest runs at the destination before its memory is there, reads and writes all over
 * it, and finds every page as it left it.
 */
#include "pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define WATCHDOG_SECONDS 240

static const struct guest_spec spec = {
	.page_bytes = 4096,
	.region_count = 3,
	.regions = { { .kind = GUEST_PRIVATE, .used_bytes = 1500 * 4096, .filled_percent = 90 },
		     { .kind = GUEST_MEMFD_ALIASED,
		       .used_bytes = 600 * 4096,
		       .filled_percent = 60 },
		     { .kind = GUEST_MEMFD, .used_bytes = 500 * 4096, .filled_percent = 50 } },
	.writers = 2,
	.burst = 20,
	.seed = 21,
};

/* Postcopy begins at a status of the source's, or at a pass. */
struct how {
	const char *machine;
	bool preempt;
	unsigned pass; /* 0: before anything was sent */
	const char *bandwidth;
};

#define NEVER 1000u

struct fixture {
	struct pair pair;
	const struct how *how;
	unsigned passes;
};

static int start_hook(void *opaque, struct guest *guest, enum guest_moment moment)
{
	struct fixture *fixture = opaque;
	bool now = fixture->how->pass == 0
		       ? moment == GUEST_STATUS && guest->status == RS_STATUS_SETUP
		       : moment == GUEST_PASS && ++fixture->passes == fixture->how->pass;

	if (guest == fixture->pair.from && now)
		assert_int_equal(rs_migrate_start_postcopy(guest->state), 0);
	return 0;
}

static void give_channels(struct pair *pair)
{
	struct rs_stream *out, *in;

	assert_int_equal(fake_stream_pair(NULL, NULL, &out, &in), 0);
	atomic_store(&pair->from->channel, out);
	atomic_store(&pair->to->channel, in);
}

static void open_fixture(struct fixture *fixture, const struct how *how)
{
	struct pair *pair = &fixture->pair;

	*fixture = (struct fixture){ .how = how };
	pair_open(pair, &spec);
	pair->postcopy = true;
	pair->hook = start_hook;
	pair->hook_opaque = fixture;
	pair_set_param(pair, "postcopy-ram", "on");
	pair_set_param(pair, "postcopy-preempt", how->preempt ? "on" : "off");
	pair_set_param(pair, "machine", how->machine);
	if (how->bandwidth != NULL)
		pair_set_param(pair, "max-bandwidth", how->bandwidth);
	if (how->preempt)
		give_channels(pair);
}

static void check_moved(struct pair *pair, const struct transfer *transfer)
{
	struct rs_stats stats = { .size = sizeof(stats) };

	pair_check_moved(pair, transfer);
	assert_int_equal(guest_stop(pair->to), 0);
	guest_verify(pair->to);
	pair_check_sane(pair);
	assert_int_equal(rs_stats_get(pair->from->state, &stats), 0);
	assert_true(stats.normal > 0);
}

static void it_moves(void **unused)
{
	static const struct how hows[] = {
		{ .machine = "", .pass = 1, .bandwidth = "20M" },
		{ .machine = "", .pass = 0 },
		{ .machine = "", .pass = 2 },
		{ .machine = "", .pass = 1, .bandwidth = "20M", .preempt = true },
		{ .machine = "pc-i440fx-8.2", .pass = 1, .bandwidth = "20M" },
		{ .machine = "pc-i440fx-8.2", .pass = 1, .preempt = true },
		{ .machine = "pc-i440fx-7.2", .pass = 0, .preempt = true },
		/* Promised, and not needed. */
		{ .machine = "", .pass = NEVER },
		{ .machine = "", .pass = NEVER, .preempt = true },
		{ .machine = "pc-i440fx-8.2", .pass = NEVER },
		{ .machine = "pc-i440fx-7.2", .pass = NEVER, .preempt = true },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(hows) / sizeof(hows[0]); i++) {
		struct fixture fixture;
		struct transfer transfer;

		print_message("%zu\n", i);
		open_fixture(&fixture, &hows[i]);
		pair_migrate(&fixture.pair, NULL, NULL, &transfer);
		check_moved(&fixture.pair, &transfer);
		pair_close(&fixture.pair);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_moves),
	};

	alarm(WATCHDOG_SECONDS);
	return cmocka_run_group_tests_name("postcopy", tests, NULL, NULL);
}
