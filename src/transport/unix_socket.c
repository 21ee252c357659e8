/* SPDX-License-Identifier: MIT */
#include "transport/unix_socket.h"

#include "base/error.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 128

/* rs_address_parse() saw to it that the path fits. */
static struct sockaddr_un socket_address(const struct rs_address *address)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };

	memcpy(name.sun_path, address->rest, strlen(address->rest));
	return name;
}

static int open_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

/* A local connect is done at once, or the listener's queue is full, which poll(2) cannot see. */
static int connect_patiently(int fd, const struct sockaddr_un *name,
			     const struct rs_deadline *deadline)
{
	int code = 0;

	while (code == 0) {
		if (connect(fd, (const struct sockaddr *)name, sizeof(*name)) == 0)
			return 0;
		if (errno == EAGAIN)
			code = rs_deadline_pause(deadline);
		else if (errno != EINTR)
			code = -errno;
	}
	return code;
}

int rs_unix_connect(const struct rs_address *address, const struct rs_deadline *deadline,
		    struct rs_error *error)
{
	const struct sockaddr_un name = socket_address(address);
	int fd = open_socket();
	int code = fd;

	if (fd >= 0) {
		code = connect_patiently(fd, &name, deadline);
		if (code == 0)
			return fd;
		close(fd);
	}
	return rs_error_setf(error, code, "cannot connect to %s: %s", address->text,
			     rs_errno_text(code));
}

static int make_way(const struct rs_address *address, struct rs_error *error)
{
	struct stat status;

	if (lstat(address->rest, &status) != 0)
		return 0; /* nothing there; if it is something else, bind(2) will say what */
	if (!S_ISSOCK(status.st_mode))
		return rs_error_setf(error, -EADDRINUSE,
				     "cannot listen on %s: there is a file that is not a socket",
				     address->text);
	if (unlink(address->rest) != 0 && errno != ENOENT)
		return rs_error_setf(error, -errno, "cannot replace the socket of %s: %s",
				     address->text, rs_errno_text(-errno));
	return 0;
}

static int bind_and_listen(int fd, const struct sockaddr_un *name, struct rs_unix_file *file)
{
	struct stat status;

	if (bind(fd, (const struct sockaddr *)name, sizeof(*name)) != 0)
		return -errno;
	if (lstat(name->sun_path, &status) != 0)
		return -errno;
	file->device = status.st_dev;
	file->inode = status.st_ino;
	return listen(fd, BACKLOG) == 0 ? 0 : -errno;
}

int rs_unix_listen(const struct rs_address *address, struct rs_unix_file *file,
		   struct rs_error *error)
{
	const struct sockaddr_un name = socket_address(address);
	int code = make_way(address, error);
	int fd;

	if (code != 0)
		return code;
	fd = open_socket();
	code = fd;
	if (fd >= 0) {
		code = bind_and_listen(fd, &name, file);
		if (code == 0)
			return fd;
		close(fd);
	}
	return rs_error_setf(error, code, "cannot listen on %s: %s", address->text,
			     rs_errno_text(code));
}

void rs_unix_unlink(const char *path, const struct rs_unix_file *file)
{
	struct stat status;

	if (lstat(path, &status) == 0 && status.st_dev == file->device &&
	    status.st_ino == file->inode)
		unlink(path);
}
