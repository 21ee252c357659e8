/* SPDX-License-Identifier: MIT */
/* Memory in files: one for each block, sparse where it is zero. */
#ifndef EXAMPLES_SAVE_REGIONS_H
#define EXAMPLES_SAVE_REGIONS_H

#include "guest/memory.h"

/* Whether a block is to be saved. */
typedef bool (*save_wanted)(void *opaque, const struct memory_block *block);

/*
 * Write each block that is wanted to a file in @directory, called as region_file_name() says. The
 * directory is made if it is not there. The files appear, complete and on the disk, when all of
 * them could be written; a failure before leaves what was there. If one cannot get its name then,
 * those before it have theirs.
 */
int save_regions(const struct memory *memory, const char *directory, save_wanted wanted,
		 void *opaque, struct rs_error *error);

#endif
