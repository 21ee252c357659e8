/* SPDX-License-Identifier: MIT */
/* The sending end of an address. */
#include "base/error.h"
#include "transport/address.h"
#include "transport/opening.h"
#include "transport/single_stream.h"
#include "transport/tcp.h"
#include "transport/unix_socket.h"

#include <unistd.h>

int rs_stream_connect(const char *address, unsigned timeout_ms, struct rs_stream **stream,
		      struct rs_error *error)
{
	const struct rs_deadline deadline = rs_deadline_after_ms(timeout_ms, -1);

	return rs_stream_connect_until(address, &deadline, stream, error);
}

int rs_stream_connect_until(const char *text, const struct rs_deadline *deadline,
			    struct rs_stream **stream, struct rs_error *error)
{
	struct rs_address address;
	int code, fd;

	if (error != NULL)
		*error = (struct rs_error){ 0 };
	code = rs_address_parse(text, &address, error);
	if (code != 0)
		return code;
	if (address.kind == RS_ADDRESS_TCP)
		fd = rs_tcp_connect(&address, deadline, error);
	else if (address.kind == RS_ADDRESS_UNIX)
		fd = rs_unix_connect(&address, deadline, error);
	else
		return rs_single_stream_open(&address, false, deadline, stream, NULL, error);
	if (fd < 0)
		return fd;
	code = rs_stream_from_fd(fd, RS_STREAM_TWO_WAY, stream);
	if (code != 0) {
		close(fd);
		return rs_error_setf(error, code, "cannot open %s: %s", text, rs_errno_text(code));
	}
	return 0;
}
