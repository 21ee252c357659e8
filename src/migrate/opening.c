/* SPDX-License-Identifier: MIT */
#include "migrate/opening.h"

#include "migrate/migration.h"
#include "transport/address.h"
#include "transport/opening.h"

#include <sys/eventfd.h>
#include <unistd.h>

bool rs_opening_is_ours(const struct rs_opening *opening)
{
	return opening->address != NULL || opening->listener != NULL;
}

static int open_until(struct rs_opening *opening, const struct rs_deadline *deadline,
		      struct rs_stream **stream, struct rs_error *error)
{
	if (opening->address != NULL)
		return rs_stream_connect_until(opening->address, deadline, stream, error);
	return rs_listener_accept_until(opening->listener, deadline, stream, error);
}

/* One peer it is: whoever comes later is to find nobody. */
static void close_listener(struct rs_opening *opening)
{
	rs_listener_close(opening->listener);
	opening->listener = NULL;
}

int rs_opening_open(struct rs_opening *opening, struct rs_state *state)
{
	struct rs_error error = { 0 };

	int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (wake_fd < 0)
		return rs_session_fail(state, -errno, "cannot wait for a connection: %s",
				       rs_errno_text(-errno));
	const struct rs_deadline deadline = rs_deadline_after_ms(opening->timeout_ms, wake_fd);
	int result = rs_session_attach_wait(state, wake_fd);

	if (result == 0) {
		result = open_until(opening, &deadline, &opening->stream, &error);
		rs_session_detach(state);
	}
	close(wake_fd);
	opening->owns_stream = result == 0;
	if (!opening->needs_channel || result != 0)
		close_listener(opening);
	if (result != 0 && rs_session_code(state) == 0)
		return rs_session_fail_with(state, &error);
	return rs_session_code(state);
}

/* ---- the channel --------------------------------------------------------------------------- */

static int open_channel_by_vm(struct rs_migration *migration, struct rs_stream **stream)
{
	struct rs_state *state = migration->state;

	if (migration->vm.open_channel == NULL)
		return rs_session_fail(
		    state, -EINVAL,
		    "postcopy-preempt needs a second connection, and the VMM has no "
		    "open_channel callback");
	int result = migration->vm.open_channel(migration->opaque, stream);

	return result < 0 ? rs_session_fail(state, result,
					    "the VMM failed to open the channel for preempt")
			  : rs_session_code(state);
}

static int open_channel_here(struct rs_opening *opening, struct rs_state *state)
{
	struct rs_error error = { 0 };
	int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (wake_fd < 0)
		return rs_session_fail(state, -errno, "cannot wait for a connection: %s",
				       rs_errno_text(-errno));
	/* The peer has opened it already, or is about to. */
	unsigned timeout_ms = (unsigned)rs_params_number(&state->params, RS_PARAM_STALL_TIMEOUT);
	const struct rs_deadline deadline = rs_deadline_after_ms(timeout_ms, wake_fd);

	rs_session_set_wake_fd(state, wake_fd);
	int result = rs_session_code(state);

	if (result == 0)
		result = open_until(opening, &deadline, &opening->channel, &error);
	rs_session_set_wake_fd(state, -1);
	close(wake_fd);
	if (result != 0 && rs_session_code(state) == 0)
		return rs_session_fail(state, error.code, "the channel for preempt: %s",
				       error.text);
	return rs_session_code(state);
}

int rs_opening_open_channel(struct rs_opening *opening, struct rs_migration *migration)
{
	bool here = opening->address != NULL || opening->listener != NULL;
	int result = here ? open_channel_here(opening, migration->state)
			  : open_channel_by_vm(migration, &opening->channel);

	close_listener(opening);
	if (result == 0)
		rs_stream_set_stall_timeout(opening->channel,
					    (unsigned)rs_params_number(&migration->state->params,
								       RS_PARAM_STALL_TIMEOUT));
	return result;
}

int rs_opening_close(struct rs_opening *opening, struct rs_error *error)
{
	struct rs_address address;

	rs_listener_close(opening->listener);
	/* fd:N was handed over with the call, and not opened. */
	if (opening->stream == NULL && opening->address != NULL &&
	    rs_address_parse(opening->address, &address, NULL) == 0 &&
	    address.kind == RS_ADDRESS_FD)
		close(address.fd);
	rs_stream_close(opening->channel, NULL);
	int result = 0;

	if (opening->owns_stream)
		result = rs_stream_close(opening->stream, error);
	*opening = (struct rs_opening){ 0 };
	return result;
}
