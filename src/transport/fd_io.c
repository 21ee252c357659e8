/* SPDX-License-Identifier: MIT */
#include "transport/fd_io.h"

#include "base/checked.h"
#include "codec/live_memory.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int rs_fd_io_init(struct rs_fd_io *io, int fd)
{
	struct stat status;
	int type;
	socklen_t bytes = sizeof(type);

	*io = (struct rs_fd_io){ .fd = fd };
	if (fstat(fd, &status) != 0)
		return -errno;
	if (S_ISSOCK(status.st_mode)) {
		if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes) != 0)
			return -errno;
		io->kind = RS_FD_SOCKET;
		return type == SOCK_STREAM ? 0 : -EINVAL;
	}
	if (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode))
		io->kind = RS_FD_FILE;
	else
		io->kind = isatty(fd) ? RS_FD_TERMINAL : RS_FD_PIPE;
	return 0;
}

static bool ready(int fd, short events)
{
	struct pollfd poll_fd = { .fd = fd, .events = events };

	return poll(&poll_fd, 1, 0) > 0;
}

/* ---- reading ------------------------------------------------------------------------------- */

static ssize_t receive(int fd, const struct iovec *iov, int count)
{
	struct msghdr message = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count };
	ssize_t bytes = recvmsg(fd, &message, MSG_DONTWAIT);

	return bytes < 0 ? -errno : bytes;
}

static ssize_t read_plainly(int fd, const struct iovec *iov, int count)
{
	ssize_t bytes = readv(fd, iov, count);

	return bytes < 0 ? -errno : bytes;
}

static ssize_t read_pipe(struct rs_fd_io *io, const struct iovec *iov, int count)
{
	ssize_t bytes;

	if (!io->poll_to_read) {
		bytes = preadv2(io->fd, iov, count, -1, RWF_NOWAIT);
		if (bytes >= 0)
			return bytes;
		if (errno != EOPNOTSUPP)
			return -errno;
		io->poll_to_read = true;
	}
	return ready(io->fd, POLLIN) ? read_plainly(io->fd, iov, count) : -EAGAIN;
}

ssize_t rs_fd_io_readv(struct rs_fd_io *io, const struct iovec *iov, int count)
{
	switch (io->kind) {
	case RS_FD_SOCKET:
		return receive(io->fd, iov, count);
	case RS_FD_FILE:
		return read_plainly(io->fd, iov, count);
	default:
		return read_pipe(io, iov, count);
	}
}

/* ---- writing ------------------------------------------------------------------------------- */

/* At most limit bytes of a vector, and few entries of it. */
static ssize_t write_little(int fd, const struct iovec *iov, int count, size_t limit)
{
	struct iovec little[16];
	int used = 0;

	while (used < count && used < 16 && limit > 0) {
		little[used] = iov[used];
		little[used].iov_len = rs_min_u64(iov[used].iov_len, limit);
		limit -= little[used].iov_len;
		used++;
	}
	return rs_live_writev(fd, little, used, 0);
}

static ssize_t write_pipe(struct rs_fd_io *io, const struct iovec *iov, int count)
{
	ssize_t bytes;

	if (!io->poll_to_write) {
		bytes = rs_live_writev(io->fd, iov, count, RWF_NOWAIT);
		if (bytes != -EOPNOTSUPP)
			return bytes;
		io->poll_to_write = true;
	}
	if (!ready(io->fd, POLLOUT))
		return -EAGAIN;
	/* Ready means room for PIPE_BUF bytes in a pipe, but only for one in a terminal. */
	return write_little(io->fd, iov, count, io->kind == RS_FD_TERMINAL ? 1 : PIPE_BUF);
}

/* Take the SIGPIPE that a write left pending for this thread. */
static void drop_sigpipe(const sigset_t *sigpipe)
{
	const struct timespec now = { 0 };

	while (sigtimedwait(sigpipe, NULL, &now) < 0 && errno == EINTR)
		;
}

/*
 * For pipes there is no MSG_NOSIGNAL. SIGPIPE is blocked in this thread alone, and the one that
 * we caused is taken back, but not one that was pending before, which can only be so if the
 * caller had it blocked.
 */
static ssize_t write_pipe_quietly(struct rs_fd_io *io, const struct iovec *iov, int count)
{
	sigset_t sigpipe, before, pending;
	ssize_t bytes;

	sigemptyset(&pending);
	sigemptyset(&sigpipe);
	sigaddset(&sigpipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &sigpipe, &before);
	if (sigismember(&before, SIGPIPE))
		sigpending(&pending);
	bytes = write_pipe(io, iov, count);
	if (bytes == -EPIPE && !sigismember(&pending, SIGPIPE))
		drop_sigpipe(&sigpipe);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return bytes;
}

ssize_t rs_fd_io_writev(struct rs_fd_io *io, const struct iovec *iov, int count)
{
	switch (io->kind) {
	case RS_FD_SOCKET:
		return rs_live_send(io->fd, iov, count);
	case RS_FD_FILE:
		return rs_live_writev(io->fd, iov, count, 0);
	default:
		return write_pipe_quietly(io, iov, count);
	}
}
