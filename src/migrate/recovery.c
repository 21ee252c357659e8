/* SPDX-License-Identifier: MIT */
#include "migrate/recovery.h"

#include "base/error.h"
#include "transport/stream.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void close_opening(struct rs_opening *opening)
{
	char *address = (char *)opening->address;

	rs_opening_close(opening, NULL);
	free(address);
}

void rs_recovery_close(struct rs_migration *migration)
{
	migration->opening = NULL;
	/* Whoever wakes the migration must not find a stream that is closed. */
	if (migration->recovered.stream != NULL)
		rs_session_detach(migration->state);
	close_opening(&migration->recovered);
}

/* ---- bringing ------------------------------------------------------------------------------ */

/* Only who reads a recording has nothing to say. */
static bool is_too_one_way(const struct rs_migration *migration, const struct rs_stream *stream)
{
	return stream != NULL && !migration->one_way &&
	       rs_stream_flags(stream) != RS_STREAM_TWO_WAY;
}

static int take_offer_locked(struct rs_migration *migration, const struct rs_opening *opening,
			     char *address, const char **why)
{
	*why = "no postcopy waits for a connection";
	if (!migration->paused || migration->offered || migration->given_up)
		return -EINVAL;
	*why = "the stream is one-way, and a postcopy recovers over one that is two-way";
	if (is_too_one_way(migration, opening->stream))
		return -EINVAL;
	migration->offer = *opening;
	migration->offer.address = address;
	migration->offered = true;
	rs_session_wake_locked(migration->state);
	return 0;
}

int rs_recovery_offer(struct rs_migration *migration, const struct rs_opening *opening,
		      const char **why)
{
	struct rs_state *state = migration->state;
	char *address = opening->address != NULL ? strdup(opening->address) : NULL;

	*why = "no memory for a connection";
	if (opening->address != NULL && address == NULL)
		return -ENOMEM;
	pthread_mutex_lock(&state->lock);
	int result = take_offer_locked(migration, opening, address, why);

	pthread_mutex_unlock(&state->lock);
	if (result != 0)
		free(address);
	return result;
}

bool rs_recovery_break(struct rs_migration *migration)
{
	struct rs_state *state = migration->state;

	pthread_mutex_lock(&state->lock);
	enum rs_status status = rs_migrate_status(state);
	bool connected =
	    status == RS_STATUS_POSTCOPY_ACTIVE || status == RS_STATUS_POSTCOPY_RECOVER;
	bool connecting = migration->connecting;

	if (connecting)
		rs_session_break_locked(state, -ECANCELED,
					"the wait for a connection was given up");
	else if (connected)
		rs_session_wake_locked(state);
	pthread_mutex_unlock(&state->lock);
	return connected || connecting;
}

bool rs_recovery_end_by_decree(struct rs_migration *migration, enum rs_resolution decree)
{
	struct rs_state *state = migration->state;

	pthread_mutex_lock(&state->lock);
	bool paused = migration->paused;

	if (paused) {
		migration->given_up = true;
		migration->decree = decree;
		rs_session_wake_locked(state);
	}
	pthread_mutex_unlock(&state->lock);
	return paused;
}

/* ---- waiting ------------------------------------------------------------------------------- */

/* What there is to do: 0: take the offer; 1: end by decree; -EAGAIN: wait; another errno: the end. */
static int look_for_offer(struct rs_migration *migration)
{
	struct rs_state *state = migration->state;
	int result = -EAGAIN;

	pthread_mutex_lock(&state->lock);
	if (state->session.final)
		result = -ECANCELED;
	else if (rs_session_code(state) != 0)
		result = rs_session_code(state);
	else if (migration->given_up)
		result = 1;
	else if (migration->offered)
		result = 0;
	if (result != -EAGAIN)
		migration->paused = false;
	migration->connecting = result == 0;
	pthread_mutex_unlock(&state->lock);
	return result;
}

static int wait_for_offer(struct rs_migration *migration, int wake_fd)
{
	struct pollfd woken = { .fd = wake_fd, .events = POLLIN };
	int result;

	while ((result = look_for_offer(migration)) == -EAGAIN)
		(void)poll(&woken, 1, -1);
	/* Changed regions have said so themselves. */
	return result < 0 ? rs_session_fail(migration->state, result, "postcopy was given up")
			  : result;
}

static int pause_and_wait(struct rs_migration *migration)
{
	struct rs_state *state = migration->state;
	int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (wake_fd < 0)
		return rs_session_fail(state, -errno, "cannot wait for a connection: %s",
				       rs_errno_text(-errno));
	int result = rs_session_attach_wait(state, wake_fd);

	if (result == 0) {
		pthread_mutex_lock(&state->lock);
		migration->paused = true;
		pthread_mutex_unlock(&state->lock);
		/* Whoever hears it may bring a connection at once. */
		rs_migration_set_status_why(migration, RS_STATUS_POSTCOPY_PAUSED,
					    migration->why_paused.text);
		result = wait_for_offer(migration, wake_fd);
		rs_session_detach(state);
	}
	close(wake_fd);
	return result;
}

/* Nobody is left who would take it. */
static void drop_offer(struct rs_migration *migration)
{
	struct rs_state *state = migration->state;

	pthread_mutex_lock(&state->lock);
	struct rs_opening offer = migration->offer;

	migration->offer = (struct rs_opening){ 0 };
	migration->offered = false;
	migration->paused = false;
	pthread_mutex_unlock(&state->lock);
	close_opening(&offer);
}

static int open_offer(struct rs_migration *migration)
{
	struct rs_state *state = migration->state;
	struct rs_opening *opening = &migration->recovered;

	pthread_mutex_lock(&state->lock);
	*opening = migration->offer;
	migration->offer = (struct rs_opening){ 0 };
	migration->offered = false;
	pthread_mutex_unlock(&state->lock);

	opening->needs_channel = rs_migration_preempts(migration);
	int result = opening->stream != NULL ? 0 : rs_opening_open(opening, state);

	if (result != 0)
		return result;
	rs_stream_set_stall_timeout(
	    opening->stream, (unsigned)rs_params_number(&state->params, RS_PARAM_STALL_TIMEOUT));
	migration->stream = opening->stream;
	migration->opening = opening;
	return rs_session_attach(state, opening->stream);
}

/* Open the stream of the offer, if need be, and have it attached. */
static int take_offer(struct rs_migration *migration)
{
	int result = open_offer(migration);

	pthread_mutex_lock(&migration->state->lock);
	migration->connecting = false;
	pthread_mutex_unlock(&migration->state->lock);
	return result;
}

int rs_recovery_wait(struct rs_migration *migration)
{
	struct rs_state *state = migration->state;

	for (;;) {
		struct rs_error why;

		if (!rs_session_pause(state, &why)) {
			drop_offer(migration);
			return rs_session_code(state) != 0 ? rs_session_code(state) : -ECANCELED;
		}
		pthread_mutex_lock(&state->lock);
		migration->why_paused = why;
		pthread_mutex_unlock(&state->lock);
		migration->stream = NULL;
		rs_recovery_close(migration);
		int result = pause_and_wait(migration);

		if (result == 0)
			result = take_offer(migration);
		if (result == 0) {
			rs_migration_set_status(migration, RS_STATUS_POSTCOPY_RECOVER);
			return 0;
		}
		migration->stream = NULL;
		/* A failure is the next pause's reason, unless it is final. */
		if (result == 1) {
			drop_offer(migration);
			return 1;
		}
	}
}
