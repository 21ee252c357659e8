/* SPDX-License-Identifier: MIT */
/*
 * Postcopy over connections that are cut anywhere, also while it recovers. Whatever happens the guest is whole at
 * exactly one end, or can be made so: both ends pause, and go on over new connections; or the source has its guest
 * back, and the destination has none, or waits to be told so.
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

#define WATCHDOG_SECONDS 1000
#define MAX_CUTS 4u

static const struct guest_spec spec = {
	.page_bytes = 4096,
	.region_count = 3,
	.regions = { { .kind = GUEST_PRIVATE, .used_bytes = 150 * 4096, .filled_percent = 90 },
		     { .kind = GUEST_MEMFD_ALIASED, .used_bytes = 60 * 4096, .filled_percent = 60 },
		     { .kind = GUEST_MEMFD, .used_bytes = 50 * 4096, .filled_percent = 50 } },
	.writers = 2,
	.burst = 20,
	.seed = 22,
};

struct how {
	const char *name;
	const char *machine;
	bool preempt;
};

static const struct how hows[] = {
	{ "native", "", false },
	{ "native, preempt", "", true },
	{ "qemu", "pc-i440fx-9.0", false },
	{ "qemu, preempt", "pc-i440fx-9.0", true },
	{ "qemu 7.2, preempt", "pc-i440fx-7.2", true },
};

struct fixture {
	struct pair pair;
	const struct how *how;
	struct transfer transfer;
	struct test_random random;
	unsigned cuts_left;
	/* of a connection: bytes that pass there and back before it is cut */
	uint64_t there_bytes;
	uint64_t back_bytes;
	unsigned recoveries;
	/* atomic: how often each end paused; the rest is the test's */
	_Atomic unsigned from_pauses;
	_Atomic unsigned to_pauses;
};

static int start_hook(void *opaque, struct guest *guest, enum guest_moment moment)
{
	struct fixture *fixture = opaque;

	if (moment == GUEST_STATUS && guest->status == RS_STATUS_POSTCOPY_PAUSED)
		atomic_fetch_add(
		    guest == fixture->pair.from ? &fixture->from_pauses : &fixture->to_pauses, 1);
	if (guest == fixture->pair.from && moment == GUEST_STATUS &&
	    guest->status == RS_STATUS_ACTIVE)
		assert_int_equal(rs_migrate_start_postcopy(guest->state), 0);
	return 0;
}

/* ---- connections --------------------------------------------------------------------------- */

static void maybe_cut(struct fixture *fixture, struct fake_options *options, uint64_t bytes)
{
	if (fixture->cuts_left == 0 || !test_random_one_in(&fixture->random, 2))
		return;
	fixture->cuts_left--;
	options->cut = true;
	options->cut_at = test_random_below(&fixture->random, bytes);
}

/* A connection, and a channel for preempt. */
static void connect_ends(struct fixture *fixture, struct rs_stream **out, struct rs_stream **in)
{
	struct fake_options there = { .seed = test_random_next(&fixture->random) };
	struct fake_options back = { .seed = test_random_next(&fixture->random) };
	struct fake_options channel = { 0 };
	struct rs_stream *from, *to;

	maybe_cut(fixture, &there, fixture->there_bytes);
	maybe_cut(fixture, &back, fixture->back_bytes);
	assert_int_equal(fake_stream_pair(&there, &back, out, in), 0);
	if (!fixture->how->preempt)
		return;
	maybe_cut(fixture, &channel, fixture->there_bytes / 4);
	assert_int_equal(fake_stream_pair(&channel, NULL, &from, &to), 0);
	/* What nobody took is closed, which the other end notices. */
	rs_stream_close(atomic_exchange(&fixture->pair.from->channel, from), NULL);
	rs_stream_close(atomic_exchange(&fixture->pair.to->channel, to), NULL);
}

/* ---- what becomes of it -------------------------------------------------------------------- */

static bool has_ended(const struct transfer_end *end)
{
	return atomic_load(&end->ended);
}

/* Until each end has ended or waits for a connection, once more than it was brought one. */
static void wait_settled(struct fixture *fixture)
{
	const struct transfer *transfer = &fixture->transfer;

	while (
	    (!has_ended(&transfer->out) &&
	     atomic_load(&fixture->from_pauses) <= fixture->recoveries) ||
	    (!has_ended(&transfer->in) && atomic_load(&fixture->to_pauses) <= fixture->recoveries))
		usleep(300);
}

static void recover(struct fixture *fixture)
{
	struct rs_stream *out, *in;

	fixture->recoveries++;
	connect_ends(fixture, &out, &in);
	assert_int_equal(rs_migrate_recover(fixture->pair.from->state, out), 0);
	assert_int_equal(rs_migrate_recover(fixture->pair.to->state, in), 0);
}

/* The one that is left is told what became of the guest. */
static void tell_the_other(struct pair *pair, bool source_ended)
{
	if (source_ended)
		rs_migrate_resolve(pair->to->state, RS_RESOLVE_DISCARD);
	else
		rs_migrate_resolve(pair->from->state,
				   pair->to->running ? RS_RESOLVE_DISCARD : RS_RESOLVE_RUN);
}

/* Bring it to an end. */
static void drive(struct fixture *fixture)
{
	struct pair *pair = &fixture->pair;
	struct transfer *transfer = &fixture->transfer;

	for (;;) {
		wait_settled(fixture);
		bool from = has_ended(&transfer->out), to = has_ended(&transfer->in);

		if (from && to)
			break;
		if (!from && !to)
			recover(fixture);
		else
			tell_the_other(pair, from);
		usleep(300);
	}
	transfer_end_join(&transfer->out);
	transfer_end_join(&transfer->in);
}

static void run(struct fixture *fixture)
{
	struct pair *pair = &fixture->pair;
	struct rs_stream *out, *in;

	connect_ends(fixture, &out, &in);
	transfer_end_start(&fixture->transfer.in, pair->to, in, transfer_in);
	transfer_end_start(&fixture->transfer.out, pair->from, out, transfer_out);
	drive(fixture);
	rs_stream_close(atomic_exchange(&pair->from->channel, NULL), NULL);
	rs_stream_close(atomic_exchange(&pair->to->channel, NULL), NULL);
}

static void check(struct fixture *fixture)
{
	struct pair *pair = &fixture->pair;

	pair_check_sane(pair);
	if (pair->from->running == pair->to->running)
		fail_msg("the guest runs at %s", pair->from->running ? "both ends" : "no end");
	struct guest *guest = pair->from->running ? pair->from : pair->to;

	guest_let_write(guest, 50);
	assert_int_equal(guest_stop(guest), 0);
	guest_verify(guest);
	pair_check_sane(pair);
}

static void open_fixture(struct fixture *fixture, const struct how *how, uint64_t seed)
{
	struct pair *pair = &fixture->pair;

	*fixture = (struct fixture){ .how = how, .random.state = seed };
	pair_open(pair, &spec);
	pair->postcopy = true;
	pair->hook = start_hook;
	pair->hook_opaque = fixture;
	pair_set_param(pair, "postcopy-ram", "on");
	pair_set_param(pair, "postcopy-preempt", how->preempt ? "on" : "off");
	pair_set_param(pair, "machine", how->machine);
}

static unsigned cases(void)
{
	return getenv("RS_TEST_LONG") != NULL ? 2000 : 60;
}

static void cut_anywhere(void **unused)
{
	unsigned recoveries = 0, at_source = 0;

	(void)unused;
	for (unsigned i = 0; i < cases(); i++) {
		struct fixture fixture;
		uint64_t seed = test_mix(i + 77);

		open_fixture(&fixture, &hows[i % (sizeof(hows) / sizeof(hows[0]))], seed);
		fixture.cuts_left = 1 + i % MAX_CUTS;
		fixture.there_bytes = i % 3 == 0 ? 4000 : 1200000;
		fixture.back_bytes = i % 2 == 0 ? 400 : 4000;
		if (getenv("RS_TEST_SAY") != NULL)
			print_message("case %u: %s\n", i, fixture.how->name);
		run(&fixture);
		recoveries += fixture.recoveries;
		at_source += fixture.pair.from->running;
		check(&fixture);
		pair_close(&fixture.pair);
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
