/* SPDX-License-Identifier: MIT */
/*
 * Reading and writing a descriptor without blocking, whatever it is and whether or not it is in
 * O_NONBLOCK mode: that mode belongs to the open file, which we may share with other processes,
 * so it is never changed.
 *
 *	sockets			MSG_DONTWAIT
 *	pipes, devices		RWF_NOWAIT; where the kernel lacks that, poll(2) and then as
 *				little as is sure to fit
 *	files, block devices	plainly: they are never "not ready", and a disk that hangs
 *				cannot be left anyway
 */
#ifndef RS_TRANSPORT_FD_IO_H
#define RS_TRANSPORT_FD_IO_H

#include <stdbool.h>
#include <sys/uio.h>

enum rs_fd_kind {
	RS_FD_SOCKET,
	RS_FD_PIPE,
	RS_FD_TERMINAL,
	RS_FD_FILE,
};

struct rs_fd_io {
	int fd;
	enum rs_fd_kind kind;
	/* The kernel refused RWF_NOWAIT; each belongs to its direction's thread. */
	bool poll_to_read;
	bool poll_to_write;
};

/* 0; -EBADF; -EINVAL for what cannot carry a stream of bytes (a datagram socket). */
int rs_fd_io_init(struct rs_fd_io *io, int fd);

/* Bytes moved, 0 at the end of the input, -EAGAIN, -EINTR, or another negative errno. No SIGPIPE
 * comes of it. */
ssize_t rs_fd_io_readv(struct rs_fd_io *io, const struct iovec *iov, int count);
ssize_t rs_fd_io_writev(struct rs_fd_io *io, const struct iovec *iov, int count);

#endif
