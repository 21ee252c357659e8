/* SPDX-License-Identifier: MIT */
#include "postcopy_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>
#include <cmocka.h>

/* So much arrives, and so much is on its way, of 72 pages. */
#define SOME_BYTES (10 * 4096u)
#define LITTLE_BYTES (8 * 4096u)

/* READY, of which nothing follows its type and length. */
#define READY 0x52540000u
/* Of one clock and of three regions. */
#define DEVICES 4u

enum { THERE, BACK, CHANNEL };

const char *const postcopy_stage_names[STAGES] = {
	[STAGE_PRECOPY] = "precopy", [STAGE_DISCARDS] = "discards",     [STAGE_PACKAGE] = "package",
	[STAGE_READY] = "READY",     [STAGE_COMMIT] = "COMMIT",         [STAGE_ACTIVE] = "active",
	[STAGE_PAUSED] = "paused",   [STAGE_RECOVERING] = "recovering", [STAGE_DONE] = "done",
};

bool postcopy_stage_exists(enum postcopy_stage stage, const struct postcopy_how *how)
{
	return how->machine[0] == '\0' || (stage != STAGE_READY && stage != STAGE_COMMIT);
}

static bool is_native(const struct postcopy_staged *staged)
{
	return staged->drive.how->machine[0] == '\0';
}

static void plan(struct postcopy_drive *drive, struct postcopy_connection *connection)
{
	struct postcopy_staged *staged = drive->opaque;
	struct fake_options *const options[] = { &connection->there, &connection->back,
						 &connection->channel };

	if (drive->recoveries > 1)
		return;
	for (unsigned way = 0; way < 3; way++) {
		options[way]->nonblocking = true;
		options[way]->capacity = staged->capacity;
		options[way]->valve = &staged->valves[drive->recoveries][way];
	}
	if (drive->recoveries == 0)
		return;
	for (unsigned way = 0; way < 2; way++)
		if (staged->recovery_bytes[way] != 0)
			fake_valve_close(&staged->valves[1][way], staged->recovery_bytes[way]);
	if (staged->stage != STAGE_RECOVERING)
		return;
	fake_valve_close(&staged->valves[1][THERE], 0);
	fake_valve_close(&staged->valves[1][BACK], 0);
}

/* ---- the moments ------------------------------------------------------------------------------ */

/* No page comes, whichever way. */
static void close_both(struct fake_valve *valves)
{
	fake_valve_close(&valves[CHANNEL], 0);
	fake_valve_close(&valves[THERE], 0);
}

static void at_source(struct postcopy_staged *staged, const struct guest *guest,
		      enum guest_moment moment)
{
	struct fake_valve *valves = staged->valves[0];
	bool moved = moment == GUEST_STATUS && guest->status == RS_STATUS_POSTCOPY_ACTIVE;

	if (staged->stage == STAGE_PRECOPY && moment == GUEST_STATUS &&
	    guest->status == RS_STATUS_ACTIVE)
		fake_valve_close(&valves[THERE], SOME_BYTES);
	if (staged->stage == STAGE_DISCARDS && moment == GUEST_PASS &&
	    atomic_fetch_add(&staged->passes, 1) == 1)
		fake_valve_close(&valves[THERE], 0);
	if (staged->stage == STAGE_PACKAGE && !is_native(staged) && moved)
		close_both(valves);
	if (!moved || staged->drive.recoveries != 0 || staged->stage < STAGE_ACTIVE ||
	    staged->stage == STAGE_DONE)
		return;
	if (staged->silence == SILENCE_CHANNEL)
		fake_valve_close(&valves[CHANNEL], 0);
	else
		fake_valve_close(&valves[THERE], SOME_BYTES);
}

/* Before the devices look at pages the first time, and after they did the last time. */
static void while_loading(struct postcopy_staged *staged)
{
	struct fake_valve *valves = staged->valves[0];
	unsigned loads = atomic_fetch_add(&staged->loads, 1);
	bool last = loads == DEVICES - 1;

	if (staged->stage == STAGE_READY && last) {
		fake_valve_close(&valves[BACK], 0);
	} else if (staged->stage == STAGE_COMMIT && last) {
		fake_valve_close(&valves[THERE], 0);
	} else if (staged->stage == STAGE_PACKAGE && loads == 0) {
		if (is_native(staged))
			close_both(valves);
		postcopy_drive_touch(&staged->drive);
	}
}

static void moment_hook(struct postcopy_drive *drive, struct guest *guest, enum guest_moment moment)
{
	struct postcopy_staged *staged = drive->opaque;

	if (guest == drive->pair.from)
		at_source(staged, guest, moment);
	else if (moment == GUEST_LOADS_DEVICE)
		while_loading(staged);
}

/* ---- there ------------------------------------------------------------------------------------ */

static enum rs_status status(const struct guest *guest)
{
	return rs_migrate_status(guest->state);
}

static uint64_t requests(const struct guest *guest)
{
	struct rs_stats stats = { .size = sizeof(stats) };

	assert_int_equal(rs_stats_get(guest->state, &stats), 0);
	return stats.postcopy_requests;
}

static bool is_past(struct fake_valve *valve)
{
	return atomic_load(&valve->closed) &&
	       atomic_load(&valve->written) > atomic_load(&valve->at);
}

static bool is_there(struct postcopy_staged *staged, enum postcopy_stage stage)
{
	struct fake_valve *valves = staged->valves[0];
	const struct guest *from = staged->drive.pair.from, *to = staged->drive.pair.to;

	switch (stage) {
	case STAGE_PRECOPY:
	case STAGE_DISCARDS:
		return is_past(&valves[THERE]) && status(to) == RS_STATUS_ACTIVE;
	case STAGE_PACKAGE:
		return atomic_load(&valves[THERE].closed) && requests(to) > 0;
	case STAGE_READY:
		return atomic_load(&valves[BACK].closed) && atomic_load(&valves[BACK].seen);
	case STAGE_COMMIT:
		return status(from) == RS_STATUS_POSTCOPY_ACTIVE;
	case STAGE_PAUSED:
		return status(from) == RS_STATUS_POSTCOPY_PAUSED &&
		       status(to) == RS_STATUS_POSTCOPY_PAUSED;
	case STAGE_RECOVERING:
		return status(from) == RS_STATUS_POSTCOPY_RECOVER &&
		       status(to) == RS_STATUS_POSTCOPY_RECOVER;
	case STAGE_DONE:
		return postcopy_drive_has_ended(&staged->drive, true) &&
		       postcopy_drive_has_ended(&staged->drive, false);
	default:
		if (staged->silence == SILENCE_CHANNEL)
			return status(to) == RS_STATUS_POSTCOPY_ACTIVE;
		return is_past(&valves[THERE]) && status(to) == RS_STATUS_POSTCOPY_ACTIVE;
	}
}

static bool is_over(const struct postcopy_staged *staged)
{
	const struct postcopy_drive *drive = &staged->drive;

	return postcopy_drive_has_ended(drive, true) || postcopy_drive_has_ended(drive, false) ||
	       atomic_load(&drive->from_pauses) > drive->from_offers ||
	       atomic_load(&drive->to_pauses) > drive->to_offers;
}

/* It looks again when it sees that an end has given up: that may be what it waits for. */
static bool wait_until_there(struct postcopy_staged *staged, enum postcopy_stage stage)
{
	while (!is_there(staged, stage)) {
		if (is_over(staged) && stage != STAGE_PAUSED && stage != STAGE_DONE)
			return is_there(staged, stage);
		usleep(300);
	}
	return true;
}

void postcopy_stage_open(struct postcopy_staged *staged, const struct postcopy_how *how,
			 enum postcopy_stage stage)
{
	*staged = (struct postcopy_staged){ .stage = stage, .capacity = LITTLE_BYTES };
	staged->valves[0][BACK].awaited = READY;
	postcopy_drive_open(&staged->drive, how, false);
	/* It may be stopped while a part of its memory is missing. */
	staged->drive.pair.to->spec.burst = 0;
	staged->drive.plan = plan;
	staged->drive.opaque = staged;
	staged->drive.moment = moment_hook;
	staged->drive.touches_nothing = true;
	staged->drive.waits_with_postcopy = stage == STAGE_PRECOPY;
}

bool postcopy_stage_reach(struct postcopy_staged *staged)
{
	struct postcopy_drive *drive = &staged->drive;
	enum postcopy_stage stage = staged->stage;
	bool held = stage == STAGE_PAUSED || stage == STAGE_RECOVERING;

	postcopy_drive_start(drive);
	if (!wait_until_there(staged, held ? STAGE_ACTIVE : stage))
		return false;
	if (!held)
		return true;
	/* It may have paused by itself meanwhile. */
	rs_migrate_pause(drive->pair.to->state);
	wait_until_there(staged, STAGE_PAUSED);
	postcopy_drive_await(drive);
	if (stage == STAGE_PAUSED)
		return true;
	postcopy_drive_recover(drive);
	return wait_until_there(staged, stage);
}

void postcopy_stage_release(struct postcopy_staged *staged)
{
	for (unsigned i = 0; i < 2; i++)
		for (unsigned way = 0; way < 3; way++)
			fake_valve_open(&staged->valves[i][way]);
}
