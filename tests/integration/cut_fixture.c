/* SPDX-License-Identifier: MIT */
#include "cut_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

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
	struct cut_fixture *fixture = opaque;

	if (moment == GUEST_RESUMES)
		guest_compare(fixture->from, guest, fixture->text, sizeof(fixture->text));
	return 0;
}

static const struct guest_spec source_spec = {
	.page_bytes = CUT_PAGE_BYTES,
	.region_count = 2,
	.regions = { { .kind = GUEST_PRIVATE,
		       .used_bytes = 40 * CUT_PAGE_BYTES,
		       .filled_percent = 60 },
		     { .kind = GUEST_MEMFD_ALIASED,
		       .used_bytes = 25 * CUT_PAGE_BYTES,
		       .logs = GUEST_LOG_SHADOW | GUEST_LOG_SHADOW_CLEAR,
		       .filled_percent = 80 } },
	.burst = 5,
	.seed = 5,
};

static void set_compress(const struct cut_fixture *fixture, struct guest *guest)
{
	const char *value = fixture->compress ? "on" : "off";

	cut_check(fixture, rs_param_set(guest->state, "compress", value) == 0);
	cut_check(fixture, rs_param_set(guest->state, "compress-threads", "2") == 0);
}

struct guest *cut_new_destination(struct cut_fixture *fixture)
{
	struct guest_spec spec = source_spec;
	struct guest *to;

	spec.seed = test_random_next(&fixture->random);
	spec.regions[1].flags = RS_REGION_FRESH;
	to = guest_create_destination(&spec, &fixture->world);
	assert_non_null(to);
	set_compress(fixture, to);
	to->hook = to_hook;
	to->hook_opaque = fixture;
	return to;
}

void cut_open(struct cut_fixture *fixture)
{
	fixture->from = guest_create_source(&source_spec, &fixture->world);
	assert_non_null(fixture->from);
	set_compress(fixture, fixture->from);
	fixture->from->hook = from_hook;
}

void cut_close(struct cut_fixture *fixture)
{
	guest_destroy(fixture->from);
}

void cut_check_one_runs(struct cut_fixture *fixture, struct guest *to)
{
	char text[256];

	cut_check(fixture, atomic_load(&fixture->world.running) == 1);
	cut_check(fixture, !atomic_load(&fixture->world.both));
	assert_string_equal(fixture->text, "");
	guest_write(to->running ? to : fixture->from, 20);
	guest_fault(fixture->from, text, sizeof(text));
	assert_string_equal(text, "");
	guest_fault(to, text, sizeof(text));
	assert_string_equal(text, "");
}

void cut_migrate(struct cut_fixture *fixture, struct guest *to, const struct fake_options *there,
		 const struct fake_options *back, struct transfer *transfer)
{
	struct rs_stream *out, *in;

	cut_check(fixture, fake_stream_pair(there, back, &out, &in) == 0);
	transfer_run(transfer, fixture->from, out, to, in);
}

void cut_move_on(struct cut_fixture *fixture)
{
	struct guest *to = cut_new_destination(fixture);
	struct transfer transfer;

	guest_run_again(fixture->from);
	cut_migrate(fixture, to, NULL, NULL, &transfer);
	cut_check(fixture, transfer.out.result == 0);
	cut_check(fixture, transfer.in.result == 0);
	cut_check(fixture, to->running && !fixture->from->running);
	cut_check_one_runs(fixture, to);
	guest_destroy(to);
	guest_run_again(fixture->from);
}
