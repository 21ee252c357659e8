/* SPDX-License-Identifier: MIT */
/* QEMU-style addresses: tcp:HOST:PORT, unix:PATH, fd:N, exec:COMMAND, file:PATH. */
#ifndef RS_TRANSPORT_ADDRESS_H
#define RS_TRANSPORT_ADDRESS_H

#include <ramsync/error.h>

enum rs_address_kind {
	RS_ADDRESS_TCP,
	RS_ADDRESS_UNIX,
	RS_ADDRESS_FD,
	RS_ADDRESS_EXEC,
	RS_ADDRESS_FILE,
};

/* Longest name that the DNS knows, and a terminator. */
#define RS_ADDRESS_HOST_BYTES 256

struct rs_address {
	enum rs_address_kind kind;
	const char *text;                 /* all of it; the caller's */
	const char *rest;                 /* behind the kind: path or command; the caller's */
	char host[RS_ADDRESS_HOST_BYTES]; /* tcp: without brackets; may be empty */
	char port[sizeof("65535")];       /* tcp: */
	int fd;                           /* fd: */
};

/* 0 or -EINVAL with *error set. */
int rs_address_parse(const char *text, struct rs_address *address, struct rs_error *error);

#endif
