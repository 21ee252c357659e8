/* SPDX-License-Identifier: MIT */
/* Pairs of descriptors of each kind that streams go over. */
#ifndef RS_TESTS_FD_KINDS_H
#define RS_TESTS_FD_KINDS_H

#include "transport/stream.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

enum kind { PIPE, PIPE_NONBLOCKING, LOCAL, LOCAL_NONBLOCKING, KINDS };

/* fds[0] is read, fds[1] is written. */
static inline void open_kind(enum kind kind, int fds[2])
{
	bool nonblocking = kind == PIPE_NONBLOCKING || kind == LOCAL_NONBLOCKING;

	if (kind == PIPE || kind == PIPE_NONBLOCKING)
		assert_int_equal(pipe2(fds, O_CLOEXEC | (nonblocking ? O_NONBLOCK : 0)), 0);
	else
		assert_int_equal(socketpair(AF_UNIX,
					    SOCK_STREAM | SOCK_CLOEXEC |
						(nonblocking ? SOCK_NONBLOCK : 0),
					    0, fds),
				 0);
}

static inline void open_streams(enum kind kind, struct rs_stream **reader,
				struct rs_stream **writer)
{
	int fds[2];

	open_kind(kind, fds);
	assert_int_equal(rs_stream_from_fd(fds[0], RS_STREAM_READ, reader), 0);
	assert_int_equal(rs_stream_from_fd(fds[1], RS_STREAM_WRITE, writer), 0);
}

#endif
