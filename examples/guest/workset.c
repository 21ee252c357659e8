/* SPDX-License-Identifier: MIT */
#include "guest/workset.h"
#include "text/fail.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int workset_add(struct workset *set, struct rs_state *state, const char *name, uint64_t offset,
		uint64_t pages, struct rs_error *error)
{
	struct rs_region *region = rs_region_find(state, name);
	struct workset_piece *grown;
	uint64_t room;

	if (!region)
		return fail(error, -ENOENT, "working set: there is no region \"%s\"", name);
	room = rs_region_used_bytes(region);
	if (offset % CHECKED_PAGE_BYTES || offset > room ||
	    pages > (room - offset) / CHECKED_PAGE_BYTES)
		return fail(error, -ERANGE,
			    "working set: %" PRIu64 " pages at offset %#" PRIx64
			    " leave region \"%s\"",
			    pages, offset, name);
	grown = realloc(set->piece, (set->count + 1) * sizeof(*grown));
	if (!grown)
		return fail(error, -ENOMEM, "working set: out of memory");
	set->piece = grown;
	grown[set->count++] = (struct workset_piece){
		.region = region,
		.host = (uint8_t *)rs_region_host(region) + offset,
		.offset = offset,
		.pages = pages,
	};
	set->pages += pages;
	return 0;
}

int workset_place(struct workset *set, const struct memory *memory, uint64_t bytes,
		  struct rs_error *error)
{
	for (unsigned i = 0; i < memory->count; i++) {
		const struct memory_block *block = &memory->block[i];
		uint64_t share = memory_share(memory, bytes, false, i);
		int ret = 0;

		if (share > block->bytes)
			return fail(error, -ERANGE,
				    "--working-set %" PRIu64 " is larger than the memory", bytes);
		if (share)
			ret = workset_add(set, rs_region_state(block->region), block->name, 0,
					  share / CHECKED_PAGE_BYTES, error);
		if (ret)
			return ret;
	}
	return 0;
}

struct workset_place workset_find(const struct workset *set, uint64_t index)
{
	const struct workset_piece *piece = set->piece;

	for (; index >= piece->pages; piece++)
		index -= piece->pages;
	index *= CHECKED_PAGE_BYTES;
	return (struct workset_place){
		.region = piece->region,
		.offset = piece->offset + index,
		.page = piece->host + index,
	};
}

void workset_fini(struct workset *set)
{
	free(set->piece);
	*set = (struct workset){ 0 };
}
