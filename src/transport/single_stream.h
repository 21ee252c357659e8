/* SPDX-License-Identifier: MIT */
/* The addresses that give one stream, at either end: fd:, exec: and file:. */
#ifndef RS_TRANSPORT_SINGLE_STREAM_H
#define RS_TRANSPORT_SINGLE_STREAM_H

#include "transport/address.h"
#include "transport/deadline.h"

#include <ramsync/stream.h>
#include <stdbool.h>

/*
 * Open it. *fifo, if not NULL, receives the descriptor of a named pipe that we read (the
 * stream's), or -1: until somebody has opened its other end, reading it would look like its end.
 * 0 or a negative errno with *error set.
 */
int rs_single_stream_open(const struct rs_address *address, bool reading,
			  const struct rs_deadline *deadline, struct rs_stream **stream, int *fifo,
			  struct rs_error *error);

#endif
