/* SPDX-License-Identifier: MIT */
/*
 * The working set: which pages of the guest the writers write, numbered from 0 through pieces of
 * several regions. It travels with the device state, so that the destination's writers find their
 * pages whatever its memory is made of.
 */
#ifndef EXAMPLES_WORKSET_H
#define EXAMPLES_WORKSET_H

#include "guest/checked_page.h"
#include "guest/memory.h"

struct workset_piece {
	struct rs_region *region;
	uint8_t *host;
	uint64_t offset; /* in the region */
	uint64_t pages;
};

struct workset {
	struct workset_piece *piece;
	unsigned count;
	uint64_t pages; /* of all pieces */
};

struct workset_place {
	struct rs_region *region;
	uint64_t offset;
	void *page;
};

/* Take @bytes of @memory, shared out over its regions, roms excepted. */
int workset_place(struct workset *set, const struct memory *memory, uint64_t bytes,
		  struct rs_error *error);

/* Add @pages pages at @offset of the region called @name of @state. */
int workset_add(struct workset *set, struct rs_state *state, const char *name, uint64_t offset,
		uint64_t pages, struct rs_error *error);

/* Where page @index is. */
struct workset_place workset_find(const struct workset *set, uint64_t index);

void workset_fini(struct workset *set);

#endif
