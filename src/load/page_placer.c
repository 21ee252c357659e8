/* SPDX-License-Identifier: MIT */
#include "load/page_placer.h"

#include "base/checked.h"
#include "codec/xbzrle.h"
#include "codec/zero_page.h"
#include "transport/stream.h"

#include <string.h>

/* How far ahead the population is asked for: 128 MiB of 4 KiB pages. */
#define WINDOW_PAGES 32768u

void rs_place_content(struct rs_load *load, struct rs_stream *stream, struct rs_region *region,
		      uint64_t first, uint64_t count)
{
	const struct rs_state *state = load->state;

	/* Before the read: one that breaks off has written as well. */
	rs_bitmap_set_range(&region->written, first, count);
	rs_stream_read_into(stream, region->place + (first << state->page_shift),
			    count << state->page_shift, NULL);
}

int rs_place_delta(struct rs_region *region, uint64_t page, const uint8_t *delta, size_t bytes)
{
	const struct rs_state *state = region->state;

	rs_bitmap_set_range(&region->written, page, 1);
	return rs_xbzrle_decode(region->place + (page << state->page_shift), state->page_bytes,
				delta, bytes);
}

void rs_place_fill(struct rs_region *region, uint64_t page, uint8_t fill)
{
	const struct rs_state *state = region->state;

	rs_bitmap_set_range(&region->written, page, 1);
	memset(region->place + (page << state->page_shift), fill, state->page_bytes);
}

/* Pages that may hold anything. A page that is zero is left alone: writing it might allocate. */
static void clear_pages(const struct rs_region *region, uint64_t first, uint64_t end)
{
	const struct rs_state *state = region->state;

	while (first < end) {
		uint8_t *data = region->place + (first << state->page_shift);
		uint64_t zero = rs_zero_run_pages(data, end - first, state->page_bytes, true);

		first += zero;
		data += zero << state->page_shift;
		if (first == end)
			break;
		uint64_t full = rs_zero_run_pages(data, end - first, state->page_bytes, false);

		memset(data, 0, full << state->page_shift);
		first += full;
	}
}

/* Know the holes from page on, at least for that page. */
static void look_ahead(struct rs_zero_window *window, const struct rs_population *population,
		       const struct rs_region *region, uint64_t page)
{
	unsigned shift = region->state->page_shift;
	uint64_t limit = rs_min_u64(page + WINDOW_PAGES, rs_region_pages(region));

	if (window->region == region && window->first <= page && page < window->end)
		return;
	window->region = region;
	window->first = page;
	window->end = rs_population_scan(population, page << shift, limit << shift, window->holes,
					 RS_ZERO_WINDOW_HOLES, &window->count) >>
		      shift;
}

/* First hole of the window that ends behind page; holes are in order. */
static size_t first_hole(const struct rs_zero_window *window, uint64_t offset)
{
	size_t low = 0, high = window->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (window->holes[middle].end <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Pages of a region that is not fresh, into which nothing was loaded yet. */
static void clear_populated(struct rs_load *load, struct rs_region *region, uint64_t page,
			    uint64_t end)
{
	const struct rs_population *population = rs_population_slot_get(&load->population, region);
	struct rs_zero_window *window = &load->window;
	unsigned shift = region->state->page_shift;

	if (population == NULL) {
		clear_pages(region, page, end);
		return;
	}
	while (page < end) {
		look_ahead(window, population, region, page);
		uint64_t stop = rs_min_u64(window->end, end);

		for (size_t i = first_hole(window, page << shift); i < window->count; i++) {
			uint64_t hole = rs_max_u64(window->holes[i].start >> shift, page);

			if (hole >= stop)
				break;
			clear_pages(region, page, hole);
			page = rs_min_u64(window->holes[i].end >> shift, stop);
		}
		clear_pages(region, page, stop);
		page = stop;
	}
}

void rs_place_zero(struct rs_load *load, struct rs_region *region, uint64_t first, uint64_t count)
{
	uint64_t page = first, end = first + count;

	while (page < end) {
		uint64_t stop = rs_bitmap_find_set(&region->written, page, end);

		if (stop > page && !region->zero_until_written)
			clear_populated(load, region, page, stop);
		page = rs_bitmap_find_clear(&region->written, stop, end);
		clear_pages(region, stop, page);
	}
}
