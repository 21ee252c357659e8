/* SPDX-License-Identifier: MIT */
#include "api/opening.h"

#include "transport/address.h"
#include "transport/opening.h"

#include <sys/eventfd.h>
#include <unistd.h>

bool rs_opening_is_ours(const struct rs_opening *opening)
{
	return opening->address != NULL || opening->listener != NULL;
}

static int open_until(struct rs_opening *opening, const struct rs_deadline *deadline,
		      struct rs_error *error)
{
	if (opening->address != NULL)
		return rs_stream_connect_until(opening->address, deadline, &opening->stream, error);
	return rs_listener_accept_until(opening->listener, deadline, &opening->stream, error);
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
		result = open_until(opening, &deadline, &error);
		rs_session_detach(state);
	}
	close(wake_fd);
	/* One peer it is: whoever comes later is to find nobody. */
	rs_listener_close(opening->listener);
	opening->listener = NULL;
	if (result != 0 && rs_session_code(state) == 0)
		return rs_session_fail_with(state, &error);
	return rs_session_code(state);
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
	int result = rs_stream_close(opening->stream, error);

	*opening = (struct rs_opening){ 0 };
	return result;
}
