/* SPDX-License-Identifier: MIT */
#include "track/pagemap.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

int rs_pagemap_open(void)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	return pagemap < 0 ? -errno : pagemap;
}

bool rs_pagemap_can_scan(int pagemap)
{
	struct rs_pagemap_query query = { .anyof = PAGE_IS_PRESENT };
	struct page_region range;
	uintptr_t position = 0;

	return rs_pagemap_scan(pagemap, &query, &position, 0, &range, 1) >= 0;
}

int rs_pagemap_scan(int pagemap, const struct rs_pagemap_query *query, uintptr_t *position,
		    uintptr_t end, struct page_region *ranges, size_t max)
{
	/*
	 * Always with room for ranges: without, the kernel protects every page, wanted or not (and
	 * even if no protection was asked for, in versions before 6.14). return_mask equals
	 * mask for the sake of the kernel's fast path, which wants both to be PAGE_IS_WRITTEN.
	 */
	struct pm_scan_arg scan = {
		.size = sizeof(scan),
		.flags = query->flags,
		.start = *position,
		.end = end,
		.vec = (uintptr_t)ranges,
		.vec_len = max,
		.category_inverted = query->inverted,
		.category_mask = query->mask,
		.category_anyof_mask = query->anyof,
		.return_mask = query->mask,
	};
	int count = ioctl(pagemap, PAGEMAP_SCAN, &scan);

	if (count < 0)
		return -errno;
	/* Part of a huge page was asked for: nobody gets any further. */
	if (count == 0 && scan.walk_end <= *position && *position < end)
		return -EIO;
	*position = (uintptr_t)scan.walk_end;
	return count;
}
