/* SPDX-License-Identifier: MIT */
/*
 * What may be called from outside in each phase of postcopy, at either end: what is out of place is refused, says why, and
 * changes nothing; and it may be paused as long as there is a connection, or a wait for one.
 */
#include "postcopy_outcome.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>
#include <cmocka.h>

#define WATCHDOG_SECONDS 600

/* ---- what is out of place ---------------------------------------------------------------------- */

static int start_postcopy(struct rs_state *state)
{
	return rs_migrate_start_postcopy(state);
}

static int recover_over(struct rs_state *state, struct rs_stream *stream, struct rs_stream *peer)
{
	int result = rs_migrate_recover(state, stream);

	/* It is still ours: open, and to be closed. */
	if (result != 0) {
		rs_stream_put_u8(stream, 1);
		rs_stream_flush(stream);
		rs_stream_close(stream, NULL);
	}
	rs_stream_close(peer, NULL);
	return result;
}

static int recover(struct rs_state *state)
{
	struct rs_stream *stream, *peer;

	assert_int_equal(fake_stream_pair(NULL, NULL, &stream, &peer), 0);
	return recover_over(state, stream, peer);
}

static int recover_over_one_way(struct rs_state *state)
{
	struct rs_stream *stream, *peer;

	assert_int_equal(fake_stream_pipe(NULL, &stream, &peer), 0);
	return recover_over(state, stream, peer);
}

static int recover_over_nothing(struct rs_state *state)
{
	return rs_migrate_recover(state, NULL);
}

static int recover_by_no_listener(struct rs_state *state)
{
	return rs_migrate_recover_accept(state, NULL, 0);
}

static int recover_by_no_address(struct rs_state *state)
{
	return rs_migrate_recover_connect(state, "nowhere", 0);
}

static int resolve_run(struct rs_state *state)
{
	return rs_migrate_resolve(state, RS_RESOLVE_RUN);
}

static int resolve_discard(struct rs_state *state)
{
	return rs_migrate_resolve(state, RS_RESOLVE_DISCARD);
}

static int resolve_otherwise(struct rs_state *state)
{
	return rs_migrate_resolve(state, (enum rs_resolution)7);
}

static void refuse_start(struct postcopy_staged *staged, bool source)
{
	static const char name[] = "start_postcopy";

	if (!source || staged->stage == STAGE_DONE)
		staged_refuses(staged, source, name, start_postcopy, -ESRCH,
			       "no outgoing migration runs");
	else if (staged->stage > STAGE_DISCARDS)
		staged_refuses(staged, source, name, start_postcopy, -EALREADY,
			       "the guest was stopped already");
	/* Twice is as good as once. */
	for (unsigned i = 0; i < 2 && source && staged->stage <= STAGE_DISCARDS; i++)
		assert_int_equal(rs_migrate_start_postcopy(staged->drive.pair.from->state), 0);
}

static void refuse_recover(struct postcopy_staged *staged, bool source)
{
	bool paused = staged->stage == STAGE_PAUSED;

	staged_refuses(staged, source, "recover over nothing", recover_over_nothing, -EINVAL,
		       "no stream");
	staged_refuses(staged, source, "recover by no listener", recover_by_no_listener, -EINVAL,
		       "no listener");
	staged_refuses(staged, source, "recover by no address", recover_by_no_address, -EINVAL,
		       "nowhere");
	staged_refuses(staged, source, "recover over one way", recover_over_one_way, -EINVAL,
		       paused ? "the stream is one-way" : "no postcopy waits for a connection");
	if (!paused)
		staged_refuses(staged, source, "recover", recover, -EINVAL,
			       "no postcopy waits for a connection");
}

static void refuse_resolve(struct postcopy_staged *staged, bool source)
{
	const char *says =
	    staged->stage == STAGE_DONE ? "no migration to settle" : "a migration runs";

	staged_refuses(staged, source, "resolve 7", resolve_otherwise, -EINVAL,
		       "7 is no resolution");
	if (staged->stage == STAGE_PAUSED && !source)
		staged_refuses(staged, source, "resolve RUN", resolve_run, -EINVAL,
			       "not whole at the destination");
	if (staged->stage == STAGE_PAUSED)
		return;
	staged_refuses(staged, source, "resolve RUN", resolve_run, -EINVAL, says);
	staged_refuses(staged, source, "resolve DISCARD", resolve_discard, -EINVAL, says);
}

static void refuse_cancel(struct postcopy_staged *staged, bool source)
{
	if (staged->stage == STAGE_DONE)
		staged_refuses(staged, source, "cancel", rs_migrate_cancel, -ESRCH,
			       "no migration runs");
	else if (source ? staged_source_let_go(staged) : staged_destination_took(staged))
		staged_refuses(staged, source, "cancel", rs_migrate_cancel, -EALREADY,
			       "too late to cancel: the guest was handed over");
}

static void refuse_all(const struct postcopy_how *how, enum postcopy_stage stage)
{
	struct postcopy_staged staged;

	staged_reach(&staged, how, stage);
	for (unsigned source = 0; source < 2; source++) {
		refuse_start(&staged, source);
		refuse_recover(&staged, source);
		refuse_resolve(&staged, source);
		refuse_cancel(&staged, source);
		if (!staged_is_connected(&staged, source))
			staged_refuses(&staged, source, "pause", rs_migrate_pause, -EINVAL,
				       "no postcopy runs that could be paused");
	}
	staged_finish_moved(&staged);
}

static void out_of_place(void **unused)
{
	(void)unused;
	staged_everywhere(refuse_all);
}

/* ---- pauses ------------------------------------------------------------------------------------ */

static void pause_at(const struct postcopy_how *how, enum postcopy_stage stage, bool source)
{
	struct postcopy_staged staged;
	struct postcopy_drive *drive = &staged.drive;

	staged_reach(&staged, how, stage);
	if (staged_is_connected(&staged, source)) {
		staged_say(&staged, "pause", source);
		assert_int_equal(rs_migrate_pause(staged_guest(&staged, source)->state), 0);
		while (rs_migrate_status(staged_guest(&staged, source)->state) !=
		       RS_STATUS_POSTCOPY_PAUSED)
			usleep(300);
		staged_refuses(&staged, source, "pause again", rs_migrate_pause, -EINVAL,
			       "no postcopy runs");
	}
	postcopy_stage_release(&staged);
	postcopy_drive_settle(drive);
	/* In QEMU's form a destination that was left before it ran the guest waits as well. */
	staged_check_moved(&staged);
	postcopy_drive_close(drive);
}

static void pause_both(const struct postcopy_how *how, enum postcopy_stage stage)
{
	if (stage == STAGE_DONE)
		return;
	pause_at(how, stage, SOURCE);
	pause_at(how, stage, DESTINATION);
}

static void pauses(void **unused)
{
	(void)unused;
	staged_everywhere(pause_both);
}

/* Nobody will ever come, and it does not matter how long one would have waited. */
static void pause_the_wait(bool source)
{
	struct postcopy_staged staged;
	struct rs_listener *listener;

	staged_reach(&staged, &postcopy_hows[0], STAGE_PAUSED);
	struct rs_state *state = staged_guest(&staged, source)->state;
	_Atomic unsigned *pauses = source ? &staged.drive.from_pauses : &staged.drive.to_pauses;
	unsigned before = atomic_load(pauses);

	assert_int_equal(rs_stream_listen("tcp:127.0.0.1:0", &listener, NULL), 0);
	assert_int_equal(rs_migrate_recover_accept(state, listener, 0), 0);
	staged_refuses(&staged, source, "recover", recover, -EINVAL, "no postcopy waits");
	/* Until it was taken up. */
	while (rs_migrate_pause(state) != 0)
		usleep(300);
	while (atomic_load(pauses) == before)
		usleep(300);
	assert_int_equal(rs_migrate_status(state), RS_STATUS_POSTCOPY_PAUSED);
	staged_finish_moved(&staged);
}

static void a_wait_for_a_connection_is_paused(void **unused)
{
	(void)unused;
	pause_the_wait(SOURCE);
	pause_the_wait(DESTINATION);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(out_of_place),
		cmocka_unit_test(pauses),
		cmocka_unit_test(a_wait_for_a_connection_is_paused),
	};

	alarm(WATCHDOG_SECONDS);
	return cmocka_run_group_tests_name("postcopy_phases", tests, NULL, NULL);
}
