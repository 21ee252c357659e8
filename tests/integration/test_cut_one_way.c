/* SPDX-License-Identifier: MIT */
/*
 * One-way streams break, natively and in QEMU's form: whatever arrived, never do both ends run the
 * guest, and a source that has failed still has it.
 */
#include "cut_fixture.h"
#include "support/test_scale.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static void one_way(struct cut_fixture *fixture, struct guest *to, const char *machine,
		    const struct fake_options *options, struct transfer *transfer)
{
	struct rs_stream *out, *in;

	cut_check(fixture, rs_param_set(fixture->from->state, "machine", machine) == 0);
	cut_check(fixture, fake_stream_pipe(options, &out, &in) == 0);
	transfer_run(transfer, fixture->from, out, to, in);
}

/* A source that has failed runs the guest, so the destination must not. The other way round
 * nobody may know: what the source has written may never arrive. Returns whether it was done. */
static bool cut_one_way(struct cut_fixture *fixture, const char *machine, uint64_t at)
{
	struct fake_options options = { .cut = true, .cut_at = at };
	struct transfer transfer;
	struct guest *to;

	fixture->at = at;
	cut_open(fixture);
	to = cut_new_destination(fixture);
	one_way(fixture, to, machine, &options, &transfer);
	cut_check(fixture, fixture->from->running == (transfer.out.result != 0));
	cut_check(fixture, to->running == (transfer.in.result == 0));
	cut_check(fixture, transfer.out.result == 0 || transfer.in.result != 0);
	if (fixture->from->running || to->running)
		cut_check_one_runs(fixture, to);
	guest_destroy(to);
	cut_check(fixture, rs_param_set(fixture->from->state, "machine", "") == 0);
	cut_move_on(fixture);
	cut_close(fixture);
	return transfer.out.result == 0;
}

static void without_answers(const char *machine)
{
	struct cut_fixture fixture = { .random = { 3 } };
	struct fake_record there = { .bytes = malloc(CUT_RECORD_BYTES), .room = CUT_RECORD_BYTES };
	const struct fake_options options = { .record = &there };
	struct transfer transfer;
	unsigned done[2] = { 0 };
	struct guest *to;

	assert_non_null(there.bytes);
	cut_open(&fixture);
	to = cut_new_destination(&fixture);
	one_way(&fixture, to, machine, &options, &transfer);
	cut_check(&fixture, transfer.out.result == 0 && transfer.in.result == 0);
	guest_destroy(to);
	cut_close(&fixture);
	for (uint64_t at = 0; at < there.length; at += there.length / 16)
		done[cut_one_way(&fixture, machine, at)]++;
	/* The last bytes of RAM, the devices, the end, and in QEMU's form a description. */
	uint64_t step = test_is_short() ? 3 : 1;

	for (uint64_t left = 0; left <= 16 * CUT_TAIL_BYTES; left += step)
		done[cut_one_way(&fixture, machine, there.length - left)]++;
	cut_check(&fixture, done[false] > 0 && done[true] > 0);
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
		cmocka_unit_test(one_way_native),
		cmocka_unit_test(one_way_qemu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
