/* SPDX-License-Identifier: MIT */
#include "pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>
#include <cmocka.h>

#define WATCHDOG_SECONDS 240

const struct guest_spec pair_small_guest = {
	.page_bytes = 4096,
	.region_count = 2,
	.regions = { { .kind = GUEST_PRIVATE, .used_bytes = 400 * 4096, .filled_percent = 95 },
		     { .kind = GUEST_MEMFD_ALIASED,
		       .used_bytes = 100 * 4096,
		       .filled_percent = 50 } },
	.writers = 1,
	.burst = 20,
	.seed = 9,
};

static int pair_hook(void *opaque, struct guest *guest, enum guest_moment moment)
{
	struct pair *pair = opaque;

	if (moment == GUEST_PASS)
		atomic_store(&guest->quiet, true);
	if (moment == GUEST_RESUMES && guest == pair->to && pair->postcopy)
		atomic_store(&guest->stores_only, true);
	else if (moment == GUEST_RESUMES && guest == pair->to)
		guest_compare(pair->from, guest, pair->text, sizeof(pair->text));
	return pair->hook != NULL ? pair->hook(pair->hook_opaque, guest, moment) : 0;
}

void pair_new_destination(struct pair *pair)
{
	guest_destroy(pair->to);
	pair->to = guest_create_destination(pair->spec, &pair->world);
	assert_non_null(pair->to);
	pair->to->hook = pair_hook;
	pair->to->hook_opaque = pair;
}

void pair_open(struct pair *pair, const struct guest_spec *spec)
{
	*pair = (struct pair){ .spec = spec };
	pair->from = guest_create_source(spec, &pair->world);
	assert_non_null(pair->from);
	pair->from->hook = pair_hook;
	pair->from->hook_opaque = pair;
	pair_new_destination(pair);
	pair_set_param(pair, "max-bandwidth", "0");
}

void pair_open_small(struct pair *pair)
{
	pair_open(pair, &pair_small_guest);
	alarm(WATCHDOG_SECONDS);
}

void pair_close(struct pair *pair)
{
	guest_destroy(pair->from);
	guest_destroy(pair->to);
}

void pair_set_param(struct pair *pair, const char *name, const char *value)
{
	assert_int_equal(rs_param_set(pair->from->state, name, value), 0);
	assert_int_equal(rs_param_set(pair->to->state, name, value), 0);
}

void pair_migrate(struct pair *pair, const struct fake_options *there,
		  const struct fake_options *back, struct transfer *transfer)
{
	struct rs_stream *out, *in;

	assert_int_equal(fake_stream_pair(there, back, &out, &in), 0);
	atomic_store(&pair->from->quiet, false);
	transfer_run(transfer, pair->from, out, pair->to, in);
}

void pair_check_sane(struct pair *pair)
{
	char text[256];

	if (atomic_load(&pair->world.both))
		fail_msg("both ends ran");
	assert_string_equal(pair->text, "");
	guest_fault(pair->from, text, sizeof(text));
	assert_string_equal(text, "");
	guest_fault(pair->to, text, sizeof(text));
	assert_string_equal(text, "");
}

void pair_check_moved(struct pair *pair, const struct transfer *transfer)
{
	if (transfer->out.result != 0 || transfer->in.result != 0)
		fail_msg("source %d: %s; destination %d: %s", transfer->out.result,
			 transfer->out.error.text, transfer->in.result, transfer->in.error.text);
	assert_true(!pair->from->running && pair->to->running);
	guest_let_write(pair->to, 50);
	pair_check_sane(pair);
}

void pair_move_on(struct pair *pair)
{
	struct transfer transfer;

	assert_true(pair->from->running);
	guest_let_write(pair->from, 50);
	pair_new_destination(pair);
	pair->hook = NULL;
	pair_set_param(pair, "max-bandwidth", "0");
	pair_set_param(pair, "stall-timeout", "60000");
	pair_set_param(pair, "machine", "");
	pair_migrate(pair, NULL, NULL, &transfer);
	pair_check_moved(pair, &transfer);
}
