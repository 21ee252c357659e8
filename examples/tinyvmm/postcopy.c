/* SPDX-License-Identifier: MIT */
#include "tinyvmm/postcopy.h"
#include "text/fail.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>

/* ---- when it begins ------------------------------------------------------------------------ */

int postcopy_set_params(struct migration *migration, const struct options *options,
			struct rs_error *error)
{
	struct rs_state *state = migration->vm->state;
	const char *bandwidth = options->max_postcopy_bandwidth;
	int ret = 0;

	migration->postcopy = options->postcopy;
	migration->postcopy_after = options->postcopy_after;
	if (options->postcopy)
		ret = rs_param_set(state, "postcopy-ram", "on");
	if (!ret && options->preempt)
		ret = rs_param_set(state, "postcopy-preempt", "on");
	if (!ret && bandwidth)
		ret = rs_param_set(state, "max-postcopy-bandwidth", bandwidth);
	return fail_call(state, ret, error);
}

static bool is_first_or_pass(const struct rs_event *event)
{
	return event->type == RS_EVENT_PASS ||
	       (event->type == RS_EVENT_STATUS && event->status == RS_STATUS_SETUP);
}

static void look_whether_paused(struct migration *migration, const struct rs_event *event)
{
	if (event->type == RS_EVENT_STATUS)
		migration->paused = event->status == RS_STATUS_POSTCOPY_PAUSED;
}

void postcopy_event_out(struct migration *migration, const struct rs_event *event)
{
	look_whether_paused(migration, event);
	/* Refused if the guest is being stopped already: then it has little left to send. */
	if (migration->postcopy && is_first_or_pass(event) &&
	    event->pass >= migration->postcopy_after)
		rs_migrate_start_postcopy(migration->vm->state);
}

void postcopy_event_in(struct migration *migration, const struct rs_event *event)
{
	look_whether_paused(migration, event);
	/* It was taken of memory that had not come yet. */
	if (event->type == RS_EVENT_STATUS && event->status == RS_STATUS_POSTCOPY_ACTIVE)
		migration->digest = 0;
}

/* ---- after a break ------------------------------------------------------------------------- */

static int listen_again(struct migration *migration, const char *address, struct rs_error *error)
{
	struct rs_state *state = migration->vm->state;
	struct rs_listener *listener;
	char there[MIGRATION_ADDRESS];
	int ret = rs_stream_listen(address, &listener, error);

	if (ret)
		return ret;
	snprintf(there, sizeof(there), "%s", rs_listener_address(listener));
	ret = rs_migrate_recover_accept(state, listener, CONNECT_MS);
	if (ret) {
		rs_listener_close(listener);
		return fail_call(state, ret, error);
	}
	snprintf(migration->address, sizeof(migration->address), "%s", there);
	fprintf(stderr, "tinyvmm: listening on %s\n", there);
	return 0;
}

static int connect_again(struct migration *migration, const char *address, struct rs_error *error)
{
	struct rs_state *state = migration->vm->state;
	int ret = rs_migrate_recover_connect(state, address, CONNECT_MS);

	if (!ret)
		snprintf(migration->address, sizeof(migration->address), "%s", address);
	return fail_call(state, ret, error);
}

int postcopy_recover(struct migration *migration, const char *address, struct rs_error *error)
{
	int ret;

	/* Before: it may fail, and be paused again, at once. */
	if (!atomic_exchange(&migration->paused, false))
		return fail(error, -EINVAL, "no postcopy waits for a connection");
	ret = migration->outgoing ? connect_again(migration, address, error)
				  : listen_again(migration, address, error);
	if (ret)
		migration->paused = true;
	return ret;
}

int postcopy_resolve(struct migration *migration, enum rs_resolution resolution,
		     struct rs_error *error)
{
	struct rs_state *state = migration->vm->state;
	int ret;

	if (!migration->outgoing && resolution == RS_RESOLVE_RUN)
		return fail(error, -EINVAL, "the guest's memory is not whole here");
	/* Else it is until we say otherwise. */
	if (!atomic_exchange(&migration->paused, false))
		return fail(error, -EBUSY, "a connection is being made, or it ends");
	/* vCPUs that wait for a page would go on with zeros. */
	if (!migration->outgoing)
		vm_doom(migration->vm);
	/* What follows does so when the migration has ended, which is soon. */
	ret = rs_migrate_resolve(state, resolution);
	if (ret)
		migration->paused = true;
	return fail_call(state, ret, error);
}

/* ---- what it cost -------------------------------------------------------------------------- */

void postcopy_print(const struct vm *vm, FILE *answer)
{
	struct rs_postcopy_latency latency = { .size = sizeof(latency) };

	rs_postcopy_latency_get(vm->state, &latency);
	fprintf(answer, "faults: %" PRIu64 "\n", latency.faults);
	fprintf(answer, "fault-mean-us: %.1f\n", (double)latency.mean_ns / 1e3);
	fprintf(answer, "fault-max-us: %.1f\n", (double)latency.max_ns / 1e3);
	fprintf(answer, "all-blocked-ms: %.3f\n", (double)latency.all_blocked_ns / 1e6);
	for (unsigned i = 0; i < vm->config.vcpus; i++)
		fprintf(answer, "vcpu%u-blocked-ms: %.3f\n", i,
			(double)rs_postcopy_vcpu_blocked_ns(vm->state, i) / 1e6);
}
