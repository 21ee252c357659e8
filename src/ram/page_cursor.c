/* SPDX-License-Identifier: MIT */
#include "ram/page_cursor.h"

#include "base/checked.h"
#include "ram/dirty_sync.h"
#include "ram/page_claim.h"

void rs_page_cursor_init(struct rs_page_cursor *cursor, struct rs_state *state)
{
	*cursor = (struct rs_page_cursor){ .state = state };
}

/* Have a pinned region to scan. False if there is none. */
static bool cursor_pin(struct rs_page_cursor *cursor)
{
	struct rs_state *state = cursor->state;

	if (cursor->pinned)
		return true;
	if (cursor->region == NULL) {
		cursor->region = rs_region_first(state);
		cursor->page = 0;
	} else if (!rs_region_pin(cursor->region, state)) {
		cursor->region = NULL;
	}
	cursor->pinned = cursor->region != NULL;
	return cursor->pinned;
}

static void cursor_next_region(struct rs_page_cursor *cursor)
{
	cursor->region = rs_region_next(cursor->region);
	cursor->page = 0;
	cursor->pinned = cursor->region != NULL;
	if (!cursor->pinned)
		cursor->wraps++;
}

/* Take a run out of the region's bitmap, if it has one at or after the cursor. */
static bool take_run(struct rs_page_cursor *cursor, uint64_t max_pages, struct rs_page_run *run)
{
	struct rs_region *region = cursor->region;
	uint64_t pages = rs_region_pages(region);

	if (region->dirty.words == NULL)
		return false;
	if (cursor->claims) {
		if (!rs_page_claim_run(region, cursor->page, pages, max_pages, run))
			return false;
		cursor->page = run->first + run->count;
		return true;
	}
	uint64_t first = rs_bitmap_find_set(&region->dirty, cursor->page, pages);

	if (first >= pages)
		return false;
	uint64_t limit = rs_min_u64(pages, rs_add_saturating(first, max_pages));
	uint64_t end = rs_bitmap_find_clear(&region->dirty, first, limit);

	rs_bitmap_clear_range(&region->dirty, first, end - first);
	atomic_fetch_sub_explicit(&cursor->state->dirty_pages, end - first, memory_order_relaxed);
	cursor->page = end;
	*run = (struct rs_page_run){ region, first, end - first };
	return true;
}

int rs_page_cursor_next(struct rs_page_cursor *cursor, uint64_t max_pages,
			int (*before_leaving)(void *opaque), void *opaque, struct rs_page_run *run)
{
	struct rs_state *state = cursor->state;

	while (atomic_load_explicit(&state->dirty_pages, memory_order_relaxed) != 0) {
		if (rs_session_code(state) != 0 || !cursor_pin(cursor))
			break;
		if (take_run(cursor, max_pages, run)) {
			int result = 0;

			if (!cursor->claims)
				result = rs_dirty_logs_clear(run->region, run->first, run->count);
			return result != 0 ? result : 1;
		}
		int result = before_leaving(opaque);

		if (result != 0)
			return result;
		cursor_next_region(cursor);
	}
	return rs_session_code(state);
}

void rs_page_cursor_put_back(struct rs_page_cursor *cursor, uint64_t first, uint64_t count)
{
	uint64_t set = rs_bitmap_set_range(&cursor->region->dirty, first, count);

	atomic_fetch_add_explicit(&cursor->state->dirty_pages, set, memory_order_relaxed);
	cursor->page = first;
}

int rs_page_cursor_go_to(struct rs_page_cursor *cursor, struct rs_region *region, uint64_t page,
			 int (*before_leaving)(void *opaque), void *opaque)
{
	if (cursor->region != region) {
		int result = before_leaving(opaque);

		if (result != 0)
			return result;
		rs_page_cursor_release(cursor);
		cursor->region = region;
	}
	cursor->page = page;
	return rs_session_code(cursor->state);
}

void rs_page_cursor_release(struct rs_page_cursor *cursor)
{
	if (cursor->pinned)
		rs_region_unpin(cursor->region);
	cursor->pinned = false;
}
