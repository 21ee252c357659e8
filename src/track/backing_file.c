/* SPDX-License-Identifier: MIT */
#include "track/backing_file.h"

#include "base/checked.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static bool tells_holes(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == EXT4_SUPER_MAGIC);
}

void rs_backing_file_open(struct rs_backing_file *file, int fd)
{
	struct stat status;
	char path[32];

	*file = (struct rs_backing_file){ .fd = -1 };
	/* Ask before opening: to open a device or a FIFO may do something. */
	if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || !tells_holes(fd))
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	file->device = status.st_dev;
	file->inode = status.st_ino;
}

void rs_backing_file_close(struct rs_backing_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}

bool rs_backing_file_matches(const struct rs_backing_file *file, const struct rs_mapping *mapping)
{
	return file->fd >= 0 && mapping->device == file->device && mapping->inode == file->inode;
}

uint64_t rs_backing_file_find_data(const struct rs_backing_file *file, uint64_t from,
				   uint64_t limit)
{
	off_t data = lseek(file->fd, (off_t)from, SEEK_DATA);

	if (data < 0)
		return errno == ENXIO ? limit : from;
	return rs_min_u64((uint64_t)data, limit);
}

uint64_t rs_backing_file_find_hole(const struct rs_backing_file *file, uint64_t from,
				   uint64_t limit)
{
	off_t hole = lseek(file->fd, (off_t)from, SEEK_HOLE);

	if (hole < 0)
		return errno == ENXIO ? from : limit;
	return rs_min_u64((uint64_t)hole, limit);
}
