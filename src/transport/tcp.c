/* SPDX-License-Identifier: MIT */
#include "transport/tcp.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/error.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 128

/* ---- names --------------------------------------------------------------------------------- */

static int resolve_code(int failure)
{
	switch (failure) {
	case EAI_SYSTEM:
		return -errno;
	case EAI_MEMORY:
		return -ENOMEM;
	default:
		return -EHOSTUNREACH;
	}
}

static int resolve(const struct rs_address *address, int family, int flags, struct addrinfo **found,
		   struct rs_error *error)
{
	const struct addrinfo hints = { .ai_family = family,
					.ai_socktype = SOCK_STREAM,
					.ai_flags = flags | AI_NUMERICSERV };
	const char *host = address->host[0] != '\0' ? address->host : NULL;
	int failure = getaddrinfo(host, address->port, &hints, found);
	int code;

	if (failure == 0)
		return 0;
	code = resolve_code(failure);
	return rs_error_setf(error, code, "cannot find the address of \"%s\" for %s: %s",
			     address->host, address->text,
			     failure == EAI_SYSTEM ? rs_errno_text(code) : gai_strerror(failure));
}

static int open_socket(const struct addrinfo *to)
{
	int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, to->ai_protocol);

	return fd < 0 ? -errno : fd;
}

void rs_tcp_set_nodelay(int fd)
{
	int on = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/* ---- connecting ---------------------------------------------------------------------------- */

static int wait_connected(int fd, const struct rs_deadline *deadline)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };
	int failure = 0;
	socklen_t bytes = sizeof(failure);
	int code = rs_deadline_poll(&poll_fd, 1, deadline);

	if (code != 0)
		return code;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &bytes) != 0)
		return -errno;
	return -failure;
}

/* The kernel may pick, as our own port, the very one on this machine that nobody listens on; TCP
 * then happily connects the socket to itself. */
static bool connected_to_itself(int fd)
{
	struct sockaddr_storage here = { 0 }, there = { 0 };
	socklen_t here_bytes = sizeof(here), there_bytes = sizeof(there);

	return getsockname(fd, (struct sockaddr *)&here, &here_bytes) == 0 &&
	       getpeername(fd, (struct sockaddr *)&there, &there_bytes) == 0 &&
	       here_bytes == there_bytes && memcmp(&here, &there, here_bytes) == 0;
}

static int connect_one(const struct addrinfo *to, const struct rs_deadline *deadline)
{
	int fd = open_socket(to);
	int code = 0;

	if (fd < 0)
		return fd;
	/* Interrupted is in progress, too: the connection goes on being made. */
	if (connect(fd, to->ai_addr, to->ai_addrlen) != 0)
		code =
		    errno == EINPROGRESS || errno == EINTR ? wait_connected(fd, deadline) : -errno;
	if (code == 0 && connected_to_itself(fd))
		code = -ECONNREFUSED;
	if (code == 0)
		return fd;
	close(fd);
	return code;
}

/* A share of the time that is left, so that one dead address does not use it all up. */
static struct rs_deadline share_of(const struct rs_deadline *deadline, unsigned tries_left)
{
	struct rs_deadline share = *deadline;
	uint64_t now = rs_clock_ns();

	if (deadline->ns != RS_DEADLINE_NEVER && now < deadline->ns)
		share.ns = now + (deadline->ns - now) / tries_left;
	return share;
}

int rs_tcp_connect(const struct rs_address *address, const struct rs_deadline *deadline,
		   struct rs_error *error)
{
	struct addrinfo *found, *to;
	unsigned tries_left = 0;
	int fd;

	if (address->host[0] == '\0' || strcmp(address->port, "0") == 0)
		return rs_error_setf(error, -EINVAL, "cannot connect to %s: want a host and a port",
				     address->text);
	fd = resolve(address, AF_UNSPEC, 0, &found, error);
	if (fd != 0)
		return fd;
	for (to = found; to != NULL; to = to->ai_next)
		tries_left++;
	fd = -EHOSTUNREACH;
	for (to = found; to != NULL && fd < 0 && fd != -ECANCELED; to = to->ai_next) {
		struct rs_deadline share = share_of(deadline, tries_left--);

		fd = connect_one(to, &share);
	}
	freeaddrinfo(found);
	if (fd < 0)
		return rs_error_setf(error, fd, "cannot connect to %s: %s", address->text,
				     rs_errno_text(fd));
	rs_tcp_set_nodelay(fd);
	return fd;
}

/* ---- listening ----------------------------------------------------------------------------- */

static int listen_one(const struct addrinfo *on, bool both_versions)
{
	int fd = open_socket(on);
	int yes = 1, no = 0, code;

	if (fd < 0)
		return fd;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (both_versions && on->ai_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
	if (bind(fd, on->ai_addr, on->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	code = -errno;
	close(fd);
	return code;
}

static int listen_family(const struct rs_address *address, int family, struct rs_error *error)
{
	bool everywhere = address->host[0] == '\0';
	struct addrinfo *found, *on;
	int fd = resolve(address, family, AI_PASSIVE, &found, error);

	if (fd != 0)
		return fd;
	fd = -EHOSTUNREACH;
	for (on = found; on != NULL && fd < 0; on = on->ai_next)
		fd = listen_one(on, everywhere);
	freeaddrinfo(found);
	if (fd < 0)
		return rs_error_setf(error, fd, "cannot listen on %s: %s", address->text,
				     rs_errno_text(fd));
	return fd;
}

int rs_tcp_listen(const struct rs_address *address, struct rs_error *error)
{
	int fd;

	if (address->host[0] != '\0')
		return listen_family(address, AF_UNSPEC, error);
	/* One IPv6 socket takes both. A machine without IPv6 is no reason to give up, a taken port
	 * is: only a part of the addresses would be ours. */
	fd = listen_family(address, AF_INET6, NULL);
	if (fd == -EADDRINUSE || fd == -EACCES)
		return rs_error_setf(error, fd, "cannot listen on %s: %s", address->text,
				     rs_errno_text(fd));
	return fd >= 0 ? fd : listen_family(address, AF_INET, error);
}

int rs_tcp_address(int fd, char *text, size_t bytes)
{
	struct sockaddr_storage here = { 0 };
	socklen_t here_bytes = sizeof(here);
	char host[RS_ADDRESS_HOST_BYTES], port[sizeof("65535")];

	if (getsockname(fd, (struct sockaddr *)&here, &here_bytes) != 0)
		return -errno;
	if (getnameinfo((struct sockaddr *)&here, here_bytes, host, sizeof(host), port,
			sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return -EINVAL;
	snprintf(text, bytes, here.ss_family == AF_INET6 ? "tcp:[%s]:%s" : "tcp:%s:%s", host, port);
	return 0;
}
