/* SPDX-License-Identifier: MIT */
/*
 * Cancel, at either end, in every phase, from callbacks and from other threads: the guest runs on
 * at the source, and the next migration works. After COMMIT it is too late.
 */
#include "gate.h"
#include "pair.h"
#include "support/test_scale.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum end_name { SOURCE, DESTINATION };

enum how {
	CALLBACK = 0,
	THREAD = 1 << 0,   /* another thread cancels, while the guest's callback waits */
	SLOW = 1 << 1,     /* max-bandwidth is low */
	TOO_LATE = 1 << 2, /* -EALREADY, and the migration is done */
};

/* One way to cancel. */
struct scenario {
	const char *name;
	enum end_name who; /* is cancelled */
	/* When: the first time that this guest comes to this moment, and to this status if it is an
	 * event of that. */
	enum end_name guest;
	enum guest_moment moment;
	enum rs_status status;
	unsigned how; /* enum how, ORed */
};

struct fixture {
	struct pair pair;
	const struct scenario *scenario;
	struct gate gate;
	bool done; /* the moment has come once; that guest's thread only */
	int code;  /* what rs_migrate_cancel() returned */
};

static const struct guest_spec spec = {
	.page_bytes = 4096,
	.region_count = 2,
	.regions = { { .kind = GUEST_PRIVATE, .used_bytes = 200 * 4096, .filled_percent = 90 },
		     { .kind = GUEST_MEMFD,
		       .used_bytes = 50 * 4096,
		       .logs = GUEST_LOG_SHADOW,
		       .filled_percent = 50 } },
	.writers = 1,
	.burst = 20,
	.seed = 11,
};

static struct rs_state *state_of(const struct fixture *fixture, enum end_name name)
{
	return (name == SOURCE ? fixture->pair.from : fixture->pair.to)->state;
}

/* ---- hooks --------------------------------------------------------------------------------- */

static bool is_the_moment(const struct fixture *fixture, const struct guest *guest,
			  enum guest_moment moment)
{
	const struct scenario *scenario = fixture->scenario;

	return guest == (scenario->guest == SOURCE ? fixture->pair.from : fixture->pair.to) &&
	       moment == scenario->moment &&
	       (moment != GUEST_STATUS || guest->status == scenario->status) && !fixture->done;
}

static int cancelling_hook(void *opaque, struct guest *guest, enum guest_moment moment)
{
	struct fixture *fixture = opaque;

	if (!is_the_moment(fixture, guest, moment))
		return 0;
	fixture->done = true;
	if (fixture->scenario->how & THREAD)
		gate_pass(&fixture->gate);
	else
		fixture->code = rs_migrate_cancel(state_of(fixture, fixture->scenario->who));
	return 0;
}

/* Back to a guest that runs at the source, and a destination for it. */
static void again(struct fixture *fixture)
{
	pair_new_destination(&fixture->pair);
	guest_run_again(fixture->pair.from);
}

/* ---- each phase ---------------------------------------------------------------------------- */

static const struct scenario scenarios[] = {
	{ "source, set-up", SOURCE, SOURCE, GUEST_STATUS, RS_STATUS_SETUP, CALLBACK },
	{ "source, awaiting features", SOURCE, DESTINATION, GUEST_STATUS, RS_STATUS_SETUP, THREAD },
	{ "source, active", SOURCE, SOURCE, GUEST_STATUS, RS_STATUS_ACTIVE, CALLBACK },
	{ "source, active", SOURCE, SOURCE, GUEST_STATUS, RS_STATUS_ACTIVE, THREAD },
	{ "source, after a pass", SOURCE, SOURCE, GUEST_PASS, RS_STATUS_NONE, CALLBACK },
	{ "source, stalled", SOURCE, DESTINATION, GUEST_STATUS, RS_STATUS_ACTIVE, THREAD },
	{ "source, slow", SOURCE, DESTINATION, GUEST_STATUS, RS_STATUS_ACTIVE, THREAD | SLOW },
	{ "source, stopping", SOURCE, SOURCE, GUEST_STOPS, RS_STATUS_NONE, CALLBACK },
	{ "source, stopping", SOURCE, SOURCE, GUEST_STOPS, RS_STATUS_NONE, THREAD },
	{ "source, devices", SOURCE, SOURCE, GUEST_SAVES_DEVICES, RS_STATUS_NONE, CALLBACK },
	{ "source, devices", SOURCE, SOURCE, GUEST_SAVES_DEVICES, RS_STATUS_NONE, THREAD },
	{ "source, awaiting READY", SOURCE, DESTINATION, GUEST_LOADS_DEVICE, RS_STATUS_NONE,
	  THREAD },
	{ "source, committed", SOURCE, DESTINATION, GUEST_RESUMES, RS_STATUS_NONE,
	  THREAD | TOO_LATE },
	{ "destination, set-up", DESTINATION, DESTINATION, GUEST_STATUS, RS_STATUS_SETUP,
	  CALLBACK },
	{ "destination, awaiting the header", DESTINATION, SOURCE, GUEST_STATUS, RS_STATUS_SETUP,
	  THREAD },
	{ "destination, active", DESTINATION, DESTINATION, GUEST_STATUS, RS_STATUS_ACTIVE,
	  CALLBACK },
	{ "destination, awaiting pages", DESTINATION, SOURCE, GUEST_PASS, RS_STATUS_NONE, THREAD },
	{ "destination, slow", DESTINATION, SOURCE, GUEST_STATUS, RS_STATUS_ACTIVE, THREAD | SLOW },
	{ "destination, devices", DESTINATION, DESTINATION, GUEST_LOADS_DEVICE, RS_STATUS_NONE,
	  CALLBACK },
	{ "destination, devices", DESTINATION, DESTINATION, GUEST_LOADS_DEVICE, RS_STATUS_NONE,
	  THREAD },
	{ "destination, committed", DESTINATION, DESTINATION, GUEST_RESUMES, RS_STATUS_NONE,
	  TOO_LATE },
	{ "destination, committed", DESTINATION, DESTINATION, GUEST_RESUMES, RS_STATUS_NONE,
	  THREAD | TOO_LATE },
};

static void cancel_from_here(struct fixture *fixture)
{
	gate_await(&fixture->gate);
	/* Give the other end time to get stuck; if it does not, the case is an easier one. */
	usleep(20000);
	if (fixture->scenario->how & SLOW) {
		gate_open(&fixture->gate);
		usleep(50000);
	}
	fixture->code = rs_migrate_cancel(state_of(fixture, fixture->scenario->who));
	gate_open(&fixture->gate);
}

static void check_cancelled(struct fixture *fixture, const struct transfer *transfer)
{
	enum end_name who = fixture->scenario->who;
	const struct transfer_end *end = who == SOURCE ? &transfer->out : &transfer->in;
	const struct transfer_end *other = who == SOURCE ? &transfer->in : &transfer->out;

	pair_check_sane(&fixture->pair);
	assert_int_equal(fixture->code, 0);
	assert_int_equal(end->result, -ECANCELED);
	assert_true(strlen(end->error.text) > 0);
	assert_true(other->result < 0);
	assert_int_equal(rs_migrate_status(end->guest->state), RS_STATUS_CANCELLED);
	assert_int_equal(end->guest->status, RS_STATUS_CANCELLED);
	/* A destination that has everything cannot know. */
	if (rs_migrate_status(fixture->pair.to->state) == RS_STATUS_IN_DOUBT)
		assert_int_equal(rs_migrate_resolve(fixture->pair.to->state, RS_RESOLVE_DISCARD),
				 0);
	assert_int_equal(rs_migrate_status(other->guest->state), RS_STATUS_FAILED);
	assert_true(fixture->pair.from->running && !fixture->pair.to->running);
	assert_int_equal(rs_migrate_cancel(end->guest->state), -ESRCH);
}

static void check_too_late(struct fixture *fixture, const struct transfer *transfer)
{
	assert_int_equal(fixture->code, -EALREADY);
	assert_int_equal(transfer->out.result, 0);
	assert_int_equal(transfer->in.result, 0);
	assert_true(!fixture->pair.from->running && fixture->pair.to->running);
	again(fixture);
}

static void play(const struct scenario *scenario)
{
	struct fixture fixture = { .scenario = scenario, .gate = GATE_CLOSED, .code = 1 };
	const struct fake_options narrow = { .capacity = 4096 };
	struct transfer transfer;
	struct rs_stream *out, *in;

	pair_open(&fixture.pair, &spec);
	fixture.pair.hook = cancelling_hook;
	fixture.pair.hook_opaque = &fixture;
	if (scenario->how & SLOW)
		pair_set_param(&fixture.pair, "max-bandwidth", "65536");
	assert_int_equal(fake_stream_pair(&narrow, &narrow, &out, &in), 0);
	transfer_end_start(&transfer.in, fixture.pair.to, in, transfer_in);
	transfer_end_start(&transfer.out, fixture.pair.from, out, transfer_out);
	if (scenario->how & THREAD)
		cancel_from_here(&fixture);
	transfer_end_join(&transfer.out);
	transfer_end_join(&transfer.in);
	if (scenario->how & TOO_LATE)
		check_too_late(&fixture, &transfer);
	else
		check_cancelled(&fixture, &transfer);
	pair_move_on(&fixture.pair);
	pair_close(&fixture.pair);
}

static void in_every_phase(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		print_message("%s, from %s\n", scenarios[i].name,
			      scenarios[i].how & THREAD ? "another thread" : "a callback");
		play(&scenarios[i]);
	}
}

/* ---- at any time --------------------------------------------------------------------------- */

/* Whatever the cancel returned must fit what happened. */
static void check_race(struct fixture *fixture, const struct transfer *transfer, enum end_name who)
{
	int result = who == SOURCE ? transfer->out.result : transfer->in.result;

	pair_check_sane(&fixture->pair);
	if (fixture->code == 0) {
		assert_int_equal(result, -ECANCELED);
		assert_true(fixture->pair.from->running && !fixture->pair.to->running);
	} else {
		assert_true(fixture->code == -EALREADY || fixture->code == -ESRCH);
		assert_int_equal(transfer->out.result, 0);
		assert_int_equal(transfer->in.result, 0);
		assert_true(!fixture->pair.from->running && fixture->pair.to->running);
	}
	if (rs_migrate_status(fixture->pair.to->state) == RS_STATUS_IN_DOUBT)
		assert_int_equal(rs_migrate_resolve(fixture->pair.to->state, RS_RESOLVE_DISCARD),
				 0);
}

static void cancel_at_any_time(bool compress)
{
	struct fixture fixture = { .code = 1 };
	struct test_random random = { 77 };
	unsigned cancelled = 0, rounds = test_is_long() ? 20000 : 300;

	pair_open(&fixture.pair, &spec);
	for (unsigned i = 0; i < rounds; i++) {
		enum end_name who = test_random_one_in(&random, 2) ? SOURCE : DESTINATION;
		struct transfer transfer;
		struct rs_stream *out, *in;

		pair_set_param(&fixture.pair, "compress", compress ? "on" : "off");
		assert_int_equal(fake_stream_pair(NULL, NULL, &out, &in), 0);
		atomic_store(&fixture.pair.from->quiet, false);
		transfer_end_start(&transfer.in, fixture.pair.to, in, transfer_in);
		transfer_end_start(&transfer.out, fixture.pair.from, out, transfer_out);
		usleep((useconds_t)test_random_below(&random, 1000u << i % 5));
		fixture.code = rs_migrate_cancel(state_of(&fixture, who));
		transfer_end_join(&transfer.out);
		transfer_end_join(&transfer.in);
		cancelled += fixture.code == 0;
		check_race(&fixture, &transfer, who);
		again(&fixture);
	}
	print_message("%u of %u cancelled\n", cancelled, rounds);
	pair_set_param(&fixture.pair, "compress", "off");
	pair_move_on(&fixture.pair);
	pair_close(&fixture.pair);
}

static void at_any_time(void **state)
{
	(void)state;
	cancel_at_any_time(false);
}

/* While threads compress and decompress. */
static void at_any_time_with_compress(void **state)
{
	(void)state;
	cancel_at_any_time(true);
}

/* ---- between READY and COMMIT -------------------------------------------------------------- */

struct answers {
	struct fixture *fixture;
	unsigned count;
};

/* The destination's second answer is READY: it is on its way. */
static void cancel_at_ready(void *opaque)
{
	struct answers *answers = opaque;

	if (++answers->count == 2)
		answers->fixture->code = rs_migrate_cancel(answers->fixture->pair.from->state);
}

static void between_ready_and_commit(void **state)
{
	struct fixture fixture = { .code = 1 };
	unsigned doubts = 0;

	(void)state;
	pair_open(&fixture.pair, &spec);
	for (unsigned i = 0; i < 200; i++) {
		struct answers answers = { .fixture = &fixture };
		const struct fake_options back = { .taken = cancel_at_ready,
						   .taken_opaque = &answers };
		struct transfer transfer;

		pair_migrate(&fixture.pair, NULL, &back, &transfer);
		doubts += transfer.in.result == RS_ERROR_IN_DOUBT;
		check_race(&fixture, &transfer, SOURCE);
		again(&fixture);
	}
	print_message("%u of 200 in doubt\n", doubts);
	pair_close(&fixture.pair);
}

/* ---- before it has really begun ------------------------------------------------------------ */

static void right_after_the_start(void **state)
{
	struct fixture fixture = { .code = 1 };

	(void)state;
	pair_open(&fixture.pair, &spec);
	for (unsigned i = 0; i < 200; i++) {
		struct guest *guest = i % 2 == 0 ? fixture.pair.from : fixture.pair.to;
		struct rs_stream *out, *in, *mine;

		assert_int_equal(fake_stream_pair(NULL, NULL, &out, &in), 0);
		mine = i % 2 == 0 ? out : in;
		assert_int_equal((i % 2 == 0 ? rs_migrate_start_out : rs_migrate_start_in)(
				     guest->state, mine, &guest_vm_ops, guest),
				 0);
		assert_int_equal(rs_migrate_cancel(guest->state), 0);
		assert_int_equal(rs_migrate_wait(guest->state), -ECANCELED);
		assert_true(fixture.pair.from->running && !fixture.pair.to->running);
		rs_stream_close(out, NULL);
		rs_stream_close(in, NULL);
	}
	pair_move_on(&fixture.pair);
	pair_close(&fixture.pair);
}

static void by_destroying_the_state(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 50; i++) {
		struct guest_world world = { 0 };
		struct guest *guest = guest_create_source(&spec, &world);
		struct rs_stream *out, *in;

		assert_non_null(guest);
		assert_int_equal(fake_stream_pair(NULL, NULL, &out, &in), 0);
		assert_int_equal(rs_migrate_start_out(guest->state, out, &guest_vm_ops, guest), 0);
		usleep(i % 5 * 100);
		guest_destroy(guest);
		rs_stream_close(out, NULL);
		rs_stream_close(in, NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_every_phase),
		cmocka_unit_test(at_any_time),
		cmocka_unit_test(at_any_time_with_compress),
		cmocka_unit_test(between_ready_and_commit),
		cmocka_unit_test(right_after_the_start),
		cmocka_unit_test(by_destroying_the_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
