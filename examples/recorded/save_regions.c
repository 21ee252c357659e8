/* SPDX-License-Identifier: MIT */
#include "recorded/save_regions.h"
#include "text/fail.h"
#include "files/outfile.h"
#include "guest/populated.h"
#include "files/region_file_name.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is looked at for zeros: a block of most file systems. */
#define GRAIN_BYTES 4096u

struct saved {
	struct outfile file;
	struct rs_error *error;
};

static bool is_zero(const uint8_t *data, size_t bytes)
{
	return !data[0] && !memcmp(data, data + 1, bytes - 1);
}

/* Bytes from @from on, at most to @to, that are all zero grains, or all others. */
static uint64_t run_bytes(const uint8_t *host, uint64_t from, uint64_t to, bool zero)
{
	uint64_t at = from;

	while (at < to) {
		uint64_t grain = to - at < GRAIN_BYTES ? to - at : GRAIN_BYTES;

		if (is_zero(host + at, grain) != zero)
			break;
		at += grain;
	}
	return at - from;
}

static int write_range(void *opaque, const struct memory_block *block, uint64_t from, uint64_t to)
{
	struct saved *saved = opaque;
	int ret = 0;

	while (!ret && from < to) {
		uint64_t bytes;

		from += run_bytes(block->host, from, to, true);
		bytes = run_bytes(block->host, from, to, false);
		ret = outfile_write_at(&saved->file, block->host + from, bytes, from, saved->error);
		from += bytes;
	}
	return ret;
}

static int save_block(struct saved *saved, int directory, const struct memory_block *block)
{
	char name[REGION_FILE_NAME_BYTES];
	int ret;

	region_file_name(block->name, name);
	ret = outfile_open_at(&saved->file, directory, name, saved->error);
	if (ret)
		return ret;
	if (ftruncate(saved->file.fd, (off_t)block->bytes))
		return fail(saved->error, -errno, "%s: %s", name, strerror(errno));
	ret = populated_walk(block, write_range, saved);
	return ret ? ret : outfile_sync(&saved->file, saved->error);
}

/* Every file stays open until all are written. */
static void allow_open_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* What is in a new directory is on the disk only if the directory's own name is. */
static int sync_parent(int directory)
{
	int parent = openat(directory, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int ret = parent < 0 || fsync(parent) ? -errno : 0;

	if (parent >= 0)
		close(parent);
	return ret;
}

static int open_directory(const char *path, struct rs_error *error)
{
	bool made = !mkdir(path, 0700);
	int fd, ret;

	if (!made && errno != EEXIST)
		return fail(error, -errno, "%s: cannot make the directory: %s", path,
			    strerror(errno));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fail(error, -errno, "%s: %s", path, strerror(errno));
	ret = made ? sync_parent(fd) : 0;
	if (!ret)
		return fd;
	close(fd);
	return fail(error, ret, "%s: cannot write the directory to the disk: %s", path,
		    strerror(-ret));
}

static int save_all(const struct memory *memory, int directory, struct saved *saved,
		    save_wanted wanted, void *opaque, struct rs_error *error)
{
	unsigned count = 0;
	int ret = 0;

	for (unsigned i = 0; !ret && i < memory->count; i++) {
		if (!wanted(opaque, &memory->block[i]))
			continue;
		saved[count].error = error;
		ret = save_block(&saved[count++], directory, &memory->block[i]);
	}
	for (unsigned i = 0; !ret && i < count; i++)
		ret = outfile_publish(&saved[i].file, error);
	for (unsigned i = 0; i < count; i++)
		outfile_drop(&saved[i].file);
	return ret;
}

int save_regions(const struct memory *memory, const char *directory, save_wanted wanted,
		 void *opaque, struct rs_error *error)
{
	struct saved *saved = calloc(memory->count + 1, sizeof(*saved));
	int fd, ret;

	if (!saved)
		return fail(error, -ENOMEM, "%s: out of memory", directory);
	allow_open_files();
	fd = open_directory(directory, error);
	ret = fd < 0 ? fd : save_all(memory, fd, saved, wanted, opaque, error);
	if (fd >= 0)
		close(fd);
	free(saved);
	return ret;
}
