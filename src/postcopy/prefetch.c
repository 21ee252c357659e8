/* SPDX-License-Identifier: MIT */
#include "postcopy/prefetch.h"

#include "base/checked.h"

#include <stddef.h>

void rs_prefetch_init(struct rs_prefetch *prefetch, uint64_t unit_bytes)
{
	uint64_t pages = RS_PREFETCH_BYTES / unit_bytes;

	*prefetch = (struct rs_prefetch){ .limit = pages > 1 ? pages - 1 : 0 };
}

/*
 * Whether the page is the next one on a way. Of what was thought of some had come already, so the next fault may lie
 * beyond by as much.
 */
static int goes_on(const struct rs_prefetch_way *way, uint64_t page)
{
	uint64_t reach = 1 + way->window;

	if (way->used == 0)
		return 0;
	if (way->direction >= 0 && page > way->last && page - way->last <= reach)
		return 1;
	if (way->direction <= 0 && page < way->last && way->last - page <= reach)
		return -1;
	return 0;
}

static struct rs_prefetch_way *least_recent(struct rs_prefetch *prefetch)
{
	struct rs_prefetch_way *found = &prefetch->ways[0];

	for (size_t i = 1; i < RS_PREFETCH_WAYS; i++)
		if (prefetch->ways[i].used < found->used)
			found = &prefetch->ways[i];
	return found;
}

static struct rs_prefetch_advice go(struct rs_prefetch_way *way, uint64_t page, int direction,
				    uint64_t limit)
{
	way->direction = direction;
	way->window = rs_min_u64(way->window == 0 ? 1 : 2 * way->window, limit);
	/* Backward it ends at the first page. */
	uint64_t pages = direction > 0 ? way->window : rs_min_u64(way->window, page);

	way->last = direction > 0 ? page + pages : page - pages;
	return (struct rs_prefetch_advice){ pages, direction };
}

struct rs_prefetch_advice rs_prefetch_fault(struct rs_prefetch *prefetch, uint64_t page)
{
	uint64_t now = ++prefetch->clock;

	for (size_t i = 0; i < RS_PREFETCH_WAYS; i++) {
		struct rs_prefetch_way *way = &prefetch->ways[i];
		int direction = goes_on(way, page);

		if (direction != 0) {
			way->used = now;
			return go(way, page, direction, prefetch->limit);
		}
	}
	*least_recent(prefetch) = (struct rs_prefetch_way){ .last = page, .used = now };
	return (struct rs_prefetch_advice){ 0, 1 };
}
