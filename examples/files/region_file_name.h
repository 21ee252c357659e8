/* SPDX-License-Identifier: MIT */
/* Names of regions come from a stream and may hold anything; names of files must not lead away. */
#ifndef EXAMPLES_REGION_FILE_NAME_H
#define EXAMPLES_REGION_FILE_NAME_H

#include <ramsync/region.h>

/* Room for the longest file name, terminator included. */
#define REGION_FILE_NAME_BYTES (3 * RS_REGION_NAME_BYTES)

/*
 * The file name for a region: "/" becomes %2F and "%" becomes %25, and of the names "." and ".."
 * the dots become %2E. So it names something in the directory itself, and no two regions share one.
 */
void region_file_name(const char *region, char name[REGION_FILE_NAME_BYTES]);

#endif
