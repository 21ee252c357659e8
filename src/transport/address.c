/* SPDX-License-Identifier: MIT */
#include "transport/address.h"

#include "base/error.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

static const struct {
	const char *prefix;
	enum rs_address_kind kind;
} kinds[] = {
	{ "tcp:", RS_ADDRESS_TCP },   { "unix:", RS_ADDRESS_UNIX }, { "fd:", RS_ADDRESS_FD },
	{ "exec:", RS_ADDRESS_EXEC }, { "file:", RS_ADDRESS_FILE },
};

static int refuse(const struct rs_address *address, struct rs_error *error, const char *why)
{
	return rs_error_setf(error, -EINVAL, "bad address \"%s\": %s", address->text, why);
}

/* Decimal digits only: no sign, no space, nothing behind. */
static bool parse_number(const char *text, uint64_t max, uint64_t *number)
{
	uint64_t value = 0;

	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return false;
		value = value * 10 + (uint64_t)(*text - '0');
		if (value > max)
			return false;
	}
	*number = value;
	return true;
}

static int parse_port(struct rs_address *address, const char *text, struct rs_error *error)
{
	uint64_t port;

	if (!parse_number(text, UINT16_MAX, &port))
		return refuse(address, error, "the port must be a number from 0 to 65535");
	snprintf(address->port, sizeof(address->port), "%u", (unsigned)(uint16_t)port);
	return 0;
}

static int parse_tcp(struct rs_address *address, struct rs_error *error)
{
	const char *host = address->rest, *end, *colon;

	if (*host == '[') {
		host++;
		end = strchr(host, ']');
		if (end == NULL || end == host)
			return refuse(address, error, "want an IPv6 address in the brackets");
		colon = end + 1;
	} else {
		end = colon = strchr(host, ':');
		if (colon != NULL && strchr(colon + 1, ':') != NULL)
			return refuse(address, error, "an IPv6 address belongs in brackets");
	}
	if (colon == NULL || *colon != ':')
		return refuse(address, error, "want tcp:HOST:PORT");
	if ((size_t)(end - host) >= sizeof(address->host))
		return refuse(address, error, "the host name is too long");
	memcpy(address->host, host, (size_t)(end - host));
	return parse_port(address, colon + 1, error);
}

static int parse_unix(struct rs_address *address, struct rs_error *error)
{
	const struct sockaddr_un *limit = NULL;

	if (*address->rest == '\0')
		return refuse(address, error, "want unix:PATH");
	if (strlen(address->rest) >= sizeof(limit->sun_path))
		return refuse(address, error, "a socket's path has at most 107 bytes");
	return 0;
}

static int parse_fd(struct rs_address *address, struct rs_error *error)
{
	uint64_t fd;

	if (!parse_number(address->rest, INT_MAX, &fd))
		return refuse(address, error, "want fd:NUMBER");
	address->fd = (int)fd;
	return 0;
}

static int parse_rest(struct rs_address *address, struct rs_error *error)
{
	switch (address->kind) {
	case RS_ADDRESS_TCP:
		return parse_tcp(address, error);
	case RS_ADDRESS_UNIX:
		return parse_unix(address, error);
	case RS_ADDRESS_FD:
		return parse_fd(address, error);
	case RS_ADDRESS_EXEC:
		return *address->rest != '\0' ? 0 : refuse(address, error, "want exec:COMMAND");
	case RS_ADDRESS_FILE:
		return *address->rest != '\0' ? 0 : refuse(address, error, "want file:PATH");
	}
	return -EINVAL;
}

int rs_address_parse(const char *text, struct rs_address *address, struct rs_error *error)
{
	size_t i;

	*address = (struct rs_address){ .text = text, .fd = -1 };
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t bytes = strlen(kinds[i].prefix);

		if (strncmp(text, kinds[i].prefix, bytes) != 0)
			continue;
		address->kind = kinds[i].kind;
		address->rest = text + bytes;
		return parse_rest(address, error);
	}
	return refuse(address, error,
		      "want tcp:HOST:PORT, unix:PATH, fd:NUMBER, exec:COMMAND or file:PATH");
}
