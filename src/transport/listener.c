/* SPDX-License-Identifier: MIT */
/*
 * The receiving end of an address: a socket that listens, or one stream that is opened at once,
 * so that what is wrong with it shows early, and given away by the first accept.
 */
#include "base/error.h"
#include "transport/address.h"
#include "transport/opening.h"
#include "transport/single_stream.h"
#include "transport/tcp.h"
#include "transport/unix_socket.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

struct rs_listener {
	/* immutable */
	enum rs_address_kind kind;
	char *text;
	int socket_fd; /* tcp:, unix:, else -1 */
	int wake_fd;   /* readable for good after shutdown */
	struct rs_unix_file unix_file;

	/* the thread that accepts */
	struct rs_stream *single; /* fd:, exec:, file: until it is accepted */
	int fifo_fd;              /* of single, if it is a named pipe, else -1 */
};

/* ---- opening ------------------------------------------------------------------------------- */

/* What to connect to: only of tcp: it is not what the caller said. */
static char *real_address(const struct rs_listener *listener, const struct rs_address *address)
{
	char text[RS_ADDRESS_HOST_BYTES + sizeof("tcp:[]:65535")];

	if (listener->kind != RS_ADDRESS_TCP)
		return strdup(address->text);
	return rs_tcp_address(listener->socket_fd, text, sizeof(text)) == 0 ? strdup(text) : NULL;
}

static int open_end(struct rs_listener *listener, const struct rs_address *address,
		    struct rs_error *error)
{
	const struct rs_deadline never = { .ns = RS_DEADLINE_NEVER, .wake_fd = -1 };

	if (listener->kind == RS_ADDRESS_TCP)
		listener->socket_fd = rs_tcp_listen(address, error);
	else if (listener->kind == RS_ADDRESS_UNIX)
		listener->socket_fd = rs_unix_listen(address, &listener->unix_file, error);
	else
		return rs_single_stream_open(address, true, &never, &listener->single,
					     &listener->fifo_fd, error);
	return listener->socket_fd < 0 ? listener->socket_fd : 0;
}

static int listener_init(struct rs_listener *listener, const struct rs_address *address,
			 struct rs_error *error)
{
	int code;

	listener->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (listener->wake_fd < 0)
		return rs_error_setf(error, -errno, "cannot listen on %s: %s", address->text,
				     rs_errno_text(-errno));
	code = open_end(listener, address, error);
	if (code != 0)
		return code;
	listener->text = real_address(listener, address);
	if (listener->text == NULL)
		return rs_error_setf(error, -ENOMEM, "cannot listen on %s: out of memory",
				     address->text);
	return 0;
}

int rs_stream_listen(const char *text, struct rs_listener **out, struct rs_error *error)
{
	struct rs_listener *listener;
	struct rs_address address;
	int code;

	if (error != NULL)
		*error = (struct rs_error){ 0 };
	code = rs_address_parse(text, &address, error);
	if (code != 0)
		return code;
	listener = calloc(1, sizeof(*listener));
	if (listener == NULL)
		return rs_error_setf(error, -ENOMEM, "cannot listen on %s: out of memory", text);
	listener->kind = address.kind;
	listener->socket_fd = -1;
	listener->fifo_fd = -1;
	code = listener_init(listener, &address, error);
	if (code != 0) {
		rs_listener_close(listener);
		return code;
	}
	*out = listener;
	return 0;
}

void rs_listener_close(struct rs_listener *listener)
{
	if (listener == NULL)
		return;
	if (listener->socket_fd >= 0) {
		if (listener->kind == RS_ADDRESS_UNIX && listener->text != NULL)
			rs_unix_unlink(listener->text + strlen("unix:"), &listener->unix_file);
		close(listener->socket_fd);
	}
	rs_stream_close(listener->single, NULL);
	if (listener->wake_fd >= 0)
		close(listener->wake_fd);
	free(listener->text);
	free(listener);
}

/* ---- accepting ----------------------------------------------------------------------------- */

static int accept_failed(const struct rs_listener *listener, int code, struct rs_error *error)
{
	return rs_error_setf(error, code, "nothing accepted on %s: %s", listener->text,
			     code == -ECANCELED ? "the listener was shut down"
						: rs_errno_text(code));
}

/* Until fd (or nothing, if it is -1) is ready. */
static int wait_ready(const struct rs_listener *listener, int fd,
		      const struct rs_deadline *deadline)
{
	struct pollfd fds[2] = { { .fd = fd, .events = POLLIN },
				 { .fd = listener->wake_fd, .events = POLLIN } };
	int code = rs_deadline_poll(fds, 2, deadline);

	return fds[1].revents != 0 ? -ECANCELED : code;
}

static int accept_single(struct rs_listener *listener, const struct rs_deadline *deadline,
			 struct rs_stream **stream, struct rs_error *error)
{
	/* Only a named pipe has to be waited for; a deadline long past just looks. */
	const struct rs_deadline past = { .ns = 0, .wake_fd = deadline->wake_fd };
	int code;

	if (listener->single == NULL)
		return rs_error_setf(error, -ENOTCONN, "%s gives one stream, which was accepted",
				     listener->text);
	code = wait_ready(listener, listener->fifo_fd, listener->fifo_fd >= 0 ? deadline : &past);
	if (code == -ETIMEDOUT && listener->fifo_fd < 0)
		code = 0;
	if (code != 0)
		return accept_failed(listener, code, error);
	*stream = listener->single;
	listener->single = NULL;
	return 0;
}

/* What befell one peer that was about to connect, and says nothing about the next. */
static bool peer_gone(int code)
{
	switch (code) {
	case -EAGAIN:
	case -EINTR:
	case -ECONNABORTED:
	case -EPROTO:
	case -ENETDOWN:
	case -ENOPROTOOPT:
	case -EHOSTDOWN:
	case -ENONET:
	case -EHOSTUNREACH:
	case -ENETUNREACH:
		return true;
	default:
		return false;
	}
}

static int accept_socket(const struct rs_listener *listener, const struct rs_deadline *deadline)
{
	for (;;) {
		int code = wait_ready(listener, listener->socket_fd, deadline);
		int fd;

		if (code != 0)
			return code;
		fd = accept4(listener->socket_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0)
			return fd;
		if (!peer_gone(-errno))
			return -errno;
	}
}

int rs_listener_accept(struct rs_listener *listener, unsigned timeout_ms, struct rs_stream **stream,
		       struct rs_error *error)
{
	const struct rs_deadline deadline = rs_deadline_after_ms(timeout_ms, -1);

	return rs_listener_accept_until(listener, &deadline, stream, error);
}

int rs_listener_accept_until(struct rs_listener *listener, const struct rs_deadline *deadline,
			     struct rs_stream **stream, struct rs_error *error)
{
	int fd, code;

	if (error != NULL)
		*error = (struct rs_error){ 0 };
	if (listener->socket_fd < 0)
		return accept_single(listener, deadline, stream, error);
	fd = accept_socket(listener, deadline);
	if (fd < 0)
		return accept_failed(listener, fd, error);
	if (listener->kind == RS_ADDRESS_TCP)
		rs_tcp_set_nodelay(fd);
	code = rs_stream_from_fd(fd, RS_STREAM_TWO_WAY, stream);
	if (code != 0) {
		close(fd);
		return accept_failed(listener, code, error);
	}
	return 0;
}

const char *rs_listener_address(const struct rs_listener *listener)
{
	return listener->text;
}

void rs_listener_shutdown(struct rs_listener *listener)
{
	eventfd_write(listener->wake_fd, 1);
}
