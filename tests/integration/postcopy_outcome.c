/* SPDX-License-Identifier: MIT */
#include "postcopy_outcome.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

struct guest *staged_guest(struct postcopy_staged *staged, bool source)
{
	return source ? staged->drive.pair.from : staged->drive.pair.to;
}

static bool is_native(const struct postcopy_staged *staged)
{
	return staged->drive.how->machine[0] == '\0';
}

void staged_say(const struct postcopy_staged *staged, const char *what, bool source)
{
	if (getenv("RS_TEST_SAY") != NULL)
		print_message("%s, %s: %s at the %s\n", staged->drive.how->name,
			      postcopy_stage_names[staged->stage], what,
			      source ? "source" : "destination");
}

/* Open it; the source's guest writes nothing: it may lose regions, or its state. */
void staged_open_quiet(struct postcopy_staged *staged, const struct postcopy_how *how,
		       enum postcopy_stage stage)
{
	postcopy_stage_open(staged, how, stage);
	staged->drive.pair.from->spec.burst = 0;
}

void staged_go(struct postcopy_staged *staged)
{
	if (!postcopy_stage_reach(staged))
		fail_msg("%s: %s was not reached", staged->drive.how->name,
			 postcopy_stage_names[staged->stage]);
}

void staged_reach(struct postcopy_staged *staged, const struct postcopy_how *how,
		  enum postcopy_stage stage)
{
	postcopy_stage_open(staged, how, stage);
	staged_go(staged);
}

/* In each form of the stream and in each phase. */
void staged_everywhere(void (*test)(const struct postcopy_how *how, enum postcopy_stage stage))
{
	for (unsigned i = 0; i < POSTCOPY_HOWS; i++)
		for (unsigned stage = 0; stage < STAGES; stage++)
			if (postcopy_stage_exists(stage, &postcopy_hows[i]))
				test(&postcopy_hows[i], stage);
}

/* ---- what the phases are like ------------------------------------------------------------------ */

/* Whether the source has said that the guest is the destination's. */
bool staged_source_let_go(const struct postcopy_staged *staged)
{
	return staged->stage >= STAGE_COMMIT ||
	       (staged->stage == STAGE_PACKAGE && !is_native(staged));
}

/* Whether the destination has heard that. */
bool staged_destination_took(const struct postcopy_staged *staged)
{
	return staged->stage >= STAGE_ACTIVE ||
	       (staged->stage == STAGE_PACKAGE && !is_native(staged));
}

bool staged_is_connected(const struct postcopy_staged *staged, bool source)
{
	if (staged->stage == STAGE_ACTIVE || staged->stage == STAGE_RECOVERING)
		return true;
	return source && staged_source_let_go(staged) && staged->stage < STAGE_ACTIVE;
}

void staged_remove_region(struct postcopy_staged *staged, bool source)
{
	/* The guest's own pointer stays: the migration looks at it, but nobody uses what it points to. */
	struct rs_region *region = staged_guest(staged, source)->regions[1].region;

	staged_say(staged, "remove", source);
	assert_int_equal(rs_region_remove(region), 0);
}

/* ---- how it ends ------------------------------------------------------------------------------- */

/* The guest, stopped, of the one end that runs it. */
void staged_check_whole(struct postcopy_staged *staged, bool source)
{
	struct guest *guest = staged_guest(staged, source);

	assert_true(guest->running);
	assert_false(staged_guest(staged, !source)->running);
	assert_int_equal(guest_stop(guest), 0);
	guest_verify(guest);
	pair_check_sane(&staged->drive.pair);
}

void staged_check_moved(struct postcopy_staged *staged)
{
	const struct transfer *transfer = &staged->drive.transfer;

	if (transfer->out.result != 0 || transfer->in.result != 0)
		fail_msg("%s, %s: source %d: %s; destination %d: %s", staged->drive.how->name,
			 postcopy_stage_names[staged->stage], transfer->out.result,
			 transfer->out.error.text, transfer->in.result, transfer->in.error.text);
	staged_check_whole(staged, DESTINATION);
}

void staged_finish_moved(struct postcopy_staged *staged)
{
	postcopy_stage_release(staged);
	postcopy_drive_settle(&staged->drive);
	staged_check_moved(staged);
	postcopy_drive_close(&staged->drive);
}

void staged_check_ended(const struct postcopy_staged *staged, bool source, int result,
			enum rs_status status, int code, const char *says)
{
	const struct transfer_end *end =
	    source ? &staged->drive.transfer.out : &staged->drive.transfer.in;
	enum rs_status is = rs_migrate_status(end->guest->state);

	if (end->result != result || is != status || end->error.code != code ||
	    strstr(end->error.text, says) == NULL)
		fail_msg("%s, %s: the %s returned %d, is %s, and says %d '%s', not %d %s %d '%s'",
			 staged->drive.how->name, postcopy_stage_names[staged->stage],
			 source ? "source" : "destination", end->result, rs_status_name(is),
			 end->error.code, end->error.text, result, rs_status_name(status), code,
			 says);
}

/* However much stalls. */
void staged_await_end(const struct postcopy_staged *staged, bool source)
{
	while (!postcopy_drive_has_ended(&staged->drive, source))
		usleep(300);
}

void staged_stop_destination(struct postcopy_staged *staged)
{
	if (staged->drive.pair.to->running)
		assert_int_equal(guest_stop(staged->drive.pair.to), 0);
}

/* What was on its way arrives; it may be that the guest is to run there, until that is told that it is lost. */
void staged_lose_destination(struct postcopy_staged *staged)
{
	postcopy_stage_release(staged);
	postcopy_drive_await(&staged->drive);
	staged_stop_destination(staged);
	postcopy_drive_settle(&staged->drive);
	staged_stop_destination(staged);
}

/*
 * The guest is lost at the destination, if it ran there, and comes back to the source: by itself, or because the source
 * is told.
 */
void staged_finish_at_source(struct postcopy_staged *staged)
{
	struct pair *pair = &staged->drive.pair;

	staged_lose_destination(staged);
	if (pair->from->state != NULL && staged->drive.transfer.out.result == RS_ERROR_IN_DOUBT) {
		assert_int_equal(rs_migrate_status(pair->from->state), RS_STATUS_IN_DOUBT);
		assert_false(pair->from->running);
		assert_int_equal(rs_migrate_resolve(pair->from->state, RS_RESOLVE_RUN), 0);
		assert_int_equal(rs_migrate_status(pair->from->state), RS_STATUS_FAILED);
	}
	staged_check_whole(staged, SOURCE);
}

void staged_refuses(struct postcopy_staged *staged, bool source, const char *name,
		    int (*call)(struct rs_state *state), int code, const char *says)
{
	struct rs_state *state = staged_guest(staged, source)->state;
	struct rs_error error;

	staged_say(staged, name, source);
	int result = call(state);

	rs_error_get(state, RS_ERROR_OF_CALL, &error);
	if (result != code || error.code != code || strstr(error.text, says) == NULL)
		fail_msg("%s, %s: %s at the %s returns %d and says %d '%s', not %d '%s'",
			 staged->drive.how->name, postcopy_stage_names[staged->stage], name,
			 source ? "source" : "destination", result, error.code, error.text, code,
			 says);
}
