/* SPDX-License-Identifier: MIT */
#include "api/phase.h"
#include "base/checked.h"
#include "migrate/recovery.h"
#include "postcopy/blocktime.h"
#include "transport/address.h"

#include <ramsync/postcopy.h>
#include <string.h>

/* ---- switching over ------------------------------------------------------------------------ */

static int want_postcopy_locked(struct rs_state *state)
{
	struct rs_migration *migration = state->migration;
	enum rs_status status = rs_migrate_status(state);

	if (state->phase != RS_PHASE_MIGRATING || migration == NULL || !migration->outgoing)
		return -ESRCH;
	if (!rs_migration_may_postcopy(migration))
		return -EINVAL;
	if (status != RS_STATUS_SETUP && status != RS_STATUS_ACTIVE)
		return -EALREADY;
	atomic_store_explicit(&migration->postcopy_wanted, true, memory_order_relaxed);
	return 0;
}

int rs_migrate_start_postcopy(struct rs_state *state)
{
	pthread_mutex_lock(&state->lock);
	int result = want_postcopy_locked(state);

	pthread_mutex_unlock(&state->lock);
	switch (result) {
	case 0:
		return 0;
	case -ESRCH:
		return rs_state_refuse(state, result, "no outgoing migration runs");
	case -EINVAL:
		return rs_state_refuse(state, result, "the parameter postcopy-ram is off");
	default:
		return rs_state_refuse(state, result,
				       "too late for postcopy: the guest was stopped already");
	}
}

/* ---- connections --------------------------------------------------------------------------- */

/* The migration that runs, or NULL. */
static struct rs_migration *running(struct rs_state *state)
{
	pthread_mutex_lock(&state->lock);
	struct rs_migration *migration =
	    state->phase == RS_PHASE_MIGRATING ? state->migration : NULL;

	pthread_mutex_unlock(&state->lock);
	return migration;
}

int rs_migrate_pause(struct rs_state *state)
{
	struct rs_migration *migration = running(state);

	if (migration != NULL && rs_recovery_break(migration))
		return 0;
	return rs_state_refuse(state, -EINVAL, "no postcopy runs that could be paused");
}

static int offer(struct rs_state *state, const struct rs_opening *opening)
{
	struct rs_migration *migration = running(state);
	const char *why = "no postcopy waits for a connection";
	int result = migration != NULL ? rs_recovery_offer(migration, opening, &why) : -EINVAL;

	return result == 0 ? 0 : rs_state_refuse(state, result, "%s", why);
}

int rs_migrate_recover(struct rs_state *state, struct rs_stream *stream)
{
	if (stream == NULL)
		return rs_state_refuse(state, -EINVAL, "no stream to recover over");
	return offer(state, &(struct rs_opening){ .stream = stream, .owns_stream = true });
}

int rs_migrate_recover_connect(struct rs_state *state, const char *address, unsigned timeout_ms)
{
	struct rs_address parsed;
	struct rs_error error = { 0 };

	if (rs_address_parse(address, &parsed, &error) != 0)
		return rs_state_refuse(state, error.code, "%s", error.text);
	return offer(state, &(struct rs_opening){ .address = address, .timeout_ms = timeout_ms });
}

int rs_migrate_recover_accept(struct rs_state *state, struct rs_listener *listener,
			      unsigned timeout_ms)
{
	if (listener == NULL)
		return rs_state_refuse(state, -EINVAL, "no listener to recover over");
	return offer(state, &(struct rs_opening){ .listener = listener, .timeout_ms = timeout_ms });
}

/* ---- the destination's memory -------------------------------------------------------------- */

int rs_postcopy_set_userfaultfd(struct rs_state *state, int userfaultfd)
{
	pthread_mutex_lock(&state->lock);
	bool idle = state->phase == RS_PHASE_IDLE;

	if (idle)
		state->userfaultfd = userfaultfd;
	pthread_mutex_unlock(&state->lock);
	return idle ? 0
		    : rs_state_refuse(state, -EBUSY,
				      "the userfaultfd cannot be changed during a migration");
}

int rs_postcopy_register_vcpu(struct rs_state *state, unsigned vcpu, int thread_id)
{
	int result = rs_blocktime_register(state->blocktime, vcpu, thread_id);

	return result == 0
		   ? 0
		   : rs_state_refuse(state, result, "vCPU %u cannot be registered: %s", vcpu,
				     result == -EINVAL ? "its number is too large"
						       : rs_errno_text(result));
}

int rs_postcopy_latency_get(const struct rs_state *state, struct rs_postcopy_latency *latency)
{
	struct rs_postcopy_latency mine = { .size = latency->size };
	struct rs_blocktime_summary summary;

	if (mine.size == 0)
		return -EINVAL;
	rs_blocktime_read(state->blocktime, &summary);
	mine.faults = summary.faults;
	mine.mean_ns = summary.faults != 0 ? summary.latency_ns / summary.faults : 0;
	mine.max_ns = summary.latency_max_ns;
	mine.all_blocked_ns = summary.all_blocked_ns;
	memcpy(mine.distribution, summary.latency, sizeof(mine.distribution));
	memset(latency, 0, mine.size);
	memcpy(latency, &mine, rs_min_u64(mine.size, sizeof(mine)));
	return 0;
}

uint64_t rs_postcopy_vcpu_blocked_ns(const struct rs_state *state, unsigned vcpu)
{
	return rs_blocktime_of_vcpu(state->blocktime, vcpu);
}
