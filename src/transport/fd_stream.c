/* SPDX-License-Identifier: MIT */
/*
 * A stream over a descriptor. All waits are poll(2) on the descriptor and on an eventfd that
 * shutdown makes readable for good. The descriptor itself is not shut down: with KEEP_FD it is
 * the caller's, and otherwise the peer hears of it by the close that follows.
 */
#include "transport/fd_stream.h"

#include "base/error.h"
#include "transport/child.h"
#include "transport/fd_io.h"
#include "transport/stream_core.h"
#include "transport/tcp_queue.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

struct fd_stream {
	struct rs_fd_io io;
	int wake_fd;
	struct rs_child *child;
};

static ssize_t fd_readv(struct rs_stream *stream, const struct iovec *iov, int count)
{
	struct fd_stream *fd_stream = stream->backend_data;

	return rs_fd_io_readv(&fd_stream->io, iov, count);
}

static ssize_t fd_writev(struct rs_stream *stream, const struct iovec *iov, int count)
{
	struct fd_stream *fd_stream = stream->backend_data;

	return rs_fd_io_writev(&fd_stream->io, iov, count);
}

static int fd_wait(struct rs_stream *stream, enum rs_direction direction, int timeout_ms)
{
	const struct fd_stream *fd_stream = stream->backend_data;
	struct pollfd fds[2] = {
		{ .fd = fd_stream->io.fd, .events = direction == RS_READING ? POLLIN : POLLOUT },
		{ .fd = fd_stream->wake_fd, .events = POLLIN },
	};

	if (poll(fds, 2, timeout_ms) < 0 && errno != EINTR)
		return -errno;
	return 0;
}

static void fd_shutdown(struct rs_stream *stream)
{
	const struct fd_stream *fd_stream = stream->backend_data;

	eventfd_write(fd_stream->wake_fd, 1);
}

static void fd_hang_up(struct rs_stream *stream)
{
	const struct fd_stream *fd_stream = stream->backend_data;

	/* What is no socket has nobody to tell. */
	(void)shutdown(fd_stream->io.fd, SHUT_RDWR);
}

static void fd_queue_little(struct rs_stream *stream)
{
	const struct fd_stream *fd_stream = stream->backend_data;

	if ((stream->flags & RS_STREAM_KEEP_FD) != 0 || fd_stream->io.kind != RS_FD_SOCKET)
		return;
	rs_tcp_shorten_output(fd_stream->io.fd);
	rs_tcp_shorten_input(fd_stream->io.fd);
}

/* close(2) tells of a write that failed late, on network file systems; EINTR is none. */
static int close_fd(int fd, struct rs_error *error)
{
	if (close(fd) == 0 || errno == EINTR)
		return 0;
	return rs_error_setf(error, -errno, "closing the stream failed: %s", rs_errno_text(-errno));
}

static int fd_close(struct rs_stream *stream, struct rs_error *error)
{
	struct fd_stream *fd_stream = stream->backend_data;
	int code = 0;

	if ((stream->flags & RS_STREAM_KEEP_FD) == 0)
		code = close_fd(fd_stream->io.fd, error);
	close(fd_stream->wake_fd);
	if (fd_stream->child != NULL) {
		int child_code = rs_child_finish(fd_stream->child, error);

		if (code == 0)
			code = child_code;
	}
	free(fd_stream);
	return code;
}

static const struct rs_backend fd_backend = {
	.readv = fd_readv,
	.writev = fd_writev,
	.wait = fd_wait,
	.shutdown = fd_shutdown,
	.hang_up = fd_hang_up,
	.queue_little = fd_queue_little,
	.close = fd_close,
	.never_blocks = true,
};

static int check_access(int fd, unsigned flags)
{
	int mode = fcntl(fd, F_GETFL);

	if (mode < 0)
		return -errno;
	if ((mode & O_PATH) != 0)
		return -EBADF;
	if ((flags & RS_STREAM_READ) != 0 && (mode & O_ACCMODE) == O_WRONLY)
		return -EINVAL;
	if ((flags & RS_STREAM_WRITE) != 0 && (mode & O_ACCMODE) == O_RDONLY)
		return -EINVAL;
	return 0;
}

int rs_fd_stream_create(int fd, unsigned flags, struct rs_child *child, struct rs_stream **stream)
{
	struct fd_stream *fd_stream;
	int code = check_access(fd, flags);

	if (code != 0)
		return code;
	fd_stream = calloc(1, sizeof(*fd_stream));
	if (fd_stream == NULL)
		return -ENOMEM;
	fd_stream->child = child;
	fd_stream->wake_fd = -1;
	code = rs_fd_io_init(&fd_stream->io, fd);
	if (code != 0)
		goto failed;
	fd_stream->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd_stream->wake_fd < 0) {
		code = -errno;
		goto failed;
	}
	code = rs_stream_new(&fd_backend, fd_stream, flags, stream);
	if (code == 0)
		return 0;
failed:
	if (fd_stream->wake_fd >= 0)
		close(fd_stream->wake_fd);
	free(fd_stream);
	return code;
}

int rs_stream_from_fd(int fd, unsigned flags, struct rs_stream **stream)
{
	return rs_fd_stream_create(fd, flags, NULL, stream);
}
