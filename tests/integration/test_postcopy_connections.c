/* SPDX-License-Identifier: MIT */
/*
 * Connections that are not what postcopy needs: those of another guest, a channel on which nothing is said, and one
 * that is closed while somebody wants to use it.
 */
#include "postcopy_outcome.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define WATCHDOG_SECONDS 600

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

	rs_error_get(staged_guest(staged, source)->state, RS_ERROR_OF_MIGRATION, &why);
	assert_int_equal(rs_migrate_status(staged_guest(staged, source)->state),
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

		staged_reach(&first, &postcopy_hows[i], STAGE_PAUSED);
		staged_reach(&second, &postcopy_hows[i], STAGE_PAUSED);
		cross(&first, &second);
		postcopy_drive_await(&first.drive);
		postcopy_drive_await(&second.drive);
		check_paused(&first, SOURCE, "goes on with another migration");
		check_paused(&first, DESTINATION, "goes on with another migration");
		check_paused(&second, SOURCE, "goes on with another migration");
		check_paused(&second, DESTINATION, "goes on with another migration");
		staged_finish_moved(&first);
		staged_finish_moved(&second);
	}
}

/* ---- a channel that says nothing ------------------------------------------------------------------ */

/* Whoever connected as the channel for preempt does not keep the destination from ending. */
static void a_silent_channel(void **unused)
{
	(void)unused;
	for (unsigned removed = 0; removed < 2; removed++) {
		struct postcopy_staged staged;

		staged_open_quiet(&staged, &postcopy_hows[1], STAGE_DONE);
		fake_valve_close(&staged.valves[0][2], 0);
		postcopy_drive_start(&staged.drive);
		/* It was taken, and waits for its header. */
		while (atomic_load(&staged.drive.pair.to->channel) != NULL ||
		       atomic_load(&staged.valves[0][2].written) == 0)
			usleep(300);
		if (removed)
			staged_remove_region(&staged, DESTINATION);
		else
			assert_int_equal(rs_migrate_cancel(staged.drive.pair.to->state), 0);
		staged_await_end(&staged, DESTINATION);
		staged_finish_at_source(&staged);
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

		staged_reach(&staged, &postcopy_hows[i * 2], STAGE_PAUSED);
		assert_int_equal(fake_stream_pair(NULL, NULL, &watched[0].below, &watched[1].below),
				 0);
		drive->from_offers = drive->to_offers = 1;
		for (unsigned end = 0; end < 2; end++) {
			watched[end].state = staged_guest(&staged, end == 0)->state;
			assert_int_equal(rs_stream_create(&watched_ops, &watched[end],
							  RS_STREAM_TWO_WAY, &streams[end]),
					 0);
			assert_int_equal(rs_migrate_recover(watched[end].state, streams[end]), 0);
		}
		staged_finish_moved(&staged);
		assert_true(watched[0].closed && watched[1].closed);
		assert_false(watched[0].used || watched[1].used);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(anothers_connection),
		cmocka_unit_test(a_silent_channel),
		cmocka_unit_test(nobody_uses_a_closed_stream),
	};

	alarm(WATCHDOG_SECONDS);
	return cmocka_run_group_tests_name("postcopy_connections", tests, NULL, NULL);
}
