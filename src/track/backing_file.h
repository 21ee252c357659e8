/* SPDX-License-Identifier: MIT */
/*
 * The file beneath shared memory, asked where it has data. Pages that came in through another
 * mapping, by write(2), or that were swapped out, do not show in this process's page tables: of
 * shared memory only the file knows.
 *
 * Only files of which the answer is known to be right at any moment count: tmpfs (memfds too)
 * and ext4. A file system that answers from the disk or a server, while the page cache holds newer
 * data, would turn guest memory into zeros.
 */
#ifndef RS_TRACK_BACKING_FILE_H
#define RS_TRACK_BACKING_FILE_H

#include "track/mappings.h"

#include <stdbool.h>

struct rs_backing_file {
	int fd; /* our own, so that the embedder's file position stays; -1: nothing is known */
	uint64_t device;
	uint64_t inode;
};

/* fd may be -1. What cannot be used gives a file of which nothing is known: never fails. */
void rs_backing_file_open(struct rs_backing_file *file, int fd);
void rs_backing_file_close(struct rs_backing_file *file);

/* Whether it is this file that the mapping maps. */
bool rs_backing_file_matches(const struct rs_backing_file *file, const struct rs_mapping *mapping);

/*
 * First offset in [from, limit) where there may be data, or where there is a hole; limit if there
 * is none. What the file does not answer counts as data.
 */
uint64_t rs_backing_file_find_data(const struct rs_backing_file *file, uint64_t from,
				   uint64_t limit);
uint64_t rs_backing_file_find_hole(const struct rs_backing_file *file, uint64_t from,
				   uint64_t limit);

#endif
