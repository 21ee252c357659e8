/* SPDX-License-Identifier: MIT */
#include "api/background.h"
#include "api/phase.h"
#include "base/versioned.h"
#include "migrate/handover.h"
#include "migrate/recovery.h"
#include "postcopy/blocktime.h"
#include "transport/address.h"

/* ---- one migration ------------------------------------------------------------------------- */

static int check_vm(struct rs_state *state, const struct rs_vm_ops *vm, bool outgoing,
		    struct rs_vm_ops *mine)
{
	if (rs_versioned_copy(mine, sizeof(*mine), vm, vm->size) != 0)
		return rs_state_refuse(state, -EINVAL,
				       "rs_vm_ops of %zu bytes has fields unknown to this version",
				       vm->size);
	if (mine->resume == NULL || (outgoing && mine->stop == NULL))
		return rs_state_refuse(state, -EINVAL, "rs_vm_ops lacks %s",
				       mine->resume == NULL ? "resume" : "stop");
	return 0;
}

static int check_stream(struct rs_state *state, struct rs_stream *stream, bool outgoing)
{
	unsigned needed = outgoing ? RS_STREAM_WRITE : RS_STREAM_READ;

	if (rs_stream_flags(stream) & needed)
		return 0;
	return rs_state_refuse(state, -EINVAL, "the stream cannot be %s",
			       outgoing ? "written" : "read");
}

static void warn(void *opaque, const char *text)
{
	rs_migration_warn(opaque, text);
}

/* Claim the state and get everything ready, in the caller's thread. No stream: it is opened later. */
static int begin(struct rs_state *state, struct rs_stream *stream, const struct rs_vm_ops *vm,
		 void *opaque, bool outgoing)
{
	struct rs_vm_ops mine = { 0 };
	int result = check_vm(state, vm, outgoing, &mine);

	if (result == 0 && stream != NULL)
		result = check_stream(state, stream, outgoing);
	if (result == 0)
		result = rs_phase_enter(state, RS_CALL_MIGRATE);
	if (result != 0)
		return result;
	if (rs_migration_new(state, &mine, opaque, outgoing) == NULL) {
		rs_phase_leave(state, RS_CALL_MIGRATE, -ENOMEM);
		return rs_state_refuse(state, -ENOMEM, "no memory for a migration");
	}
	rs_counters_begin(&state->counters);
	rs_blocktime_reset(state->blocktime);
	if (stream != NULL)
		rs_session_open(state);
	else /* while it waits for a peer regions may come and go */
		rs_session_open_unheeding(state);
	state->session.warn = warn;
	state->session.warn_opaque = state->migration;
	rs_migration_begin(state->migration);
	return 0;
}

/* What becomes of the migration is known, and nothing of it is left to do. */
static int end(struct rs_state *state, int result)
{
	rs_migration_set_ended(state->migration, result);
	rs_session_close(state);
	rs_phase_leave(state, RS_CALL_MIGRATE, result);
	return result;
}

static void attach(struct rs_state *state, struct rs_stream *stream)
{
	rs_stream_set_stall_timeout(stream, (unsigned)rs_params_number(&state->params,
								       RS_PARAM_STALL_TIMEOUT));
	/* Cancelled before it got here: nothing may wait for the peer any more. */
	if (rs_session_attach(state, stream) != 0)
		rs_stream_shutdown(stream);
}

/* It has begun, and those who want to know have been told. */
static int run_over(struct rs_state *state, struct rs_opening *opening)
{
	struct rs_migration *migration = state->migration;
	struct rs_stream *stream = opening->stream;

	migration->opening = opening;
	attach(state, stream);
	int result = migration->outgoing ? rs_migration_run_out(migration, stream)
					 : rs_migration_run_in(migration, stream);

	rs_session_detach(state);
	migration->opening = NULL;
	return result;
}

/* Over a stream of the embedder's; of the opening only a channel is ours. */
static int run(struct rs_state *state, struct rs_stream *stream)
{
	struct rs_opening opening = { .stream = stream };

	rs_migration_tell_begin(state->migration);
	int result = run_over(state, &opening);

	rs_opening_close(&opening, NULL);
	return end(state, result);
}

int rs_migrate_out(struct rs_state *state, struct rs_stream *stream, const struct rs_vm_ops *vm,
		   void *opaque)
{
	int result = begin(state, stream, vm, opaque, true);

	return result != 0 ? result : run(state, stream);
}

int rs_migrate_in(struct rs_state *state, struct rs_stream *stream, const struct rs_vm_ops *vm,
		  void *opaque)
{
	int result = begin(state, stream, vm, opaque, false);

	return result != 0 ? result : run(state, stream);
}

/* ---- in a thread --------------------------------------------------------------------------- */

static int refuse_thread(struct rs_state *state, int code)
{
	return rs_state_refuse(state, code,
			       code == -EBUSY
				   ? "the last migration that was started has not been waited for"
				   : "no thread for a migration");
}

/*
 * Close a stream of ours. Without an answer, nobody but the command at its other end can know whether
 * the guest arrived: if that command failed, it is in doubt.
 */
static int close_stream(struct rs_state *state, struct rs_opening *opening, int result)
{
	struct rs_error error = { 0 };

	if (rs_opening_close(opening, &error) == 0 || result != 0)
		return result;
	rs_session_fail_with(state, &error);
	return RS_ERROR_IN_DOUBT;
}

/* The thread of a started migration. */
static int run_started(struct rs_state *state, struct rs_opening *opening)
{
	if (!rs_opening_is_ours(opening))
		return run(state, opening->stream);
	rs_migration_tell_begin(state->migration);
	opening->needs_channel = rs_migration_preempts(state->migration);
	int result = rs_opening_open(opening, state);

	/* To wait for a peer is no part of the migration's time. */
	rs_counters_begin(&state->counters);
	rs_session_heed_regions(state);
	if (result == 0)
		result = run_over(state, opening);
	else
		rs_counters_end(&state->counters, 0);
	return end(state, close_stream(state, opening, result));
}

static int start(struct rs_state *state, const struct rs_opening *opening,
		 const struct rs_vm_ops *vm, void *opaque, bool outgoing)
{
	/* First, so that a refusal leaves the last migration as it is: it may have to be settled.
	 */
	if (rs_background_is_busy(state))
		return refuse_thread(state, -EBUSY);
	int result = begin(state, opening->stream, vm, opaque, outgoing);

	if (result != 0)
		return result;
	result = rs_background_start(state, opening, run_started);
	if (result == 0)
		return 0;
	rs_session_fail(state, result, "no thread for a migration");
	return refuse_thread(state, end(state, result));
}

int rs_migrate_start_out(struct rs_state *state, struct rs_stream *stream,
			 const struct rs_vm_ops *vm, void *opaque)
{
	return start(state, &(struct rs_opening){ .stream = stream }, vm, opaque, true);
}

int rs_migrate_start_in(struct rs_state *state, struct rs_stream *stream,
			const struct rs_vm_ops *vm, void *opaque)
{
	return start(state, &(struct rs_opening){ .stream = stream }, vm, opaque, false);
}

int rs_migrate_start_connect(struct rs_state *state, const char *address, unsigned timeout_ms,
			     const struct rs_vm_ops *vm, void *opaque)
{
	const struct rs_opening opening = { .address = address, .timeout_ms = timeout_ms };
	struct rs_address parsed;
	struct rs_error error = { 0 };

	if (rs_address_parse(address, &parsed, &error) != 0)
		return rs_state_refuse(state, error.code, "%s", error.text);
	return start(state, &opening, vm, opaque, true);
}

int rs_migrate_start_accept(struct rs_state *state, struct rs_listener *listener,
			    unsigned timeout_ms, const struct rs_vm_ops *vm, void *opaque)
{
	const struct rs_opening opening = { .listener = listener, .timeout_ms = timeout_ms };

	return start(state, &opening, vm, opaque, false);
}

/* ---- settling ------------------------------------------------------------------------------ */

/* What could not be settled stays in doubt. */
static int end_settling(struct rs_state *state, int result)
{
	rs_phase_leave(state, RS_CALL_SETTLE,
		       rs_migrate_status(state) == RS_STATUS_IN_DOUBT ? RS_ERROR_IN_DOUBT : 0);
	return result;
}

/* Claim the state if there is something to settle in that direction. */
static int begin_settling(struct rs_state *state, unsigned statuses, int outgoing)
{
	int result = rs_phase_enter(state, RS_CALL_SETTLE);

	if (result != 0)
		return result;
	const struct rs_migration *migration = state->migration;

	if (migration != NULL && (statuses >> rs_migrate_status(state) & 1) != 0 &&
	    (outgoing < 0 || (migration->outgoing == (outgoing != 0) && migration->two_way)))
		return 0;
	return end_settling(state, rs_state_refuse(state, -EINVAL,
						   "there is no migration to settle here"));
}

/* A paused postcopy that nobody will recover; the migration's thread does the rest. */
static int end_postcopy(struct rs_state *state, enum rs_resolution resolution)
{
	pthread_mutex_lock(&state->lock);
	struct rs_migration *migration =
	    state->phase == RS_PHASE_MIGRATING ? state->migration : NULL;

	pthread_mutex_unlock(&state->lock);
	/* What of its memory never came is at the other end. */
	if (migration != NULL && !migration->outgoing && resolution == RS_RESOLVE_RUN)
		return rs_state_refuse(state, -EINVAL,
				       "the guest's memory is not whole at the destination");
	if (migration == NULL || !rs_recovery_end_by_decree(migration, resolution))
		return rs_state_refuse(
		    state, -EINVAL,
		    "there is no migration to settle here: it waits for nothing, or "
		    "is being recovered");
	return 0;
}

int rs_migrate_resolve(struct rs_state *state, enum rs_resolution resolution)
{
	if (resolution != RS_RESOLVE_RUN && resolution != RS_RESOLVE_DISCARD)
		return rs_state_refuse(state, -EINVAL, "%d is no resolution", (int)resolution);
	if (rs_migrate_status(state) == RS_STATUS_POSTCOPY_PAUSED)
		return end_postcopy(state, resolution);
	int result = begin_settling(state, 1u << RS_STATUS_IN_DOUBT, -1);

	if (result != 0)
		return result;
	return end_settling(state, rs_handover_resolve(state->migration, resolution));
}

static int reconnect(struct rs_state *state, struct rs_stream *stream,
		     int (*work)(struct rs_migration *migration))
{
	struct rs_migration *migration = state->migration;
	struct rs_error before;

	/* Why it had to be settled stays the migration's error, unless this fails as well. */
	rs_error_get(state, RS_ERROR_OF_MIGRATION, &before);
	rs_session_open_unheeding(state);
	attach(state, stream);
	migration->stream = stream;
	int result = work(migration);

	if (result == 0 && before.code != 0)
		rs_session_fail_with(state, &before);
	rs_session_detach(state);
	rs_session_close(state);
	return end_settling(state, result);
}

#define SETTLED_AT_SOURCE                                                                          \
	(1u << RS_STATUS_IN_DOUBT | 1u << RS_STATUS_FAILED | 1u << RS_STATUS_CANCELLED)
#define SETTLED_AT_DESTINATION                                                                     \
	(1u << RS_STATUS_IN_DOUBT | 1u << RS_STATUS_FAILED | 1u << RS_STATUS_COMPLETED)

int rs_migrate_reconnect_out(struct rs_state *state, struct rs_stream *stream)
{
	int result = begin_settling(state, SETTLED_AT_SOURCE, 1);

	return result != 0 ? result : reconnect(state, stream, rs_handover_reconnect_out);
}

int rs_migrate_reconnect_in(struct rs_state *state, struct rs_stream *stream)
{
	int result = begin_settling(state, SETTLED_AT_DESTINATION, 0);

	return result != 0 ? result : reconnect(state, stream, rs_handover_reconnect_in);
}
