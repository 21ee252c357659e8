/* SPDX-License-Identifier: MIT */
#include "transport/single_stream.h"

#include "base/error.h"
#include "transport/child.h"
#include "transport/fd_stream.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int refuse(const struct rs_address *address, int code, struct rs_error *error)
{
	return rs_error_setf(error, code, "cannot open %s: %s", address->text, rs_errno_text(code));
}

static bool is_a(int fd, mode_t kind)
{
	struct stat status;

	return fstat(fd, &status) == 0 && (status.st_mode & S_IFMT) == kind;
}

static bool is_listening(int fd)
{
	int listening = 0;
	socklen_t bytes = sizeof(listening);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &bytes) == 0 && listening;
}

static int open_fd(const struct rs_address *address, bool reading, struct rs_stream **stream,
		   struct rs_error *error)
{
	unsigned flags = reading ? RS_STREAM_READ : RS_STREAM_WRITE;
	int code;

	if (is_a(address->fd, S_IFSOCK))
		flags = RS_STREAM_TWO_WAY;
	if (is_listening(address->fd))
		return rs_error_setf(
		    error, -EINVAL, "cannot open %s: it is a listening socket, not a connected one",
		    address->text);
	code = rs_stream_from_fd(address->fd, flags, stream);
	if (code == -EINVAL)
		return rs_error_setf(error, code, "cannot open %s: it cannot be %s as a stream",
				     address->text, reading ? "read" : "written");
	if (code != 0)
		return refuse(address, code, error);
	/* It is ours now, and no business of a command that exec: runs later. */
	(void)fcntl(address->fd, F_SETFD, FD_CLOEXEC);
	return 0;
}

static int open_exec(const struct rs_address *address, bool reading, struct rs_stream **stream,
		     struct rs_error *error)
{
	struct rs_child *child;
	int fd;
	int code = rs_child_start(address->rest, reading, &child, &fd, error);

	if (code != 0)
		return code;
	code = rs_fd_stream_create(fd, reading ? RS_STREAM_READ : RS_STREAM_WRITE, child, stream);
	if (code == 0)
		return 0;
	close(fd);
	rs_child_finish(child, NULL);
	return refuse(address, code, error);
}

static bool is_fifo(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && S_ISFIFO(status.st_mode);
}

/* O_NONBLOCK is for named pipes, where open(2) would wait out of reach, and it is our open file.
 * One to write to opens as soon as it has a reader. */
static int open_path(const char *path, bool reading, const struct rs_deadline *deadline)
{
	const int common = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	const int flags = reading ? O_RDONLY : O_WRONLY | O_CREAT | O_TRUNC;
	int code = 0;

	while (code == 0) {
		int fd = open(path, flags | common, 0600);

		if (fd >= 0)
			return fd;
		code = -errno;
		if (code == -ENXIO && is_fifo(path))
			code = rs_deadline_pause(deadline);
		else if (code == -EINTR)
			code = 0;
	}
	return code;
}

static int open_file(const struct rs_address *address, bool reading,
		     const struct rs_deadline *deadline, struct rs_stream **stream, int *fifo,
		     struct rs_error *error)
{
	int fd = open_path(address->rest, reading, deadline);
	int code;

	if (fd < 0)
		return refuse(address, fd, error);
	code = rs_stream_from_fd(fd, reading ? RS_STREAM_READ : RS_STREAM_WRITE, stream);
	if (code != 0) {
		close(fd);
		return refuse(address, code, error);
	}
	if (fifo != NULL && reading && is_a(fd, S_IFIFO))
		*fifo = fd;
	return 0;
}

int rs_single_stream_open(const struct rs_address *address, bool reading,
			  const struct rs_deadline *deadline, struct rs_stream **stream, int *fifo,
			  struct rs_error *error)
{
	if (fifo != NULL)
		*fifo = -1;
	switch (address->kind) {
	case RS_ADDRESS_FD:
		return open_fd(address, reading, stream, error);
	case RS_ADDRESS_EXEC:
		return open_exec(address, reading, stream, error);
	case RS_ADDRESS_FILE:
		return open_file(address, reading, deadline, stream, fifo, error);
	default:
		return -EINVAL;
	}
}
