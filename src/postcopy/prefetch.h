/* SPDX-License-Identifier: MIT */
/*
 * What to ask for beside a page that the guest waits for: a pure rule over the places of its faults. Where it goes
 * through memory page by page, forward or backward, more pages of that way are worth asking for, twice as many
 * with each fault; anywhere else nothing is, as each such page delays one that somebody waits for.
 *
 * Several vCPUs go several ways at once, so several are remembered.
 */
#ifndef RS_POSTCOPY_PREFETCH_H
#define RS_POSTCOPY_PREFETCH_H

#include <stdint.h>

#define RS_PREFETCH_WAYS 8u
#define RS_PREFETCH_BYTES (256u << 10)

struct rs_prefetch_way {
	uint64_t last;   /* the farthest page that was thought of */
	uint64_t window; /* pages beyond the one that faulted */
	uint64_t used;   /* when: the least recent makes room */
	int direction;   /* 1, -1, or 0: not known yet */
};

struct rs_prefetch {
	uint64_t limit; /* of a window */
	uint64_t clock;
	struct rs_prefetch_way ways[RS_PREFETCH_WAYS];
};

struct rs_prefetch_advice {
	uint64_t pages; /* to ask for as well, next to the one that faulted */
	int direction;  /* 1: behind it, -1: before it */
};

/* unit_bytes: of a page. Pages of RS_PREFETCH_BYTES and more come alone. */
void rs_prefetch_init(struct rs_prefetch *prefetch, uint64_t unit_bytes);

/* A page faulted that was not asked for yet. */
struct rs_prefetch_advice rs_prefetch_fault(struct rs_prefetch *prefetch, uint64_t page);

#endif
