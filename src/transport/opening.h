/* SPDX-License-Identifier: MIT */
/* rs_stream_connect() and rs_listener_accept(), for a caller that can be woken meanwhile. */
#ifndef RS_TRANSPORT_OPENING_H
#define RS_TRANSPORT_OPENING_H

#include "transport/deadline.h"

#include <ramsync/stream.h>

/* They return -ECANCELED if they are woken; else as the public ones. */
int rs_stream_connect_until(const char *address, const struct rs_deadline *deadline,
			    struct rs_stream **stream, struct rs_error *error);
int rs_listener_accept_until(struct rs_listener *listener, const struct rs_deadline *deadline,
			     struct rs_stream **stream, struct rs_error *error);

#endif
