/* SPDX-License-Identifier: MIT */
/*
 * Postcopy that is ended from outside, in each of its phases and at either end: cancelled, by decree, because regions
 * are removed, or with its state. Then the guest is whole at exactly one end, as it is, or after the other end was told.
 */
#include "postcopy_outcome.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define WATCHDOG_SECONDS 600

/* ---- ends -------------------------------------------------------------------------------------- */

static void cancel_at(const struct postcopy_how *how, enum postcopy_stage stage, bool source)
{
	struct postcopy_staged staged;

	staged_reach(&staged, how, stage);
	if (source ? staged_source_let_go(&staged) : staged_destination_took(&staged)) {
		staged_finish_moved(&staged);
		return;
	}
	staged_say(&staged, "cancel", source);
	assert_int_equal(rs_migrate_cancel(staged_guest(&staged, source)->state), 0);
	staged_await_end(&staged, source);
	staged_finish_at_source(&staged);
	staged_check_ended(&staged, source, -ECANCELED, RS_STATUS_CANCELLED, -ECANCELED,
			   "cancelled");
	postcopy_drive_close(&staged.drive);
}

static void cancel_both(const struct postcopy_how *how, enum postcopy_stage stage)
{
	if (stage > STAGE_COMMIT)
		return;
	cancel_at(how, stage, SOURCE);
	cancel_at(how, stage, DESTINATION);
}

static void cancels(void **unused)
{
	(void)unused;
	staged_everywhere(cancel_both);
}

static void remove_at(const struct postcopy_how *how, enum postcopy_stage stage, bool source)
{
	struct postcopy_staged staged;
	char says[64];

	staged_open_quiet(&staged, how, stage);
	staged_go(&staged);
	snprintf(says, sizeof(says), "region %s was removed",
		 staged.drive.pair.from->regions[1].name);
	bool in_doubt = source && staged_source_let_go(&staged);

	staged_remove_region(&staged, source);
	if (stage == STAGE_DONE) {
		staged_finish_moved(&staged);
		return;
	}
	staged_await_end(&staged, source);
	staged_finish_at_source(&staged);
	if (in_doubt) /* staged_finish_at_source() has settled it */
		staged_check_ended(&staged, source, RS_ERROR_IN_DOUBT, RS_STATUS_FAILED, -ESTALE,
				   says);
	else
		staged_check_ended(&staged, source, -ESTALE, RS_STATUS_FAILED, -ESTALE, says);
	postcopy_drive_close(&staged.drive);
}

static void remove_both(const struct postcopy_how *how, enum postcopy_stage stage)
{
	remove_at(how, stage, SOURCE);
	remove_at(how, stage, DESTINATION);
}

static void removals(void **unused)
{
	(void)unused;
	staged_everywhere(remove_both);
}

static void resolve_at(const struct postcopy_how *how, bool source, enum rs_resolution resolution)
{
	struct postcopy_staged staged;
	struct pair *pair = &staged.drive.pair;

	staged_reach(&staged, how, STAGE_PAUSED);
	staged_say(&staged, resolution == RS_RESOLVE_RUN ? "RUN" : "DISCARD", source);
	staged_stop_destination(&staged);
	assert_int_equal(rs_migrate_resolve(staged_guest(&staged, source)->state, resolution), 0);
	staged_await_end(&staged, source);
	if (source && resolution == RS_RESOLVE_DISCARD) {
		/* The guest is given up at both ends. */
		postcopy_drive_settle(&staged.drive);
		staged_check_ended(&staged, SOURCE, 0, RS_STATUS_COMPLETED, 0, "");
		assert_false(pair->from->running);
	} else {
		staged_finish_at_source(&staged);
		staged_check_ended(&staged, SOURCE, -ECANCELED, RS_STATUS_FAILED, -ECANCELED,
				   "the guest runs here");
	}
	staged_check_ended(&staged, DESTINATION, -ECANCELED, RS_STATUS_FAILED, -ECANCELED,
			   "postcopy was given up");
	postcopy_drive_close(&staged.drive);
}

static void decrees(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < POSTCOPY_HOWS; i++) {
		resolve_at(&postcopy_hows[i], SOURCE, RS_RESOLVE_RUN);
		resolve_at(&postcopy_hows[i], SOURCE, RS_RESOLVE_DISCARD);
		resolve_at(&postcopy_hows[i], DESTINATION, RS_RESOLVE_DISCARD);
	}
}

/* Given up while its devices were loaded, on memory that did not come, it does not run any more. */
static void given_up_while_loading(void **unused)
{
	(void)unused;
	for (unsigned i = 2; i < POSTCOPY_HOWS; i++) {
		struct postcopy_staged staged;
		struct pair *pair = &staged.drive.pair;

		staged_reach(&staged, &postcopy_hows[i], STAGE_PACKAGE);
		assert_int_equal(rs_migrate_pause(pair->from->state), 0);
		while (rs_migrate_status(pair->from->state) != RS_STATUS_POSTCOPY_PAUSED)
			usleep(300);
		postcopy_stage_release(&staged);
		postcopy_drive_await(&staged.drive);
		staged_refuses(&staged, DESTINATION, "cancel", rs_migrate_cancel, -EALREADY,
			       "the guest was handed over");
		assert_int_equal(rs_migrate_resolve(pair->to->state, RS_RESOLVE_DISCARD), 0);
		staged_await_end(&staged, DESTINATION);
		assert_false(pair->to->running);
		staged_finish_at_source(&staged);
		staged_check_ended(&staged, DESTINATION, -ECANCELED, RS_STATUS_FAILED, -ECANCELED,
				   "postcopy was given up");
		postcopy_drive_close(&staged.drive);
	}
}

/* Told nothing after it said READY, the destination cannot know whose the guest is, and waits to be told. */
static void left_after_ready(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < 2; i++) {
		struct postcopy_staged staged;
		struct pair *pair = &staged.drive.pair;

		staged_reach(&staged, &postcopy_hows[i], STAGE_READY);
		assert_int_equal(rs_migrate_cancel(pair->from->state), 0);
		postcopy_drive_await(&staged.drive);
		assert_int_equal(rs_migrate_status(pair->to->state), RS_STATUS_POSTCOPY_PAUSED);
		staged_refuses(&staged, DESTINATION, "cancel", rs_migrate_cancel, -EALREADY,
			       "the guest may have been handed over");
		staged_finish_at_source(&staged);
		staged_check_ended(&staged, DESTINATION, -ECANCELED, RS_STATUS_FAILED, -ECANCELED,
				   "postcopy was given up");
		postcopy_drive_close(&staged.drive);
	}
}

/* ---- states that are destroyed ------------------------------------------------------------------- */

struct destruction {
	struct postcopy_staged staged;
	bool source;
	pthread_t thread;
};

/* One whose guest is about to have changed hands is given a second, so all are destroyed at once. */
static void *destroy(void *argument)
{
	struct destruction *destruction = argument;

	postcopy_drive_destroy(&destruction->staged.drive, destruction->source);
	return NULL;
}

static void begin_destruction(struct destruction *destruction, const struct postcopy_how *how,
			      enum postcopy_stage stage, bool source)
{
	struct postcopy_staged *staged = &destruction->staged;

	staged_open_quiet(staged, how, stage);
	staged->drive.in_background = true;
	staged_go(staged);
	destruction->source = source;
	staged_say(staged, "destroy", source);
	/* The vCPUs end before their memory does. */
	if (!source && stage != STAGE_DONE)
		staged_stop_destination(staged);
	assert_int_equal(pthread_create(&destruction->thread, NULL, destroy, destruction), 0);
}

static void end_destruction(struct destruction *destruction)
{
	struct postcopy_staged *staged = &destruction->staged;
	struct pair *pair = &staged->drive.pair;
	bool lost = destruction->source && staged_source_let_go(staged);

	pthread_join(destruction->thread, NULL);
	if (staged->stage == STAGE_DONE) {
		postcopy_stage_release(staged);
		postcopy_drive_settle(&staged->drive);
		staged_check_whole(staged, DESTINATION);
	} else if (lost) {
		staged_lose_destination(staged);
		assert_false(pair->from->running || pair->to->running);
		staged_check_ended(staged, DESTINATION, -ECANCELED, RS_STATUS_FAILED, -ECANCELED,
				   "postcopy was given up");
	} else {
		staged_finish_at_source(staged);
	}
	postcopy_drive_close(&staged->drive);
}

static void destructions(void **unused)
{
	static const struct postcopy_how *const hows[] = { &postcopy_hows[1], &postcopy_hows[2] };
	struct destruction *all = calloc(4 * STAGES, sizeof(*all));
	unsigned count = 0;

	(void)unused;
	assert_non_null(all);
	for (unsigned i = 0; i < 4 * STAGES; i++)
		if (postcopy_stage_exists(i / 4, hows[i % 2]))
			begin_destruction(&all[count++], hows[i % 2], i / 4, i / 2 % 2 == 0);
	while (count > 0)
		end_destruction(&all[--count]);
	free(all);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(cancels),          cmocka_unit_test(removals),
		cmocka_unit_test(decrees),          cmocka_unit_test(given_up_while_loading),
		cmocka_unit_test(left_after_ready), cmocka_unit_test(destructions),
	};

	alarm(WATCHDOG_SECONDS);
	return cmocka_run_group_tests_name("postcopy_ends", tests, NULL, NULL);
}
