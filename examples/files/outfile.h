/* SPDX-License-Identifier: MIT */
/*
 * A file that appears when it is whole. It is written without a name, and gets its name, in place
 * of what had it before, in one step at the end. So a failure, a signal or a crash leaves the old
 * file as it was and nothing beside it. On file systems that know no files without a name it has a
 * temporary one meanwhile, which is left behind by a crash or a signal, but by nothing else.
 */
#ifndef EXAMPLES_OUTFILE_H
#define EXAMPLES_OUTFILE_H

#include <ramsync/error.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

struct outfile {
	int fd;
	int directory;           /* where the name is to be */
	bool open;               /* neither published nor dropped yet */
	bool owns_directory;     /* close it at the end */
	bool special;            /* a device or a pipe, written as it stands */
	char name[NAME_MAX + 1]; /* the last part of the path */
	char temporary[40];      /* its name meanwhile; "" without one */
};

/*
 * Begin the file at @path. Something at @path that is no regular file, such as /dev/null, is opened
 * and written as it stands. A symbolic link stays, and the file that it leads to is replaced.
 */
int outfile_open(struct outfile *file, const char *path, struct rs_error *error);

/* Begin the file called @name in a directory, which stays open. Whatever is there is replaced, and
 * never opened. */
int outfile_open_at(struct outfile *file, int directory, const char *name, struct rs_error *error);

/* Write behind what was written last, or anywhere. What is left out reads as zeros. */
int outfile_write(struct outfile *file, const void *data, size_t bytes, struct rs_error *error);
int outfile_write_at(struct outfile *file, const void *data, size_t bytes, uint64_t offset,
		     struct rs_error *error);

/* Have everything that was written on the disk. */
int outfile_sync(struct outfile *file, struct rs_error *error);

/* Give a synced file its name, and end. */
int outfile_publish(struct outfile *file, struct rs_error *error);

/* End, without a trace. Harmless after outfile_publish(), and on one that is all zero. */
void outfile_drop(struct outfile *file);

#endif
