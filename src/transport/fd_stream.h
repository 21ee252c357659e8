/* SPDX-License-Identifier: MIT */
/* Streams over descriptors. */
#ifndef RS_TRANSPORT_FD_STREAM_H
#define RS_TRANSPORT_FD_STREAM_H

#include <ramsync/stream.h>

struct rs_child;

/*
 * As rs_stream_from_fd(). child: what runs at the other end, finished by rs_stream_close(), or
 * NULL; the stream's on success.
 */
int rs_fd_stream_create(int fd, unsigned flags, struct rs_child *child, struct rs_stream **stream);

#endif
