/* SPDX-License-Identifier: MIT */
#include "postcopy_drive.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>
#include <cmocka.h>

const struct postcopy_how postcopy_hows[POSTCOPY_HOWS] = {
	{ "native", "", false },
	{ "native, preempt", "", true },
	{ "qemu", "pc-i440fx-9.0", false },
	{ "qemu, preempt", "pc-i440fx-9.0", true },
	{ "qemu 7.2, preempt", "pc-i440fx-7.2", true },
};

static const struct guest_spec specs[] = {
#define REGIONS(a, b, c)                                                                           \
	.page_bytes = 4096, .region_count = 3, .burst = 20, .seed = 22,                            \
	.regions = {                                                                               \
		{ .kind = GUEST_PRIVATE, .used_bytes = (a)*4096, .filled_percent = 90 },           \
		{ .kind = GUEST_MEMFD_ALIASED, .used_bytes = (b)*4096, .filled_percent = 60 },     \
		{ .kind = GUEST_MEMFD, .used_bytes = (c)*4096, .filled_percent = 50 }              \
	}
	{ REGIONS(40, 20, 12), .writers = 0 },
	{ REGIONS(150, 60, 50), .writers = 2 },
};

/* Of each region, some pages, one after the other. */
static void touch(const struct guest *guest)
{
	for (unsigned i = 0; i < guest->spec.region_count; i++)
		for (uint64_t page = 3; page < guest->regions[i].pages; page += 17)
			(void)*(volatile const uint8_t *)(guest->regions[i].memory.host +
							  page * GUEST_PAGE_BYTES);
}

static int hook(void *opaque, struct guest *guest, enum guest_moment moment)
{
	struct postcopy_drive *drive = opaque;

	if (moment == GUEST_STATUS && guest->status == RS_STATUS_POSTCOPY_PAUSED)
		atomic_fetch_add(
		    guest == drive->pair.from ? &drive->from_pauses : &drive->to_pauses, 1);
	if (guest == drive->pair.to && moment == GUEST_LOADS_DEVICE)
		touch(guest);
	if (guest == drive->pair.from && moment == GUEST_STATUS &&
	    guest->status == RS_STATUS_ACTIVE)
		assert_int_equal(rs_migrate_start_postcopy(guest->state), 0);
	return 0;
}

void postcopy_drive_open(struct postcopy_drive *drive, const struct postcopy_how *how, bool writers)
{
	struct pair *pair = &drive->pair;

	*drive = (struct postcopy_drive){ .how = how };
	pair_open(pair, &specs[writers]);
	pair->postcopy = true;
	pair->hook = hook;
	pair->hook_opaque = drive;
	pair_set_param(pair, "postcopy-ram", "on");
	pair_set_param(pair, "postcopy-preempt", how->preempt ? "on" : "off");
	pair_set_param(pair, "machine", how->machine);
}

static void drop_channels(struct pair *pair)
{
	rs_stream_close(atomic_exchange(&pair->from->channel, NULL), NULL);
	rs_stream_close(atomic_exchange(&pair->to->channel, NULL), NULL);
}

void postcopy_drive_close(struct postcopy_drive *drive)
{
	drop_channels(&drive->pair);
	pair_close(&drive->pair);
}

/* ---- connections --------------------------------------------------------------------------- */

static void connect_ends(struct postcopy_drive *drive, struct rs_stream **out,
			 struct rs_stream **in)
{
	struct postcopy_connection plan = { .there.capacity = 0 };
	struct rs_stream *from, *to;

	drive->plan(drive, &plan);
	assert_int_equal(fake_stream_pair(&plan.there, &plan.back, out, in), 0);
	if (!drive->how->preempt)
		return;
	assert_int_equal(fake_stream_pair(&plan.channel, NULL, &from, &to), 0);
	/* What nobody took is closed, which the other end notices. */
	drop_channels(&drive->pair);
	atomic_store(&drive->pair.from->channel, from);
	atomic_store(&drive->pair.to->channel, to);
}

/* ---- what becomes of it -------------------------------------------------------------------- */

static bool has_ended(const struct transfer_end *end)
{
	return atomic_load(&end->ended);
}

/* Until each end has ended or waits for a connection, once more than it was brought one. */
static void wait_settled(struct postcopy_drive *drive)
{
	const struct transfer *transfer = &drive->transfer;

	while (
	    (!has_ended(&transfer->out) && atomic_load(&drive->from_pauses) <= drive->recoveries) ||
	    (!has_ended(&transfer->in) && atomic_load(&drive->to_pauses) <= drive->recoveries))
		usleep(300);
}

static void recover(struct postcopy_drive *drive)
{
	struct rs_stream *out, *in;

	drive->recoveries++;
	connect_ends(drive, &out, &in);
	assert_int_equal(rs_migrate_recover(drive->pair.from->state, out), 0);
	assert_int_equal(rs_migrate_recover(drive->pair.to->state, in), 0);
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

void postcopy_drive_run(struct postcopy_drive *drive)
{
	struct pair *pair = &drive->pair;
	struct transfer *transfer = &drive->transfer;
	struct rs_stream *out, *in;

	connect_ends(drive, &out, &in);
	transfer_end_start(&transfer->in, pair->to, in, transfer_in);
	transfer_end_start(&transfer->out, pair->from, out, transfer_out);
	for (;;) {
		wait_settled(drive);
		bool from = has_ended(&transfer->out), to = has_ended(&transfer->in);

		if (from && to)
			break;
		if (!from && !to)
			recover(drive);
		else
			tell_the_other(pair, from);
		usleep(300);
	}
	transfer_end_join(&transfer->out);
	transfer_end_join(&transfer->in);
}

void postcopy_drive_check(struct postcopy_drive *drive)
{
	struct pair *pair = &drive->pair;

	pair_check_sane(pair);
	if (pair->from->running == pair->to->running)
		fail_msg("the guest runs at %s", pair->from->running ? "both ends" : "no end");
	struct guest *guest = pair->from->running ? pair->from : pair->to;

	guest_let_write(guest, 50);
	assert_int_equal(guest_stop(guest), 0);
	guest_verify(guest);
	pair_check_sane(pair);
}
