/* SPDX-License-Identifier: MIT */
/*
 * /proc/self/pagemap: the state of this process's pages, and the write protection of those that are
 * registered for it, by ranges (PAGEMAP_SCAN, Linux 6.7).
 */
#ifndef RS_TRACK_PAGEMAP_H
#define RS_TRACK_PAGEMAP_H

#include "track/kernel_abi.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Which pages are wanted: those with all categories of mask and one of anyof (0: whatever). */
struct rs_pagemap_query {
	uint64_t flags;    /* PM_SCAN_* */
	uint64_t inverted; /* categories that are meant the other way round */
	uint64_t mask;
	uint64_t anyof;
};

/* A descriptor for the calls below, or a negative errno. It stays this process's after a fork. */
int rs_pagemap_open(void);

/* Whether this kernel has PAGEMAP_SCAN. */
bool rs_pagemap_can_scan(int pagemap);

/*
 * Ranges of wanted pages in [*position, end), in order; *position becomes the address up to
 * which the answer goes, which is not end if it was too long. Returns the number of ranges or a
 * negative errno. Addresses are multiples of the page size.
 */
int rs_pagemap_scan(int pagemap, const struct rs_pagemap_query *query, uintptr_t *position,
		    uintptr_t end, struct page_region *ranges, size_t max);

#endif
