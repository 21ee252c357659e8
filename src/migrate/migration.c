/* SPDX-License-Identifier: MIT */
#include "migrate/migration.h"

#include "base/clock.h"

#include <stdlib.h>

#define TO(status) (1u << RS_STATUS_##status)

static const struct {
	const char *name;
	unsigned next; /* statuses */
} statuses[] = {
	[RS_STATUS_NONE] = { "none", TO(SETUP) },
	[RS_STATUS_SETUP] = { "setup", TO(ACTIVE) | TO(CANCELLING) | TO(FAILED) },
	[RS_STATUS_ACTIVE] = { "active", TO(DEVICE) | TO(COMPLETED) | TO(CANCELLING) | TO(FAILED) |
					     TO(IN_DOUBT) | TO(POSTCOPY_ACTIVE) |
					     TO(POSTCOPY_PAUSED) },
	[RS_STATUS_DEVICE] = { "device", TO(COMPLETED) | TO(CANCELLING) | TO(FAILED) |
					     TO(IN_DOUBT) | TO(POSTCOPY_ACTIVE) |
					     TO(POSTCOPY_PAUSED) },
	[RS_STATUS_COMPLETED] = { "completed", TO(SETUP) },
	[RS_STATUS_FAILED] = { "failed", TO(SETUP) },
	[RS_STATUS_CANCELLING] = { "cancelling", TO(CANCELLED) },
	[RS_STATUS_CANCELLED] = { "cancelled", TO(SETUP) },
	[RS_STATUS_IN_DOUBT] = { "in-doubt", TO(COMPLETED) | TO(FAILED) },
	[RS_STATUS_POSTCOPY_ACTIVE] = { "postcopy-active", TO(COMPLETED) | TO(FAILED) |
							       TO(IN_DOUBT) | TO(POSTCOPY_PAUSED) },
	[RS_STATUS_POSTCOPY_PAUSED] = { "postcopy-paused",
					/* again, for another reason: no connection came about */
					TO(COMPLETED) | TO(FAILED) | TO(IN_DOUBT) |
					    TO(POSTCOPY_RECOVER) | TO(POSTCOPY_PAUSED) },
	[RS_STATUS_POSTCOPY_RECOVER] = { "postcopy-recover",
					 TO(COMPLETED) | TO(FAILED) | TO(IN_DOUBT) |
					     TO(POSTCOPY_ACTIVE) | TO(POSTCOPY_PAUSED) },
};

const char *rs_status_name(enum rs_status status)
{
	return (size_t)status < sizeof(statuses) / sizeof(statuses[0]) ? statuses[status].name
								       : "unknown";
}

struct rs_migration *rs_migration_new(struct rs_state *state, const struct rs_vm_ops *vm,
				      void *opaque, bool outgoing)
{
	struct rs_migration *migration = calloc(1, sizeof(*migration));

	if (migration == NULL)
		return NULL;
	migration->state = state;
	migration->vm = *vm;
	migration->opaque = opaque;
	migration->outgoing = outgoing;
	if (pthread_mutex_init(&migration->telling, NULL) != 0) {
		free(migration);
		return NULL;
	}

	pthread_mutex_lock(&state->lock);
	struct rs_migration *last = state->migration;

	state->migration = migration;
	pthread_mutex_unlock(&state->lock);
	rs_migration_free(last);
	return migration;
}

void rs_migration_free(struct rs_migration *migration)
{
	if (migration == NULL)
		return;
	pthread_mutex_destroy(&migration->telling);
	free(migration);
}

static void tell_locked(struct rs_migration *migration, enum rs_event_type type, const char *text)
{
	const struct rs_event event = {
		.size = sizeof(event),
		.type = type,
		.status = rs_migrate_status(migration->state),
		.pass = rs_counter_get(migration->state->counters.dirty_sync_count),
		.text = text,
	};

	if (migration->vm.event != NULL)
		migration->vm.event(migration->opaque, &event);
}

/* In postcopy two threads may have something to tell at once. */
static void tell(struct rs_migration *migration, enum rs_event_type type, const char *text)
{
	pthread_mutex_lock(&migration->telling);
	tell_locked(migration, type, text);
	pthread_mutex_unlock(&migration->telling);
}

void rs_migration_begin(struct rs_migration *migration)
{
	atomic_store_explicit(&migration->state->status, RS_STATUS_SETUP, memory_order_release);
}

void rs_migration_tell_begin(struct rs_migration *migration)
{
	tell(migration, RS_EVENT_STATUS, "");
}

static bool is_next(const struct rs_state *state, enum rs_status status)
{
	return (statuses[rs_migrate_status(state)].next >> status & 1) != 0;
}

void rs_migration_set_status_why(struct rs_migration *migration, enum rs_status status,
				 const char *why)
{
	struct rs_state *state = migration->state;

	/* One thread at a time goes from one status to the next; the others only look. */
	pthread_mutex_lock(&migration->telling);
	if (is_next(state, status)) {
		atomic_store_explicit(&state->status, (int)status, memory_order_release);
		tell_locked(migration, RS_EVENT_STATUS, why);
	}
	pthread_mutex_unlock(&migration->telling);
}

void rs_migration_set_status(struct rs_migration *migration, enum rs_status status)
{
	struct rs_state *state = migration->state;
	struct rs_error error = { 0 };

	if (status == RS_STATUS_FAILED || status == RS_STATUS_CANCELLED ||
	    status == RS_STATUS_IN_DOUBT)
		rs_error_get(state, RS_ERROR_OF_MIGRATION, &error);
	rs_migration_set_status_why(migration, status, error.text);
}

enum rs_status rs_migrate_status(const struct rs_state *state)
{
	return (enum rs_status)atomic_load_explicit(&state->status, memory_order_acquire);
}

void rs_migration_set_ended(struct rs_migration *migration, int result)
{
	if (result == 0) {
		rs_migration_set_status(migration, RS_STATUS_COMPLETED);
	} else if (result == RS_ERROR_IN_DOUBT) {
		rs_migration_set_status(migration, RS_STATUS_IN_DOUBT);
	} else if (rs_session_code(migration->state) == -ECANCELED &&
		   is_next(migration->state, RS_STATUS_CANCELLING)) {
		rs_migration_set_status(migration, RS_STATUS_CANCELLING);
		rs_migration_set_status(migration, RS_STATUS_CANCELLED);
	} else {
		rs_migration_set_status(migration, RS_STATUS_FAILED);
	}
}

void rs_migration_warn(struct rs_migration *migration, const char *text)
{
	tell(migration, RS_EVENT_WARNING, text);
}

void rs_migration_observe(struct rs_migration *migration, struct rs_observation observation)
{
	if (migration->vm.observe == NULL)
		return;
	observation.size = sizeof(observation);
	if (observation.name == NULL)
		observation.name = "";
	pthread_mutex_lock(&migration->telling);
	migration->vm.observe(migration->opaque, &observation);
	pthread_mutex_unlock(&migration->telling);
}

void rs_migration_tell_passes(struct rs_migration *migration)
{
	uint64_t passes = rs_counter_get(migration->state->counters.dirty_sync_count);

	if (passes == migration->passes)
		return;
	migration->passes = passes;
	tell(migration, RS_EVENT_PASS, "");
}

bool rs_migration_commit(struct rs_migration *migration)
{
	struct rs_state *state = migration->state;

	pthread_mutex_lock(&state->lock);
	if (rs_session_code(state) == 0)
		migration->committed = true;
	pthread_mutex_unlock(&state->lock);
	return migration->committed;
}

bool rs_migration_commit_unless_final(struct rs_migration *migration)
{
	struct rs_state *state = migration->state;

	pthread_mutex_lock(&state->lock);
	if (!state->session.final)
		migration->committed = true;
	pthread_mutex_unlock(&state->lock);
	return migration->committed;
}

int rs_migrate_cancel(struct rs_state *state)
{
	int result = -ESRCH;
	const char *handed_over = "was";

	pthread_mutex_lock(&state->lock);
	enum rs_status status = rs_migrate_status(state);
	bool committed = state->phase == RS_PHASE_MIGRATING && state->migration != NULL &&
			 state->migration->committed;

	if (committed) {
		result = -EALREADY;
	} else if (status == RS_STATUS_POSTCOPY_PAUSED || status == RS_STATUS_POSTCOPY_RECOVER) {
		/* A destination that was not told before the connection broke. */
		handed_over = "may have been";
		result = -EALREADY;
	} else if (status == RS_STATUS_CANCELLING || statuses[status].next & TO(CANCELLING)) {
		/* The migration thread wakes, and does and tells the rest. A failure that came
		 * first stays what it is. */
		rs_session_end_locked(state, -ECANCELED, "the migration was cancelled");
		rs_session_wake_locked(state);
		result = 0;
	}
	pthread_mutex_unlock(&state->lock);
	if (result == -ESRCH)
		return rs_state_refuse(state, result, "no migration runs that could be cancelled");
	if (result == -EALREADY)
		return rs_state_refuse(state, result,
				       "too late to cancel: the guest %s handed over", handed_over);
	return 0;
}

int rs_migrate_fail(struct rs_state *state, int code, const char *format, ...)
{
	va_list arguments;

	if (code >= 0)
		code = -EIO;
	va_start(arguments, format);
	pthread_mutex_lock(&state->lock);
	if (rs_session_is_mine_locked(state))
		rs_session_failv_locked(state, code, format, arguments);
	pthread_mutex_unlock(&state->lock);
	va_end(arguments);
	return code;
}

int rs_migration_fail_stream(struct rs_migration *migration)
{
	return rs_session_check_stream(migration->state, migration->stream);
}

int rs_migration_flush(struct rs_migration *migration)
{
	rs_stream_flush(migration->stream);
	return rs_migration_fail_stream(migration);
}

int rs_migration_take_over(struct rs_migration *migration)
{
	struct rs_state *state = migration->state;
	uint64_t since = rs_clock_ns();
	int result = migration->vm.resume(migration->opaque, RS_RESUME_ARRIVED);

	rs_counter_set(state->counters.resume_ns, rs_clock_ns() - since);
	return result < 0 ? rs_session_fail(state, result, "the VMM failed to resume the guest")
			  : 0;
}

int rs_migration_resume_vm(struct rs_migration *migration)
{
	if (!migration->vm_stopped)
		return 0;
	migration->vm_stopped = false;
	return migration->vm.resume(migration->opaque,
				    migration->outgoing ? RS_RESUME_STAYED : RS_RESUME_ARRIVED);
}
