/* SPDX-License-Identifier: MIT */
/* TCP sockets, in O_NONBLOCK mode. Buffer sizes are left to the kernel: it does better. */
#ifndef RS_TRANSPORT_TCP_H
#define RS_TRANSPORT_TCP_H

#include "transport/address.h"
#include "transport/deadline.h"

#include <stddef.h>
#include <stdint.h>

/* A connected socket, or a negative errno with *error set. Each address of the host is tried. */
int rs_tcp_connect(const struct rs_address *address, const struct rs_deadline *deadline,
		   struct rs_error *error);

/* A listening socket on the first address of the host that can be bound; an empty host means all
 * addresses, of both versions of IP where the machine has both. */
int rs_tcp_listen(const struct rs_address *address, struct rs_error *error);

/* Send what is flushed at once: flushes are what the layers above mean. */
void rs_tcp_set_nodelay(int fd);

/* The address that a listening socket is bound to, as tcp:HOST:PORT. */
int rs_tcp_address(int fd, char *text, size_t bytes);

#endif
