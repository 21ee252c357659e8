/* SPDX-License-Identifier: MIT */
#include "files/outfile.h"
#include "text/fail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Guest memory is nobody else's business. */
#define MODE 0600
#define OWN_FDS "/proc/self/fd"
#define TRIES 100

static int fail_file(const struct outfile *file, int err, const char *what, struct rs_error *error)
{
	return fail(error, -err, "%s: cannot %s: %s", file->name, what, strerror(err));
}

/* A name that is nobody's: no region's either, as %r stands in no name that is made of one. */
static void choose_temporary(struct outfile *file)
{
	static atomic_uint counter;

	snprintf(file->temporary, sizeof(file->temporary), ".%%ramsync-%d-%u", (int)getpid(),
		 atomic_fetch_add(&counter, 1));
}

static int open_named(struct outfile *file)
{
	for (int i = 0; i < TRIES; i++) {
		choose_temporary(file);
		file->fd = openat(file->directory, file->temporary,
				  O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, MODE);
		if (file->fd >= 0 || errno != EEXIST)
			break;
	}
	if (file->fd < 0)
		file->temporary[0] = '\0';
	return file->fd;
}

static int set_name(struct outfile *file, const char *name, struct rs_error *error)
{
	long limit = fpathconf(file->directory, _PC_NAME_MAX);

	if (limit < 0 || limit > NAME_MAX)
		limit = NAME_MAX;
	if (strlen(name) > (size_t)limit)
		return fail(
		    error, -ENAMETOOLONG,
		    "%s: the name has %zu bytes, and the file system takes no more than %ld", name,
		    strlen(name), limit);
	strcpy(file->name, name);
	return 0;
}

int outfile_open_at(struct outfile *file, int directory, const char *name, struct rs_error *error)
{
	int ret;

	*file = (struct outfile){ .fd = -1, .directory = directory };
	ret = set_name(file, name, error);
	if (ret)
		return ret;
	if (!access(OWN_FDS, X_OK)) /* or it could not be given a name later */
		file->fd = openat(directory, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, MODE);
	if (file->fd < 0 && open_named(file) < 0)
		return fail_file(file, errno, "create it", error);
	file->open = true;
	return 0;
}

static int open_special(struct outfile *file, const char *path, struct rs_error *error)
{
	*file = (struct outfile){ .special = true, .directory = -1 };
	snprintf(file->name, sizeof(file->name), "%s", path);
	file->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	file->open = file->fd >= 0;
	return file->open ? 0 : fail_file(file, errno, "open it", error);
}

/* The directory that @path lies in, and where in @path the last part begins. */
static int open_directory(const char *path, const char **last)
{
	const char *slash = strrchr(path, '/');
	char directory[PATH_MAX];

	*last = slash ? slash + 1 : path;
	snprintf(directory, sizeof(directory), "%.*s", slash ? (int)(slash - path) + 1 : 1,
		 slash ? path : ".");
	return open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int open_regular(struct outfile *file, const char *path, struct rs_error *error)
{
	const char *last;
	int directory = open_directory(path, &last);
	int ret;

	if (directory < 0)
		return fail(error, -errno, "%s: %s", path, strerror(errno));
	if (*last)
		ret = outfile_open_at(file, directory, last, error);
	else
		ret = fail(error, -EISDIR, "%s: %s", path, strerror(EISDIR));
	if (ret)
		close(directory);
	file->owns_directory = !ret;
	return ret;
}

static bool is_link(const char *path)
{
	struct stat st;

	return !lstat(path, &st) && S_ISLNK(st.st_mode);
}

/*
 * A link is somebody's, for instance the system's /dev/stdout, and not to be replaced. One that
 * leads to a file without a name can only be written through.
 */
static int open_link(struct outfile *file, const char *link, struct rs_error *error)
{
	char path[PATH_MAX];

	return realpath(link, path) ? open_regular(file, path, error)
				    : open_special(file, link, error);
}

int outfile_open(struct outfile *file, const char *path, struct rs_error *error)
{
	bool link = is_link(path);
	struct stat st;

	*file = (struct outfile){ 0 };
	if (strlen(path) >= PATH_MAX)
		return fail(error, -ENAMETOOLONG, "%s: %s", path, strerror(ENAMETOOLONG));
	if (stat(path, &st))
		return link ? fail(error, -errno, "%s: the link leads nowhere: %s", path,
				   strerror(errno))
			    : open_regular(file, path, error);
	if (S_ISDIR(st.st_mode))
		return fail(error, -EISDIR, "%s: %s", path, strerror(EISDIR));
	if (!S_ISREG(st.st_mode))
		return open_special(file, path, error);
	return link ? open_link(file, path, error) : open_regular(file, path, error);
}

/* Write all of it, at @offset, or behind what was written last if that is negative. */
static int write_all(struct outfile *file, const char *data, size_t bytes, off_t offset,
		     struct rs_error *error)
{
	while (bytes) {
		ssize_t written = offset < 0 ? write(file->fd, data, bytes)
					     : pwrite(file->fd, data, bytes, offset);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return fail_file(file, written ? errno : EIO, "write it", error);
		data += written;
		bytes -= (size_t)written;
		offset += offset < 0 ? 0 : written;
	}
	return 0;
}

int outfile_write(struct outfile *file, const void *data, size_t bytes, struct rs_error *error)
{
	return write_all(file, data, bytes, -1, error);
}

int outfile_write_at(struct outfile *file, const void *data, size_t bytes, uint64_t offset,
		     struct rs_error *error)
{
	return write_all(file, data, bytes, (off_t)offset, error);
}

int outfile_sync(struct outfile *file, struct rs_error *error)
{
	/* A device or pipe has no disk behind it, and says so. */
	if (fsync(file->fd) && !(file->special && (errno == EINVAL || errno == EROFS)))
		return fail_file(file, errno, "write it to the disk", error);
	return 0;
}

/* A file without a name gets a temporary one, because no call replaces a file by such a one. */
static int give_temporary(struct outfile *file)
{
	char own[sizeof(OWN_FDS) + 16];
	int ret = -1;

	snprintf(own, sizeof(own), OWN_FDS "/%d", file->fd);
	for (int i = 0; i < TRIES; i++) {
		choose_temporary(file);
		ret = linkat(AT_FDCWD, own, file->directory, file->temporary, AT_SYMLINK_FOLLOW);
		if (!ret || errno != EEXIST)
			break;
	}
	if (ret)
		file->temporary[0] = '\0';
	return ret;
}

/* Close what is open. Returns what close() of the file says. */
static int end(struct outfile *file)
{
	int ret = 0;

	if (!file->open)
		return 0;
	ret = close(file->fd);
	if (file->owns_directory)
		close(file->directory);
	file->open = false;
	return ret;
}

int outfile_publish(struct outfile *file, struct rs_error *error)
{
	if (!file->special) {
		if ((!file->temporary[0] && give_temporary(file)) ||
		    renameat(file->directory, file->temporary, file->directory, file->name) ||
		    fsync(file->directory))
			return fail_file(file, errno, "give it its name", error);
		file->temporary[0] = '\0';
	}
	return end(file) ? fail_file(file, errno, "close it", error) : 0;
}

void outfile_drop(struct outfile *file)
{
	if (file->temporary[0])
		unlinkat(file->directory, file->temporary, 0);
	file->temporary[0] = '\0';
	end(file);
}
