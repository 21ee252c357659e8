/* SPDX-License-Identifier: MIT */
/*
 * What may be done to a postcopy migration from outside, in each of its phases, at either end: what is out of place is
 * refused, says why, and changes nothing; what is not, ends it or pauses it. Then the guest is whole at exactly one
 * end, as it is, or after the other end was told.
 */
#include "postcopy_stage.h"

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

#define SOURCE true
#define DESTINATION false

static struct guest *guest_of(struct postcopy_staged *staged, bool source)
{
	return source ? staged->drive.pair.from : staged->drive.pair.to;
}

static bool is_native(const struct postcopy_staged *staged)
{
	return staged->drive.how->machine[0] == '\0';
}

static void say(const struct postcopy_staged *staged, const char *what, bool source)
{
	if (getenv("RS_TEST_SAY") != NULL)
		print_message("%s, %s: %s at the %s\n", staged->drive.how->name,
			      postcopy_stage_names[staged->stage], what,
			      source ? "source" : "destination");
}

/* Open it; the source's guest writes nothing: it may lose regions, or its state. */
static void open_quiet(struct postcopy_staged *staged, const struct postcopy_how *how,
		       enum postcopy_stage stage)
{
	postcopy_stage_open(staged, how, stage);
	staged->drive.pair.from->spec.burst = 0;
}

static void go(struct postcopy_staged *staged)
{
	if (!postcopy_stage_reach(staged))
		fail_msg("%s: %s was not reached", staged->drive.how->name,
			 postcopy_stage_names[staged->stage]);
}

static void reach(struct postcopy_staged *staged, const struct postcopy_how *how,
		  enum postcopy_stage stage)
{
	postcopy_stage_open(staged, how, stage);
	go(staged);
}

/* In each form of the stream and in each phase. */
static void everywhere(void (*test)(const struct postcopy_how *how, enum postcopy_stage stage))
{
	for (unsigned i = 0; i < POSTCOPY_HOWS; i++)
		for (unsigned stage = 0; stage < STAGES; stage++)
			if (postcopy_stage_exists(stage, &postcopy_hows[i]))
				test(&postcopy_hows[i], stage);
}

/* ---- what the phases are like ------------------------------------------------------------------ */

/* Whether the source has said that the guest is the destination's. */
static bool source_let_go(const struct postcopy_staged *staged)
{
	return staged->stage >= STAGE_COMMIT ||
	       (staged->stage == STAGE_PACKAGE && !is_native(staged));
}

/* Whether the destination has heard that. */
static bool destination_took(const struct postcopy_staged *staged)
{
	return staged->stage >= STAGE_ACTIVE ||
	       (staged->stage == STAGE_PACKAGE && !is_native(staged));
}

static bool is_connected(const struct postcopy_staged *staged, bool source)
{
	if (staged->stage == STAGE_ACTIVE || staged->stage == STAGE_RECOVERING)
		return true;
	return source && source_let_go(staged) && staged->stage < STAGE_ACTIVE;
}

/* ---- how it ends ------------------------------------------------------------------------------- */

/* The guest, stopped, of the one end that runs it. */
static void check_whole(struct postcopy_staged *staged, bool source)
{
	struct guest *guest = guest_of(staged, source);

	assert_true(guest->running);
	assert_false(guest_of(staged, !source)->running);
	assert_int_equal(guest_stop(guest), 0);
	guest_verify(guest);
	pair_check_sane(&staged->drive.pair);
}

static void check_moved(struct postcopy_staged *staged)
{
	const struct transfer *transfer = &staged->drive.transfer;

	if (transfer->out.result != 0 || transfer->in.result != 0)
		fail_msg("%s, %s: source %d: %s; destination %d: %s", staged->drive.how->name,
			 postcopy_stage_names[staged->stage], transfer->out.result,
			 transfer->out.error.text, transfer->in.result, transfer->in.error.text);
	check_whole(staged, DESTINATION);
}

static void finish_moved(struct postcopy_staged *staged)
{
	postcopy_stage_release(staged);
	postcopy_drive_settle(&staged->drive);
	check_moved(staged);
	postcopy_drive_close(&staged->drive);
}

static void check_ended(const struct postcopy_staged *staged, bool source, int result,
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
static void await_end(const struct postcopy_staged *staged, bool source)
{
	while (!postcopy_drive_has_ended(&staged->drive, source))
		usleep(300);
}

static void stop_destination(struct postcopy_staged *staged)
{
	if (staged->drive.pair.to->running)
		assert_int_equal(guest_stop(staged->drive.pair.to), 0);
}

/* What was on its way arrives; it may be that the guest is to run there, until that is told that it is lost. */
static void lose_destination(struct postcopy_staged *staged)
{
	postcopy_stage_release(staged);
	postcopy_drive_await(&staged->drive);
	stop_destination(staged);
	postcopy_drive_settle(&staged->drive);
	stop_destination(staged);
}

/*
 * The guest is lost at the destination, if it ran there, and comes back to the source: by itself, or because the source
 * is told.
 */
static void finish_at_source(struct postcopy_staged *staged)
{
	struct pair *pair = &staged->drive.pair;

	lose_destination(staged);
	if (pair->from->state != NULL && staged->drive.transfer.out.result == RS_ERROR_IN_DOUBT) {
		assert_int_equal(rs_migrate_status(pair->from->state), RS_STATUS_IN_DOUBT);
		assert_false(pair->from->running);
		assert_int_equal(rs_migrate_resolve(pair->from->state, RS_RESOLVE_RUN), 0);
		assert_int_equal(rs_migrate_status(pair->from->state), RS_STATUS_FAILED);
	}
	check_whole(staged, SOURCE);
}

/* ---- what is out of place ---------------------------------------------------------------------- */

struct call {
	const char *name;
	int (*make)(struct rs_state *state);
};

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

static void refuses(struct postcopy_staged *staged, bool source, const char *name,
		    int (*call)(struct rs_state *state), int code, const char *says)
{
	struct rs_state *state = guest_of(staged, source)->state;
	struct rs_error error;

	say(staged, name, source);
	int result = call(state);

	rs_error_get(state, RS_ERROR_OF_CALL, &error);
	if (result != code || error.code != code || strstr(error.text, says) == NULL)
		fail_msg("%s, %s: %s at the %s returns %d and says %d '%s', not %d '%s'",
			 staged->drive.how->name, postcopy_stage_names[staged->stage], name,
			 source ? "source" : "destination", result, error.code, error.text, code,
			 says);
}

static void refuse_start(struct postcopy_staged *staged, bool source)
{
	static const char name[] = "start_postcopy";

	if (!source || staged->stage == STAGE_DONE)
		refuses(staged, source, name, start_postcopy, -ESRCH, "no outgoing migration runs");
	else if (staged->stage > STAGE_DISCARDS)
		refuses(staged, source, name, start_postcopy, -EALREADY,
			"the guest was stopped already");
	/* Twice is as good as once. */
	for (unsigned i = 0; i < 2 && source && staged->stage <= STAGE_DISCARDS; i++)
		assert_int_equal(rs_migrate_start_postcopy(staged->drive.pair.from->state), 0);
}

static void refuse_recover(struct postcopy_staged *staged, bool source)
{
	bool paused = staged->stage == STAGE_PAUSED;

	refuses(staged, source, "recover over nothing", recover_over_nothing, -EINVAL, "no stream");
	refuses(staged, source, "recover by no listener", recover_by_no_listener, -EINVAL,
		"no listener");
	refuses(staged, source, "recover by no address", recover_by_no_address, -EINVAL, "nowhere");
	refuses(staged, source, "recover over one way", recover_over_one_way, -EINVAL,
		paused ? "the stream is one-way" : "no postcopy waits for a connection");
	if (!paused)
		refuses(staged, source, "recover", recover, -EINVAL,
			"no postcopy waits for a connection");
}

static void refuse_resolve(struct postcopy_staged *staged, bool source)
{
	static const char *const why[] = {
		[STAGE_DONE] = "no migration to settle",
	};
	const char *says = why[STAGE_DONE];

	refuses(staged, source, "resolve 7", resolve_otherwise, -EINVAL, "7 is no resolution");
	if (staged->stage == STAGE_PAUSED && !source)
		refuses(staged, source, "resolve RUN", resolve_run, -EINVAL,
			"not whole at the destination");
	if (staged->stage == STAGE_PAUSED)
		return;
	if (staged->stage != STAGE_DONE)
		says = "a migration runs";
	refuses(staged, source, "resolve RUN", resolve_run, -EINVAL, says);
	refuses(staged, source, "resolve DISCARD", resolve_discard, -EINVAL, says);
}

static void refuse_cancel(struct postcopy_staged *staged, bool source)
{
	if (staged->stage == STAGE_DONE)
		refuses(staged, source, "cancel", rs_migrate_cancel, -ESRCH, "no migration runs");
	else if (source ? source_let_go(staged) : destination_took(staged))
		refuses(staged, source, "cancel", rs_migrate_cancel, -EALREADY,
			"too late to cancel: the guest was handed over");
}

static void refuse_all(const struct postcopy_how *how, enum postcopy_stage stage)
{
	struct postcopy_staged staged;

	reach(&staged, how, stage);
	for (unsigned source = 0; source < 2; source++) {
		refuse_start(&staged, source);
		refuse_recover(&staged, source);
		refuse_resolve(&staged, source);
		refuse_cancel(&staged, source);
		if (!is_connected(&staged, source))
			refuses(&staged, source, "pause", rs_migrate_pause, -EINVAL,
				"no postcopy runs that could be paused");
	}
	finish_moved(&staged);
}

static void out_of_place(void **unused)
{
	(void)unused;
	everywhere(refuse_all);
}

/* ---- pauses ------------------------------------------------------------------------------------ */

static void pause_at(const struct postcopy_how *how, enum postcopy_stage stage, bool source)
{
	struct postcopy_staged staged;
	struct postcopy_drive *drive = &staged.drive;

	reach(&staged, how, stage);
	if (is_connected(&staged, source)) {
		say(&staged, "pause", source);
		assert_int_equal(rs_migrate_pause(guest_of(&staged, source)->state), 0);
		while (rs_migrate_status(guest_of(&staged, source)->state) !=
		       RS_STATUS_POSTCOPY_PAUSED)
			usleep(300);
		refuses(&staged, source, "pause again", rs_migrate_pause, -EINVAL,
			"no postcopy runs");
	}
	postcopy_stage_release(&staged);
	postcopy_drive_settle(drive);
	/* In QEMU's form a destination that was left before it ran the guest waits as well. */
	check_moved(&staged);
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
	everywhere(pause_both);
}

/* Nobody will ever come, and it does not matter how long one would have waited. */
static void pause_the_wait(bool source)
{
	struct postcopy_staged staged;
	struct rs_listener *listener;

	reach(&staged, &postcopy_hows[0], STAGE_PAUSED);
	struct rs_state *state = guest_of(&staged, source)->state;
	_Atomic unsigned *pauses = source ? &staged.drive.from_pauses : &staged.drive.to_pauses;
	unsigned before = atomic_load(pauses);

	assert_int_equal(rs_stream_listen("tcp:127.0.0.1:0", &listener, NULL), 0);
	assert_int_equal(rs_migrate_recover_accept(state, listener, 0), 0);
	refuses(&staged, source, "recover", recover, -EINVAL, "no postcopy waits");
	/* Until it was taken up. */
	while (rs_migrate_pause(state) != 0)
		usleep(300);
	while (atomic_load(pauses) == before)
		usleep(300);
	assert_int_equal(rs_migrate_status(state), RS_STATUS_POSTCOPY_PAUSED);
	finish_moved(&staged);
}

static void a_wait_for_a_connection_is_paused(void **unused)
{
	(void)unused;
	pause_the_wait(SOURCE);
	pause_the_wait(DESTINATION);
}

/* ---- ends -------------------------------------------------------------------------------------- */

static void cancel_at(const struct postcopy_how *how, enum postcopy_stage stage, bool source)
{
	struct postcopy_staged staged;

	reach(&staged, how, stage);
	if (source ? source_let_go(&staged) : destination_took(&staged)) {
		finish_moved(&staged);
		return;
	}
	say(&staged, "cancel", source);
	assert_int_equal(rs_migrate_cancel(guest_of(&staged, source)->state), 0);
	await_end(&staged, source);
	finish_at_source(&staged);
	check_ended(&staged, source, -ECANCELED, RS_STATUS_CANCELLED, -ECANCELED, "cancelled");
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
	everywhere(cancel_both);
}

static void remove_region(struct postcopy_staged *staged, bool source)
{
	struct guest_region *region = &guest_of(staged, source)->regions[1];

	say(staged, "remove", source);
	assert_int_equal(rs_region_remove(region->region), 0);
	region->region = NULL;
}

static void remove_at(const struct postcopy_how *how, enum postcopy_stage stage, bool source)
{
	struct postcopy_staged staged;
	char says[64];

	open_quiet(&staged, how, stage);
	go(&staged);
	snprintf(says, sizeof(says), "region %s was removed",
		 staged.drive.pair.from->regions[1].name);
	bool in_doubt = source && source_let_go(&staged);

	remove_region(&staged, source);
	if (stage == STAGE_DONE) {
		finish_moved(&staged);
		return;
	}
	await_end(&staged, source);
	finish_at_source(&staged);
	if (in_doubt) /* finish_at_source() has settled it */
		check_ended(&staged, source, RS_ERROR_IN_DOUBT, RS_STATUS_FAILED, -ESTALE, says);
	else
		check_ended(&staged, source, -ESTALE, RS_STATUS_FAILED, -ESTALE, says);
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
	everywhere(remove_both);
}

static void resolve_at(const struct postcopy_how *how, bool source, enum rs_resolution resolution)
{
	struct postcopy_staged staged;
	struct pair *pair = &staged.drive.pair;

	reach(&staged, how, STAGE_PAUSED);
	say(&staged, resolution == RS_RESOLVE_RUN ? "RUN" : "DISCARD", source);
	stop_destination(&staged);
	assert_int_equal(rs_migrate_resolve(guest_of(&staged, source)->state, resolution), 0);
	await_end(&staged, source);
	if (source && resolution == RS_RESOLVE_DISCARD) {
		/* The guest is given up at both ends. */
		postcopy_drive_settle(&staged.drive);
		check_ended(&staged, SOURCE, 0, RS_STATUS_COMPLETED, 0, "");
		assert_false(pair->from->running);
	} else {
		finish_at_source(&staged);
		check_ended(&staged, SOURCE, -ECANCELED, RS_STATUS_FAILED, -ECANCELED,
			    "the guest runs here");
	}
	check_ended(&staged, DESTINATION, -ECANCELED, RS_STATUS_FAILED, -ECANCELED,
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

		reach(&staged, &postcopy_hows[i], STAGE_PACKAGE);
		assert_int_equal(rs_migrate_pause(pair->from->state), 0);
		while (rs_migrate_status(pair->from->state) != RS_STATUS_POSTCOPY_PAUSED)
			usleep(300);
		postcopy_stage_release(&staged);
		postcopy_drive_await(&staged.drive);
		refuses(&staged, DESTINATION, "cancel", rs_migrate_cancel, -EALREADY,
			"the guest was handed over");
		assert_int_equal(rs_migrate_resolve(pair->to->state, RS_RESOLVE_DISCARD), 0);
		await_end(&staged, DESTINATION);
		assert_false(pair->to->running);
		finish_at_source(&staged);
		check_ended(&staged, DESTINATION, -ECANCELED, RS_STATUS_FAILED, -ECANCELED,
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

		reach(&staged, &postcopy_hows[i], STAGE_READY);
		assert_int_equal(rs_migrate_cancel(pair->from->state), 0);
		postcopy_drive_await(&staged.drive);
		assert_int_equal(rs_migrate_status(pair->to->state), RS_STATUS_POSTCOPY_PAUSED);
		refuses(&staged, DESTINATION, "cancel", rs_migrate_cancel, -EALREADY,
			"the guest may have been handed over");
		finish_at_source(&staged);
		check_ended(&staged, DESTINATION, -ECANCELED, RS_STATUS_FAILED, -ECANCELED,
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

	open_quiet(staged, how, stage);
	staged->drive.in_background = true;
	go(staged);
	destruction->source = source;
	say(staged, "destroy", source);
	/* The vCPUs end before their memory does. */
	if (!source && stage != STAGE_DONE)
		stop_destination(staged);
	assert_int_equal(pthread_create(&destruction->thread, NULL, destroy, destruction), 0);
}

static void end_destruction(struct destruction *destruction)
{
	struct postcopy_staged *staged = &destruction->staged;
	struct pair *pair = &staged->drive.pair;
	bool lost = destruction->source && source_let_go(staged);

	pthread_join(destruction->thread, NULL);
	if (staged->stage == STAGE_DONE) {
		postcopy_stage_release(staged);
		postcopy_drive_settle(&staged->drive);
		check_whole(staged, DESTINATION);
	} else if (lost) {
		lose_destination(staged);
		assert_false(pair->from->running || pair->to->running);
		check_ended(staged, DESTINATION, -ECANCELED, RS_STATUS_FAILED, -ECANCELED,
			    "postcopy was given up");
	} else {
		finish_at_source(staged);
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

/* ---- wrong connections --------------------------------------------------------------------------- */

/* Bring both ends connections with a peer of another migration that waits for one as well. */
static void cross(struct postcopy_staged *first, struct postcopy_staged *second)
{
	struct postcopy_drive *drives[] = { &first->drive, &second->drive };

	for (unsigned i = 0; i < 2; i++) {
		struct postcopy_drive *from = drives[i], *to = drives[1 - i];
		struct rs_stream *out, *in;

		assert_int_equal(fake_stream_pair(NULL, NULL, &out, &in), 0);
		from->from_offers = atomic_load(&from->from_pauses);
		to->to_offers = atomic_load(&to->to_pauses);
		assert_int_equal(rs_migrate_recover(from->pair.from->state, out), 0);
		assert_int_equal(rs_migrate_recover(to->pair.to->state, in), 0);
	}
}

static void check_paused(struct postcopy_staged *staged, bool source, const char *says)
{
	struct rs_error why;

	rs_error_get(guest_of(staged, source)->state, RS_ERROR_OF_MIGRATION, &why);
	assert_int_equal(rs_migrate_status(guest_of(staged, source)->state),
			 RS_STATUS_POSTCOPY_PAUSED);
	if (strstr(why.text, says) == NULL)
		fail_msg("the %s paused for '%s', not '%s'", source ? "source" : "destination",
			 why.text, says);
}

/* Over the connection of another guest it does not go on, but over the right one it does. */
static void anothers_connection(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < 2; i++) {
		struct postcopy_staged first, second;

		reach(&first, &postcopy_hows[i], STAGE_PAUSED);
		reach(&second, &postcopy_hows[i], STAGE_PAUSED);
		cross(&first, &second);
		postcopy_drive_await(&first.drive);
		postcopy_drive_await(&second.drive);
		check_paused(&first, SOURCE, "goes on with another migration");
		check_paused(&first, DESTINATION, "goes on with another migration");
		check_paused(&second, SOURCE, "goes on with another migration");
		check_paused(&second, DESTINATION, "goes on with another migration");
		finish_moved(&first);
		finish_moved(&second);
	}
}

/* ---- a channel that says nothing ------------------------------------------------------------------ */

/* Whoever connected as the channel for preempt does not keep the destination from ending. */
static void a_silent_channel(void **unused)
{
	(void)unused;
	for (unsigned removed = 0; removed < 2; removed++) {
		struct postcopy_staged staged;

		open_quiet(&staged, &postcopy_hows[1], STAGE_DONE);
		fake_valve_close(&staged.valves[0][2], 0);
		postcopy_drive_start(&staged.drive);
		/* It was taken, and waits for its header. */
		while (atomic_load(&staged.drive.pair.to->channel) != NULL ||
		       atomic_load(&staged.valves[0][2].written) == 0)
			usleep(300);
		if (removed)
			remove_region(&staged, DESTINATION);
		else
			assert_int_equal(rs_migrate_cancel(staged.drive.pair.to->state), 0);
		await_end(&staged, DESTINATION);
		finish_at_source(&staged);
		postcopy_drive_close(&staged.drive);
	}
}

/* ---- a stream that is closed ----------------------------------------------------------------------- */

/* A stream that looks, while it is closed, whether anybody still uses it. */
struct watched {
	struct rs_state *state;
	struct rs_stream *below;
	bool closed;
	_Atomic bool used;
};

static ssize_t watched_readv(void *opaque, const struct iovec *iov, int count)
{
	struct watched *watched = opaque;

	/* One byte at a time will do. */
	(void)count;
	return rs_stream_get_bytes(watched->below, iov[0].iov_base, 1) == 0 ? 1 : 0;
}

static ssize_t watched_writev(void *opaque, const struct iovec *iov, int count)
{
	struct watched *watched = opaque;

	(void)count;
	rs_stream_put_bytes(watched->below, iov[0].iov_base, iov[0].iov_len);
	return rs_stream_flush(watched->below) == 0 ? (ssize_t)iov[0].iov_len : -EPIPE;
}

static void watched_shutdown(void *opaque)
{
	struct watched *watched = opaque;

	if (watched->closed)
		watched->used = true;
	else
		rs_stream_shutdown(watched->below);
}

/* Whoever pauses a migration just now finds no stream of it any more. */
static void watched_close(void *opaque)
{
	struct watched *watched = opaque;

	watched->closed = true;
	rs_migrate_pause(watched->state);
	rs_stream_close(watched->below, NULL);
}

static const struct rs_stream_ops watched_ops = {
	.size = sizeof(watched_ops),
	.readv = watched_readv,
	.writev = watched_writev,
	.shutdown = watched_shutdown,
	.close = watched_close,
};

static void nobody_uses_a_closed_stream(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < 2; i++) {
		struct watched watched[2] = { { .closed = false } };
		struct rs_stream *streams[2];
		struct postcopy_staged staged;
		struct postcopy_drive *drive = &staged.drive;

		reach(&staged, &postcopy_hows[i * 2], STAGE_PAUSED);
		assert_int_equal(fake_stream_pair(NULL, NULL, &watched[0].below, &watched[1].below),
				 0);
		drive->from_offers = drive->to_offers = 1;
		for (unsigned end = 0; end < 2; end++) {
			watched[end].state = guest_of(&staged, end == 0)->state;
			assert_int_equal(rs_stream_create(&watched_ops, &watched[end],
							  RS_STREAM_TWO_WAY, &streams[end]),
					 0);
			assert_int_equal(rs_migrate_recover(watched[end].state, streams[end]), 0);
		}
		finish_moved(&staged);
		assert_true(watched[0].closed && watched[1].closed);
		assert_false(watched[0].used || watched[1].used);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(out_of_place),
		cmocka_unit_test(pauses),
		cmocka_unit_test(a_wait_for_a_connection_is_paused),
		cmocka_unit_test(cancels),
		cmocka_unit_test(removals),
		cmocka_unit_test(decrees),
		cmocka_unit_test(given_up_while_loading),
		cmocka_unit_test(left_after_ready),
		cmocka_unit_test(destructions),
		cmocka_unit_test(anothers_connection),
		cmocka_unit_test(a_silent_channel),
		cmocka_unit_test(nobody_uses_a_closed_stream),
	};

	alarm(WATCHDOG_SECONDS);
	return cmocka_run_group_tests_name("postcopy_phases", tests, NULL, NULL);
}
