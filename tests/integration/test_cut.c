/* SPDX-License-Identifier: MIT */
/*
 * The connection breaks: at every border between messages, and at a sample of bytes between them
 * (at every byte with RS_TEST_LONG=1), in each direction. Afterwards the guest runs at exactly one
 * end, whole; or what is in doubt is complete and stopped, and each way to settle it leaves the
 * guest running, whole, at exactly one end. And the next migration works.
 */
#include "borders.h"
#include "support/fake_stream.h"
#include "support/transfer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define PAGE_BYTES 4096u
#define RECORD_BYTES (4u << 20)
#define SAMPLES 300u
#define TAIL_BYTES 64u

/* How what is in doubt gets settled. */
enum settling {
	SETTLE_BY_DECREE,       /* the source has it if it may */
	SETTLE_BY_OTHER_DECREE, /* the destination has it if it may */
	SETTLE_BY_RECONNECT,
	SETTLE_BY_SECOND_RECONNECT, /* the first one breaks, too */
	SETTLE_BY_BOTH,             /* the destination discards it, and the source reconnects */
	SETTLINGS,
};

/* What can become of a migration. */
enum outcome {
	OUTCOME_FAILED,   /* at both ends */
	OUTCOME_UNTOLD,   /* failed at the source, in doubt at the destination */
	OUTCOME_IN_DOUBT, /* at both ends */
	OUTCOME_UNHEARD,  /* in doubt at the source, the destination runs it */
	OUTCOME_DONE,
	OUTCOMES,
};

static const char *const outcome_names[] = {
	[OUTCOME_FAILED] = "failed",
	[OUTCOME_UNTOLD] = "the destination in doubt",
	[OUTCOME_IN_DOUBT] = "both in doubt",
	[OUTCOME_UNHEARD] = "the source in doubt",
	[OUTCOME_DONE] = "done",
};

struct cut {
	bool back; /* on the way from the destination to the source */
	uint64_t at;
	enum settling settling;
};

struct fixture {
	struct guest_world world;
	struct guest *from;
	struct test_random random;
	struct cut cut; /* for messages */
	char text[256]; /* what differed when a destination ran */
	unsigned outcomes[OUTCOMES];
};

/* Everything that fails says where the cut was. */
#define check(fixture, condition)                                                                  \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fail_msg("cut %s at byte %llu, settling %d: not so: %s",                   \
				 (fixture)->cut.back ? "back" : "there",                           \
				 (unsigned long long)(fixture)->cut.at,                            \
				 (int)(fixture)->cut.settling, #condition);                        \
	} while (0)

/* ---- guests -------------------------------------------------------------------------------- */

/* Some writes while it migrates, always at the same moments. */
static int from_hook(void *opaque, struct guest *guest, enum guest_moment moment)
{
	(void)opaque;
	if (moment == GUEST_STATUS && guest->status == RS_STATUS_ACTIVE)
		guest_write(guest, 8);
	return 0;
}

static int to_hook(void *opaque, struct guest *guest, enum guest_moment moment)
{
	struct fixture *fixture = opaque;

	if (moment == GUEST_RESUMES)
		guest_compare(fixture->from, guest, fixture->text, sizeof(fixture->text));
	return 0;
}

static const struct guest_spec source_spec = {
	.page_bytes = PAGE_BYTES,
	.region_count = 2,
	.regions = { { .kind = GUEST_PRIVATE, .used_bytes = 40 * PAGE_BYTES, .filled_percent = 60 },
		     { .kind = GUEST_MEMFD_ALIASED,
		       .used_bytes = 25 * PAGE_BYTES,
		       .logs = GUEST_LOG_SHADOW | GUEST_LOG_SHADOW_CLEAR,
		       .filled_percent = 80 } },
	.burst = 5,
	.seed = 5,
};

static struct guest *new_destination(struct fixture *fixture)
{
	struct guest_spec spec = source_spec;
	struct guest *to;

	spec.seed = test_random_next(&fixture->random);
	spec.regions[1].flags = RS_REGION_FRESH;
	to = guest_create_destination(&spec, &fixture->world);
	assert_non_null(to);
	to->hook = to_hook;
	to->hook_opaque = fixture;
	return to;
}

/* The same source each time, down to the last byte that it sends: cuts are where they should be. */
static void fixture_open(struct fixture *fixture)
{
	fixture->from = guest_create_source(&source_spec, &fixture->world);
	assert_non_null(fixture->from);
	fixture->from->hook = from_hook;
}

static void fixture_close(struct fixture *fixture)
{
	guest_destroy(fixture->from);
}

/* ---- settling ------------------------------------------------------------------------------ */

static int work_reconnect_out(struct guest *guest, struct rs_stream *stream)
{
	return rs_migrate_reconnect_out(guest->state, stream);
}

static int work_reconnect_in(struct guest *guest, struct rs_stream *stream)
{
	return rs_migrate_reconnect_in(guest->state, stream);
}

static void reconnect(struct fixture *fixture, struct guest *to, const struct fake_options *there,
		      const struct fake_options *back, struct transfer *transfer)
{
	struct rs_stream *out, *in;

	check(fixture, fake_stream_pair(there, back, &out, &in) == 0);
	transfer_end_start(&transfer->in, to, in, work_reconnect_in);
	transfer_end_start(&transfer->out, fixture->from, out, work_reconnect_out);
	transfer_end_join(&transfer->in);
	transfer_end_join(&transfer->out);
}

static void reconnect_well(struct fixture *fixture, struct guest *to)
{
	struct transfer transfer;

	reconnect(fixture, to, NULL, NULL, &transfer);
	check(fixture, transfer.in.result == 0);
	check(fixture, transfer.out.result == 0);
}

/* Header, command and session id are some 60 bytes there, the answer 4 and more back. */
static void reconnect_badly(struct fixture *fixture, struct guest *to)
{
	struct fake_options cut = { .cut = true };
	struct transfer transfer;
	bool back = test_random_one_in(&fixture->random, 2);

	cut.cut_at = test_random_below(&fixture->random, back ? 4 : 40);
	reconnect(fixture, to, back ? NULL : &cut, back ? &cut : NULL, &transfer);
	check(fixture, transfer.out.result < 0);
	check(fixture, !atomic_load(&fixture->world.both));
}

static void settle_by_decree(struct fixture *fixture, struct guest *to, bool source_first)
{
	struct rs_state *from = fixture->from->state;
	bool source_asks = rs_migrate_status(from) == RS_STATUS_IN_DOUBT;
	bool destination_asks = rs_migrate_status(to->state) == RS_STATUS_IN_DOUBT;
	bool source_runs = destination_asks && (source_first || !source_asks);

	if (source_asks)
		check(fixture, rs_migrate_resolve(from, source_runs ? RS_RESOLVE_RUN
								    : RS_RESOLVE_DISCARD) == 0);
	if (destination_asks)
		check(fixture, rs_migrate_resolve(to->state, source_runs ? RS_RESOLVE_DISCARD
									 : RS_RESOLVE_RUN) == 0);
	check(fixture, rs_migrate_resolve(from, RS_RESOLVE_RUN) == -EINVAL);
	check(fixture, rs_migrate_resolve(to->state, RS_RESOLVE_RUN) == -EINVAL);
}

static void settle(struct fixture *fixture, struct guest *to)
{
	bool discards = rs_migrate_status(to->state) == RS_STATUS_IN_DOUBT;

	switch (fixture->cut.settling) {
	case SETTLE_BY_DECREE:
	case SETTLE_BY_OTHER_DECREE:
		settle_by_decree(fixture, to, fixture->cut.settling == SETTLE_BY_DECREE);
		return;
	case SETTLE_BY_SECOND_RECONNECT:
		reconnect_badly(fixture, to);
		break;
	case SETTLE_BY_BOTH:
		if (discards)
			check(fixture, rs_migrate_resolve(to->state, RS_RESOLVE_DISCARD) == 0);
		break;
	default:
		break;
	}
	reconnect_well(fixture, to);
}

/* ---- what must hold ------------------------------------------------------------------------ */

static enum outcome outcome_of(struct fixture *fixture, const struct transfer *transfer)
{
	int out = transfer->out.result, in = transfer->in.result;

	if (out == 0) {
		check(fixture, in == 0);
		return OUTCOME_DONE;
	}
	if (out == RS_ERROR_IN_DOUBT) {
		check(fixture, in == 0 || in == RS_ERROR_IN_DOUBT);
		return in == 0 ? OUTCOME_UNHEARD : OUTCOME_IN_DOUBT;
	}
	check(fixture, in != 0);
	return in == RS_ERROR_IN_DOUBT ? OUTCOME_UNTOLD : OUTCOME_FAILED;
}

static void check_status(struct fixture *fixture, const struct guest *guest, enum rs_status status,
			 bool running)
{
	check(fixture, rs_migrate_status(guest->state) == status);
	check(fixture, guest->status == status);
	check(fixture, guest->running == running);
}

static void check_outcome(struct fixture *fixture, const struct guest *to, enum outcome outcome)
{
	static const struct {
		enum rs_status from, to;
		bool from_runs, to_runs;
	} expected[] = {
		[OUTCOME_FAILED] = { RS_STATUS_FAILED, RS_STATUS_FAILED, true, false },
		[OUTCOME_UNTOLD] = { RS_STATUS_FAILED, RS_STATUS_IN_DOUBT, true, false },
		[OUTCOME_IN_DOUBT] = { RS_STATUS_IN_DOUBT, RS_STATUS_IN_DOUBT, false, false },
		[OUTCOME_UNHEARD] = { RS_STATUS_IN_DOUBT, RS_STATUS_COMPLETED, false, true },
		[OUTCOME_DONE] = { RS_STATUS_COMPLETED, RS_STATUS_COMPLETED, false, true },
	};

	check_status(fixture, fixture->from, expected[outcome].from, expected[outcome].from_runs);
	check_status(fixture, to, expected[outcome].to, expected[outcome].to_runs);
}

/* What is in doubt is complete, and nothing else can be begun. */
static void check_doubt(struct fixture *fixture, struct guest *to, enum outcome outcome)
{
	struct rs_stream *stream;
	char text[256];

	if (outcome != OUTCOME_UNTOLD) {
		check(fixture, rs_stream_to_memory(1000, &stream) == 0);
		check(fixture, transfer_out(fixture->from, stream) == -EBUSY);
		rs_stream_close(stream, NULL);
	}
	if (outcome == OUTCOME_IN_DOUBT) {
		guest_compare(fixture->from, to, text, sizeof(text));
		assert_string_equal(text, "");
	}
}

static void check_one_runs(struct fixture *fixture, struct guest *to)
{
	char text[256];

	check(fixture, atomic_load(&fixture->world.running) == 1);
	check(fixture, !atomic_load(&fixture->world.both));
	assert_string_equal(fixture->text, "");
	guest_write(to->running ? to : fixture->from, 20);
	guest_fault(fixture->from, text, sizeof(text));
	assert_string_equal(text, "");
	guest_fault(to, text, sizeof(text));
	assert_string_equal(text, "");
}

/* ---- the cuts ------------------------------------------------------------------------------ */

static void migrate(struct fixture *fixture, struct guest *to, const struct fake_options *there,
		    const struct fake_options *back, struct transfer *transfer)
{
	struct rs_stream *out, *in;

	check(fixture, fake_stream_pair(there, back, &out, &in) == 0);
	transfer_run(transfer, fixture->from, out, to, in);
}

/* The source state is as good as before: it migrates to a new destination. */
static void migrate_well(struct fixture *fixture)
{
	struct guest *to = new_destination(fixture);
	struct transfer transfer;

	guest_run_again(fixture->from);
	migrate(fixture, to, NULL, NULL, &transfer);
	check(fixture, transfer.out.result == 0);
	check(fixture, transfer.in.result == 0);
	check_outcome(fixture, to, OUTCOME_DONE);
	check_one_runs(fixture, to);
	guest_destroy(to);
	guest_run_again(fixture->from);
}

static enum outcome cut_once(struct fixture *fixture, const struct cut *cut)
{
	struct fake_options options = { .cut = true, .cut_at = cut->at };
	struct transfer transfer;
	enum outcome outcome;
	struct guest *to;

	fixture->cut = *cut;
	fixture_open(fixture);
	to = new_destination(fixture);
	migrate(fixture, to, cut->back ? NULL : &options, cut->back ? &options : NULL, &transfer);
	outcome = outcome_of(fixture, &transfer);
	fixture->outcomes[outcome]++;
	check_outcome(fixture, to, outcome);
	if (outcome != OUTCOME_FAILED && outcome != OUTCOME_DONE) {
		check_doubt(fixture, to, outcome);
		settle(fixture, to);
	}
	check_one_runs(fixture, to);
	guest_destroy(to);
	migrate_well(fixture);
	fixture_close(fixture);
	return outcome;
}

/* Cut there, and settle it in every way that there is. */
static void cut_and_settle(struct fixture *fixture, bool back, uint64_t at)
{
	for (int settling = 0; settling < SETTLINGS; settling++) {
		const struct cut cut = { back, at, (enum settling)settling };
		enum outcome outcome = cut_once(fixture, &cut);

		if (outcome == OUTCOME_FAILED || outcome == OUTCOME_DONE)
			break;
	}
}

/* What both directions of a whole migration say. */
static void record(struct fixture *fixture, struct fake_record *there, struct fake_record *back)
{
	const struct fake_options options[] = { { .record = there }, { .record = back } };
	struct transfer transfer;
	struct guest *to;

	*there = (struct fake_record){ .bytes = malloc(RECORD_BYTES), .room = RECORD_BYTES };
	*back = (struct fake_record){ .bytes = malloc(RECORD_BYTES), .room = RECORD_BYTES };
	assert_true(there->bytes != NULL && back->bytes != NULL);
	fixture_open(fixture);
	to = new_destination(fixture);
	migrate(fixture, to, &options[0], &options[1], &transfer);
	check(fixture, transfer.out.result == 0);
	check(fixture, transfer.in.result == 0);
	guest_destroy(to);
	fixture_close(fixture);
}

static void cut_at_borders(struct fixture *fixture, const struct borders *borders, bool back)
{
	assert_true(borders->count > 3);
	for (size_t i = 0; i < borders->count; i++)
		cut_and_settle(fixture, back, borders->at[i]);
}

static void at_every_border(void **state)
{
	struct fixture fixture = { .random = { 1 } };
	struct fake_record there, back;
	struct borders borders;

	(void)state;
	record(&fixture, &there, &back);
	assert_int_equal(borders_of_source(&borders, there.bytes, there.length, PAGE_BYTES), 0);
	cut_at_borders(&fixture, &borders, false);
	assert_int_equal(borders_of_answers(&borders, back.bytes, back.length), 0);
	cut_at_borders(&fixture, &borders, true);
	for (int i = 0; i < OUTCOMES; i++)
		print_message("%s: %u\n", outcome_names[i], fixture.outcomes[i]);
	for (int i = 0; i < OUTCOMES; i++)
		assert_true(fixture.outcomes[i] > 0);
	free(there.bytes);
	free(back.bytes);
}

/* Every byte of the answers, and some of what the source sends; most of those are pages. */
static void at_bytes_between(void **state)
{
	struct fixture fixture = { .random = { 2 } };
	bool all = getenv("RS_TEST_LONG") != NULL;
	struct fake_record there, back;
	uint64_t at = 0;

	(void)state;
	record(&fixture, &there, &back);
	while (at < there.length) {
		uint64_t next = at + 1, tail = there.length - TAIL_BYTES;

		cut_and_settle(&fixture, false, at);
		/* Every byte of the last ones: the hand-over. */
		if (!all && at < tail)
			next += test_random_below(&fixture.random, 2 * there.length / SAMPLES);
		at = at < tail && next > tail ? tail : next;
	}
	for (at = 0; at <= back.length; at++)
		cut_and_settle(&fixture, true, at);
	free(there.bytes);
	free(back.bytes);
}

/* ---- nobody answers ------------------------------------------------------------------------ */

static void one_way(struct fixture *fixture, struct guest *to, const char *machine,
		    const struct fake_options *options, struct transfer *transfer)
{
	struct rs_stream *out, *in;

	check(fixture, rs_param_set(fixture->from->state, "machine", machine) == 0);
	check(fixture, fake_stream_pipe(options, &out, &in) == 0);
	transfer_run(transfer, fixture->from, out, to, in);
}

/* A source that has failed runs the guest, so the destination must not. The other way round
 * nobody may know: what the source has written may never arrive. */
static void cut_one_way(struct fixture *fixture, const char *machine, uint64_t at)
{
	struct fake_options options = { .cut = true, .cut_at = at };
	struct transfer transfer;
	struct guest *to;

	fixture->cut = (struct cut){ .at = at };
	fixture_open(fixture);
	to = new_destination(fixture);
	one_way(fixture, to, machine, &options, &transfer);
	check(fixture, fixture->from->running == (transfer.out.result != 0));
	check(fixture, to->running == (transfer.in.result == 0));
	check(fixture, transfer.out.result == 0 || transfer.in.result != 0);
	fixture->outcomes[transfer.out.result == 0 ? OUTCOME_DONE : OUTCOME_FAILED]++;
	if (fixture->from->running || to->running)
		check_one_runs(fixture, to);
	guest_destroy(to);
	check(fixture, rs_param_set(fixture->from->state, "machine", "") == 0);
	migrate_well(fixture);
	fixture_close(fixture);
}

static void without_answers(const char *machine)
{
	struct fixture fixture = { .random = { 3 } };
	struct fake_record there = { .bytes = malloc(RECORD_BYTES), .room = RECORD_BYTES };
	const struct fake_options options = { .record = &there };
	struct transfer transfer;
	struct guest *to;

	assert_non_null(there.bytes);
	fixture_open(&fixture);
	to = new_destination(&fixture);
	one_way(&fixture, to, machine, &options, &transfer);
	check(&fixture, transfer.out.result == 0 && transfer.in.result == 0);
	guest_destroy(to);
	fixture_close(&fixture);
	for (uint64_t at = 0; at < there.length; at += there.length / 16)
		cut_one_way(&fixture, machine, at);
	/* The last bytes of RAM, the devices, the end, and in QEMU's form a description. */
	for (uint64_t at = there.length - 16 * TAIL_BYTES; at <= there.length; at++)
		cut_one_way(&fixture, machine, at);
	check(&fixture, fixture.outcomes[OUTCOME_DONE] > 0);
	check(&fixture, fixture.outcomes[OUTCOME_FAILED] > 0);
	free(there.bytes);
}

static void one_way_native(void **state)
{
	(void)state;
	without_answers("");
}

static void one_way_qemu(void **state)
{
	(void)state;
	without_answers("pc-q35-7.2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(at_every_border),
		cmocka_unit_test(at_bytes_between),
		cmocka_unit_test(one_way_native),
		cmocka_unit_test(one_way_qemu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
