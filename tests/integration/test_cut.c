/* SPDX-License-Identifier: MIT */
/*
 * The connection breaks: at every border between messages, and at a sample of bytes between them
 * (at every byte with RS_TEST_LONG=1), in each direction. Afterwards the guest runs at exactly one
 * end, whole; or what is in doubt is complete and stopped, and each way to settle it leaves the
 * guest running, whole, at exactly one end. And the next migration works.
 */
#include "borders.h"
#include "cut_fixture.h"
#include "support/test_scale.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define SAMPLES 300u

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

/* ---- settling ------------------------------------------------------------------------------ */

static int work_reconnect_out(struct guest *guest, struct rs_stream *stream)
{
	return rs_migrate_reconnect_out(guest->state, stream);
}

static int work_reconnect_in(struct guest *guest, struct rs_stream *stream)
{
	return rs_migrate_reconnect_in(guest->state, stream);
}

static void reconnect(struct cut_fixture *fixture, struct guest *to,
		      const struct fake_options *there, const struct fake_options *back,
		      struct transfer *transfer)
{
	struct rs_stream *out, *in;

	cut_check(fixture, fake_stream_pair(there, back, &out, &in) == 0);
	transfer_end_start(&transfer->in, to, in, work_reconnect_in);
	transfer_end_start(&transfer->out, fixture->from, out, work_reconnect_out);
	transfer_end_join(&transfer->in);
	transfer_end_join(&transfer->out);
}

static void reconnect_well(struct cut_fixture *fixture, struct guest *to)
{
	struct transfer transfer;

	reconnect(fixture, to, NULL, NULL, &transfer);
	cut_check(fixture, transfer.in.result == 0);
	cut_check(fixture, transfer.out.result == 0);
}

/* Header, command and session id are some 60 bytes there, the answer 4 and more back. */
static void reconnect_badly(struct cut_fixture *fixture, struct guest *to)
{
	struct fake_options cut = { .cut = true };
	struct transfer transfer;
	bool back = test_random_one_in(&fixture->random, 2);

	cut.cut_at = test_random_below(&fixture->random, back ? 4 : 40);
	reconnect(fixture, to, back ? NULL : &cut, back ? &cut : NULL, &transfer);
	cut_check(fixture, transfer.out.result < 0);
	cut_check(fixture, !atomic_load(&fixture->world.both));
}

static void settle_by_decree(struct cut_fixture *fixture, struct guest *to, bool source_first)
{
	struct rs_state *from = fixture->from->state;
	bool source_asks = rs_migrate_status(from) == RS_STATUS_IN_DOUBT;
	bool destination_asks = rs_migrate_status(to->state) == RS_STATUS_IN_DOUBT;
	bool source_runs = destination_asks && (source_first || !source_asks);

	if (source_asks)
		cut_check(fixture, rs_migrate_resolve(from, source_runs ? RS_RESOLVE_RUN
									: RS_RESOLVE_DISCARD) == 0);
	if (destination_asks)
		cut_check(fixture,
			  rs_migrate_resolve(to->state, source_runs ? RS_RESOLVE_DISCARD
								    : RS_RESOLVE_RUN) == 0);
	cut_check(fixture, rs_migrate_resolve(from, RS_RESOLVE_RUN) == -EINVAL);
	cut_check(fixture, rs_migrate_resolve(to->state, RS_RESOLVE_RUN) == -EINVAL);
}

static void settle(struct cut_fixture *fixture, struct guest *to)
{
	bool discards = rs_migrate_status(to->state) == RS_STATUS_IN_DOUBT;

	switch (fixture->settling) {
	case SETTLE_BY_DECREE:
	case SETTLE_BY_OTHER_DECREE:
		settle_by_decree(fixture, to, fixture->settling == SETTLE_BY_DECREE);
		return;
	case SETTLE_BY_SECOND_RECONNECT:
		reconnect_badly(fixture, to);
		break;
	case SETTLE_BY_BOTH:
		if (discards)
			cut_check(fixture, rs_migrate_resolve(to->state, RS_RESOLVE_DISCARD) == 0);
		break;
	default:
		break;
	}
	reconnect_well(fixture, to);
}

/* ---- what must hold ------------------------------------------------------------------------ */

static enum outcome outcome_of(struct cut_fixture *fixture, const struct transfer *transfer)
{
	int out = transfer->out.result, in = transfer->in.result;

	if (out == 0) {
		cut_check(fixture, in == 0);
		return OUTCOME_DONE;
	}
	if (out == RS_ERROR_IN_DOUBT) {
		cut_check(fixture, in == 0 || in == RS_ERROR_IN_DOUBT);
		return in == 0 ? OUTCOME_UNHEARD : OUTCOME_IN_DOUBT;
	}
	cut_check(fixture, in != 0);
	return in == RS_ERROR_IN_DOUBT ? OUTCOME_UNTOLD : OUTCOME_FAILED;
}

static void check_status(struct cut_fixture *fixture, const struct guest *guest,
			 enum rs_status status, bool running)
{
	cut_check(fixture, rs_migrate_status(guest->state) == status);
	cut_check(fixture, guest->status == status);
	cut_check(fixture, guest->running == running);
}

static void check_outcome(struct cut_fixture *fixture, const struct guest *to, enum outcome outcome)
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
static void check_doubt(struct cut_fixture *fixture, struct guest *to, enum outcome outcome)
{
	struct rs_stream *stream;
	char text[256];

	if (outcome != OUTCOME_UNTOLD) {
		cut_check(fixture, rs_stream_to_memory(1000, &stream) == 0);
		cut_check(fixture, transfer_out(fixture->from, stream) == -EBUSY);
		rs_stream_close(stream, NULL);
	}
	if (outcome == OUTCOME_IN_DOUBT) {
		guest_compare(fixture->from, to, text, sizeof(text));
		assert_string_equal(text, "");
	}
}

/* ---- the cuts ------------------------------------------------------------------------------ */

static enum outcome cut_once(struct cut_fixture *fixture)
{
	const struct fake_options options = { .cut = true, .cut_at = fixture->at };
	struct transfer transfer;
	enum outcome outcome;
	struct guest *to;

	cut_open(fixture);
	to = cut_new_destination(fixture);
	cut_migrate(fixture, to, fixture->back ? NULL : &options, fixture->back ? &options : NULL,
		    &transfer);
	outcome = outcome_of(fixture, &transfer);
	check_outcome(fixture, to, outcome);
	if (outcome != OUTCOME_FAILED && outcome != OUTCOME_DONE) {
		check_doubt(fixture, to, outcome);
		settle(fixture, to);
	}
	cut_check_one_runs(fixture, to);
	guest_destroy(to);
	cut_move_on(fixture);
	cut_close(fixture);
	return outcome;
}

/* Cut there, and settle it in every way that there is. */
static void cut_and_settle(struct cut_fixture *fixture, bool back, uint64_t at, unsigned *outcomes)
{
	fixture->back = back;
	fixture->at = at;
	for (fixture->settling = 0; fixture->settling < SETTLINGS; fixture->settling++) {
		enum outcome outcome = cut_once(fixture);

		outcomes[outcome]++;
		if (outcome == OUTCOME_FAILED || outcome == OUTCOME_DONE)
			break;
	}
}

/* What both directions of a whole migration say. */
static void record(struct cut_fixture *fixture, struct fake_record *there, struct fake_record *back)
{
	const struct fake_options options[] = { { .record = there }, { .record = back } };
	struct transfer transfer;
	struct guest *to;

	*there =
	    (struct fake_record){ .bytes = malloc(CUT_RECORD_BYTES), .room = CUT_RECORD_BYTES };
	*back = (struct fake_record){ .bytes = malloc(CUT_RECORD_BYTES), .room = CUT_RECORD_BYTES };
	assert_true(there->bytes != NULL && back->bytes != NULL);
	cut_open(fixture);
	to = cut_new_destination(fixture);
	cut_migrate(fixture, to, &options[0], &options[1], &transfer);
	cut_check(fixture, transfer.out.result == 0);
	cut_check(fixture, transfer.in.result == 0);
	guest_destroy(to);
	cut_close(fixture);
}

static void cut_at_borders(struct cut_fixture *fixture, const struct borders *borders, bool back,
			   unsigned *outcomes)
{
	assert_true(borders->count > 3);
	for (size_t i = 0; i < borders->count; i++)
		cut_and_settle(fixture, back, borders->at[i], outcomes);
}

static void at_every_border(void **state)
{
	struct cut_fixture fixture = { .random = { 1 } };
	unsigned outcomes[OUTCOMES] = { 0 };
	struct fake_record there, back;
	struct borders borders;

	(void)state;
	record(&fixture, &there, &back);
	assert_int_equal(borders_of_source(&borders, there.bytes, there.length, CUT_PAGE_BYTES), 0);
	cut_at_borders(&fixture, &borders, false, outcomes);
	assert_int_equal(borders_of_answers(&borders, back.bytes, back.length), 0);
	cut_at_borders(&fixture, &borders, true, outcomes);
	for (int i = 0; i < OUTCOMES; i++)
		print_message("%s: %u\n", outcome_names[i], outcomes[i]);
	for (int i = 0; i < OUTCOMES; i++)
		assert_true(outcomes[i] > 0);
	free(there.bytes);
	free(back.bytes);
}

/* Every byte of the answers, and some of what the source sends; most of those are pages. */
static void cut_at_bytes_between(bool compress)
{
	struct cut_fixture fixture = { .random = { 2 }, .compress = compress };
	bool all = test_is_long();
	unsigned outcomes[OUTCOMES] = { 0 };
	struct fake_record there, back;
	uint64_t at = 0;

	record(&fixture, &there, &back);
	while (at < there.length) {
		uint64_t next = at + 1, tail = there.length - CUT_TAIL_BYTES;

		cut_and_settle(&fixture, false, at, outcomes);
		/* Every byte of the last ones: the hand-over. */
		if (!all && at < tail)
			next += test_random_below(&fixture.random, 2 * there.length / SAMPLES);
		at = at < tail && next > tail ? tail : next;
	}
	for (at = 0; at <= back.length; at++)
		cut_and_settle(&fixture, true, at, outcomes);
	free(there.bytes);
	free(back.bytes);
}

static void at_bytes_between(void **state)
{
	(void)state;
	cut_at_bytes_between(false);
}

/* While threads compress and decompress; what they do does not change where the bytes are. */
static void at_bytes_between_compressed_pages(void **state)
{
	(void)state;
	cut_at_bytes_between(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(at_every_border),
		cmocka_unit_test(at_bytes_between),
		cmocka_unit_test(at_bytes_between_compressed_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
