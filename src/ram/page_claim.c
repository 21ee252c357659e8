/* SPDX-License-Identifier: MIT */
#include "ram/page_claim.h"

#include "base/checked.h"

/* In each unit of up to 64 pages: all bits, if any is set. */
static uint64_t whole_word(uint64_t word, uint64_t unit_pages)
{
	if (unit_pages == RS_BITS_PER_WORD)
		return word != 0 ? ~0ull : 0;
	/* Gather in each unit's first bit what is set in it; what the others gather is not looked at. */
	for (uint64_t shift = 1; shift < unit_pages; shift *= 2)
		word |= word >> shift;
	word &= ~0ull / ((1ull << unit_pages) - 1);
	return (word << unit_pages) - word;
}

/* The same of a unit of several words, which begin at words. */
static uint64_t make_words_whole(struct rs_bitmap *dirty, uint64_t index, uint64_t count)
{
	uint64_t any = 0, set = 0;

	for (uint64_t i = 0; i < count; i++)
		any |= atomic_load_explicit(&dirty->words[index + i], memory_order_relaxed);
	for (uint64_t i = 0; any != 0 && i < count; i++)
		set += rs_bitmap_or_word(dirty, index + i, ~0ull);
	return set;
}

uint64_t rs_page_claim_make_whole(struct rs_bitmap *dirty, uint64_t unit_pages, uint64_t pages)
{
	uint64_t words = rs_bitmap_word_count(pages), set = 0;
	uint64_t step = rs_max_u64(unit_pages / RS_BITS_PER_WORD, 1);

	if (unit_pages == 1)
		return 0;
	for (uint64_t i = 0; i < words; i += step) {
		if (step > 1) {
			set += make_words_whole(dirty, i, step);
			continue;
		}
		uint64_t word = atomic_load_explicit(&dirty->words[i], memory_order_relaxed);

		/* A look first: setting nothing would populate the bitmap. */
		if (word != 0)
			set += rs_bitmap_or_word(dirty, i, whole_word(word, unit_pages));
	}
	return set;
}

bool rs_page_claim_unit(struct rs_bitmap *dirty, uint64_t first, uint64_t unit_pages)
{
	_Atomic uint64_t *word = &dirty->words[first / RS_BITS_PER_WORD];
	unsigned bit = (unsigned)(first % RS_BITS_PER_WORD);
	unsigned in_word = (unsigned)rs_min_u64(unit_pages, RS_BITS_PER_WORD);
	uint64_t mask = rs_bitmap_mask(bit, bit + in_word - 1);

	if ((atomic_load_explicit(word, memory_order_relaxed) >> bit & 1) == 0)
		return false;
	if ((atomic_fetch_and_explicit(word, ~mask, memory_order_relaxed) >> bit & 1) == 0)
		return false;
	if (unit_pages > in_word)
		rs_bitmap_clear_range(dirty, first + in_word, unit_pages - in_word);
	return true;
}

/* Take the first unit that is left; its first page, or end. */
static uint64_t claim_first(struct rs_region *region, uint64_t from, uint64_t end)
{
	uint64_t unit = rs_placement_pages(region), first = rs_align_down(from, unit);

	for (;;) {
		/* It may find what somebody is just clearing. */
		first = rs_page_claim_find(region, first, end);
		if (first >= end || rs_page_claim_unit(&region->dirty, first, unit))
			return first;
		first += unit;
	}
}

bool rs_page_claim_run(struct rs_region *region, uint64_t from, uint64_t end, uint64_t max_pages,
		       struct rs_page_run *run)
{
	uint64_t unit = rs_placement_pages(region);
	uint64_t first = claim_first(region, from, end), next = first + unit;

	if (first >= end)
		return false;
	while (next < end && next + unit - first <= max_pages &&
	       rs_page_claim_unit(&region->dirty, next, unit))
		next += unit;
	*run = (struct rs_page_run){ region, first, next - first };
	/* Whoever sees by this count that no page is left sees what came before these were taken. */
	atomic_fetch_sub_explicit(&region->state->dirty_pages, run->count, memory_order_release);
	return true;
}
