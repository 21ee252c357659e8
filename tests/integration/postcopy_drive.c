/* SPDX-License-Identifier: MIT */
#include "postcopy_drive.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <poll.h>
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
void postcopy_drive_touch(struct postcopy_drive *drive)
{
	const struct guest *guest = drive->pair.to;

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
	if (guest == drive->pair.to && moment == GUEST_LOADS_DEVICE && !drive->touches_nothing)
		postcopy_drive_touch(drive);
	if (guest == drive->pair.from && moment == GUEST_STATUS &&
	    guest->status == RS_STATUS_ACTIVE && !drive->waits_with_postcopy)
		assert_int_equal(rs_migrate_start_postcopy(guest->state), 0);
	if (drive->moment != NULL)
		drive->moment(drive, guest, moment);
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

bool postcopy_drive_has_ended(const struct postcopy_drive *drive, bool source)
{
	const struct transfer_end *end = source ? &drive->transfer.out : &drive->transfer.in;

	if (!drive->in_background)
		return atomic_load(&end->ended);
	if (end->guest->state == NULL)
		return true;
	struct pollfd ended = { .fd = rs_migrate_event_fd(end->guest->state), .events = POLLIN };

	return poll(&ended, 1, 0) > 0;
}

static bool is_settled(const struct postcopy_drive *drive, bool source)
{
	return postcopy_drive_has_ended(drive, source) ||
	       (source ? atomic_load(&drive->from_pauses) > drive->from_offers
		       : atomic_load(&drive->to_pauses) > drive->to_offers);
}

void postcopy_drive_await(struct postcopy_drive *drive)
{
	while (!is_settled(drive, true) || !is_settled(drive, false))
		usleep(300);
}

void postcopy_drive_recover(struct postcopy_drive *drive)
{
	struct rs_stream *out, *in;

	drive->recoveries++;
	drive->from_offers = atomic_load(&drive->from_pauses);
	drive->to_offers = atomic_load(&drive->to_pauses);
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

static void start_in_background(struct postcopy_drive *drive, struct rs_stream *out,
				struct rs_stream *in)
{
	struct guest *from = drive->pair.from, *to = drive->pair.to;

	drive->transfer.out = (struct transfer_end){ .guest = from, .stream = out };
	drive->transfer.in = (struct transfer_end){ .guest = to, .stream = in };
	assert_int_equal(rs_migrate_start_in(to->state, in, &guest_vm_ops, to), 0);
	assert_int_equal(rs_migrate_start_out(from->state, out, &guest_vm_ops, from), 0);
}

/* What transfer_end_join() does for those that run in a thread of the test's. */
static void wait_in_background(struct transfer_end *end)
{
	if (end->guest->state == NULL)
		return;
	end->result = rs_migrate_wait(end->guest->state);
	rs_error_get(end->guest->state, RS_ERROR_OF_MIGRATION, &end->error);
	rs_stream_close(end->stream, NULL);
}

void postcopy_drive_destroy(struct postcopy_drive *drive, bool source)
{
	struct transfer_end *end = source ? &drive->transfer.out : &drive->transfer.in;

	rs_state_destroy(end->guest->state);
	end->guest->state = NULL;
	rs_stream_close(end->stream, NULL);
}

void postcopy_drive_start(struct postcopy_drive *drive)
{
	struct pair *pair = &drive->pair;
	struct rs_stream *out, *in;

	connect_ends(drive, &out, &in);
	if (drive->in_background) {
		start_in_background(drive, out, in);
		return;
	}
	transfer_end_start(&drive->transfer.in, pair->to, in, transfer_in);
	transfer_end_start(&drive->transfer.out, pair->from, out, transfer_out);
}

void postcopy_drive_settle(struct postcopy_drive *drive)
{
	struct pair *pair = &drive->pair;
	struct transfer *transfer = &drive->transfer;

	for (;;) {
		postcopy_drive_await(drive);
		bool from = postcopy_drive_has_ended(drive, true);
		bool to = postcopy_drive_has_ended(drive, false);

		if (from && to)
			break;
		if (!from && !to)
			postcopy_drive_recover(drive);
		else
			tell_the_other(pair, from);
		usleep(300);
	}
	if (drive->in_background) {
		wait_in_background(&transfer->out);
		wait_in_background(&transfer->in);
		return;
	}
	transfer_end_join(&transfer->out);
	transfer_end_join(&transfer->in);
}

void postcopy_drive_run(struct postcopy_drive *drive)
{
	postcopy_drive_start(drive);
	postcopy_drive_settle(drive);
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
