/* SPDX-License-Identifier: MIT */
/* Regions as a stream announces them, each in a file of its own that others can look at. */
#ifndef RS_INTEROP_REGIONS_H
#define RS_INTEROP_REGIONS_H

#include <ramsync/region.h>

#define REGIONS_MAX 32

struct regions {
	struct rs_state *state;
	const char *directory; /* of the files region-0, region-1, ... */
	int rubbish;           /* fill them first, and do not say that they are fresh */
	const char *ignored;   /* name of one that the stream must not fill, or NULL */
	uint64_t ignored_address;
	int count;
	struct rs_region *list[REGIONS_MAX];
};

/* A region_announced callback; opaque is a struct regions. */
int regions_announced(void *opaque, const char *name, uint64_t used_bytes);

/* Add the ignored region: nobody announces what the stream does not fill. */
int regions_add_ignored(struct regions *regions, uint64_t bytes);

/* As a list in JSON. */
void regions_print(const struct regions *regions);

#endif
