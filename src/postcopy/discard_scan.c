/* SPDX-License-Identifier: MIT */
#include "postcopy/discard_scan.h"

struct scan {
	const struct rs_region *region;
	rs_discard_emit *emit;
	void *opaque;
	/* The pages that were found last; what follows them belongs to the same range. */
	uint64_t first;
	uint64_t end;
	struct rs_byte_range ranges[RS_DISCARD_RANGES];
	size_t count;
};

static void emit_ranges(struct scan *scan)
{
	if (scan->count != 0)
		scan->emit(scan->opaque, scan->region, scan->ranges, scan->count);
	scan->count = 0;
}

static void end_range(struct scan *scan)
{
	unsigned shift = scan->region->state->page_shift;

	if (scan->first == scan->end)
		return;
	scan->ranges[scan->count++] = (struct rs_byte_range){
		scan->first << shift,
		(scan->end - scan->first) << shift,
	};
	if (scan->count == RS_DISCARD_RANGES)
		emit_ranges(scan);
}

static void add_pages(struct scan *scan, uint64_t first, uint64_t count)
{
	if (first != scan->end) {
		end_range(scan);
		scan->first = first;
	}
	scan->end = first + count;
}

/* The runs of set bits in a word, whose first bit is that of a page. */
static void add_word(struct scan *scan, uint64_t page, uint64_t word)
{
	while (word != 0) {
		unsigned from = (unsigned)__builtin_ctzll(word);
		uint64_t clear = ~(word >> from);
		/* Never 0 after a shift; without one, of a full word. */
		unsigned count = clear != 0 ? (unsigned)__builtin_ctzll(clear) : RS_BITS_PER_WORD;

		add_pages(scan, page + from, count);
		word &= ~rs_bitmap_mask(from, from + count - 1);
	}
}

void rs_discard_scan(const struct rs_region *region, _Atomic uint64_t *told, rs_discard_emit *emit,
		     void *opaque)
{
	struct scan scan = { .region = region, .emit = emit, .opaque = opaque };
	uint64_t words = rs_bitmap_word_count(rs_region_pages(region));

	for (uint64_t i = 0; i < words; i++) {
		uint64_t dirty =
		    atomic_load_explicit(&region->dirty.words[i], memory_order_relaxed);
		uint64_t before = atomic_load_explicit(&told[i], memory_order_relaxed);

		if ((dirty & ~before) == 0)
			continue;
		atomic_store_explicit(&told[i], before | dirty, memory_order_relaxed);
		add_word(&scan, i * RS_BITS_PER_WORD, dirty & ~before);
	}
	end_range(&scan);
	emit_ranges(&scan);
}
