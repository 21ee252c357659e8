/* SPDX-License-Identifier: MIT */
#include "base/bitmap.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

static size_t bitmap_bytes(uint64_t bits)
{
	return (size_t)(rs_bitmap_word_count(bits) * sizeof(uint64_t));
}

int rs_bitmap_init(struct rs_bitmap *bitmap, uint64_t bits)
{
	void *words = mmap(NULL, bitmap_bytes(bits), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (words == MAP_FAILED)
		return -ENOMEM;
	bitmap->words = words;
	bitmap->bits = bits;
	return 0;
}

void rs_bitmap_fini(struct rs_bitmap *bitmap)
{
	if (bitmap->words != NULL)
		munmap((void *)bitmap->words, bitmap_bytes(bitmap->bits));
	bitmap->words = NULL;
	bitmap->bits = 0;
}

void rs_bitmap_reset(struct rs_bitmap *bitmap)
{
	madvise((void *)bitmap->words, bitmap_bytes(bitmap->bits), MADV_DONTNEED);
}

/* The words that a range of bits touches, one after the other, and the range's mask in each. */
struct word_walk {
	uint64_t index;
	uint64_t mask;
	uint64_t next;
	uint64_t end;
};

static bool word_walk_next(struct word_walk *walk)
{
	if (walk->next >= walk->end)
		return false;
	uint64_t index = walk->next / RS_BITS_PER_WORD;
	uint64_t word_end = (index + 1) * RS_BITS_PER_WORD;
	uint64_t stop = word_end < walk->end ? word_end : walk->end;

	walk->index = index;
	walk->mask = rs_bitmap_mask((unsigned)(walk->next % RS_BITS_PER_WORD),
				    (unsigned)((stop - 1) % RS_BITS_PER_WORD));
	walk->next = stop;
	return true;
}

uint64_t rs_bitmap_set_range(struct rs_bitmap *bitmap, uint64_t first, uint64_t count)
{
	struct word_walk walk = { .next = first, .end = first + count };
	uint64_t changed = 0;

	while (word_walk_next(&walk))
		changed += rs_bitmap_or_word(bitmap, walk.index, walk.mask);
	return changed;
}

uint64_t rs_bitmap_clear_range(struct rs_bitmap *bitmap, uint64_t first, uint64_t count)
{
	struct word_walk walk = { .next = first, .end = first + count };
	uint64_t changed = 0;

	while (word_walk_next(&walk)) {
		/* A read first: clearing what is clear would populate the bitmap. */
		_Atomic uint64_t *word = &bitmap->words[walk.index];

		if ((atomic_load_explicit(word, memory_order_relaxed) & walk.mask) == 0)
			continue;
		changed += (uint64_t)__builtin_popcountll(
		    walk.mask & atomic_fetch_and_explicit(word, ~walk.mask, memory_order_relaxed));
	}
	return changed;
}

/* First bit at or after from whose value, XORed with flip, is 1. */
static uint64_t bitmap_find(const struct rs_bitmap *bitmap, uint64_t from, uint64_t end,
			    uint64_t flip)
{
	if (from >= end)
		return end;
	uint64_t index = from / RS_BITS_PER_WORD;
	uint64_t last = (end - 1) / RS_BITS_PER_WORD;
	uint64_t keep = ~0ull << (from % RS_BITS_PER_WORD);

	for (; index <= last; index++, keep = ~0ull) {
		uint64_t word = atomic_load_explicit(&bitmap->words[index], memory_order_relaxed);

		word = (word ^ flip) & keep;
		if (word != 0) {
			uint64_t bit = index * RS_BITS_PER_WORD + (uint64_t)__builtin_ctzll(word);

			return bit < end ? bit : end;
		}
	}
	return end;
}

uint64_t rs_bitmap_find_set(const struct rs_bitmap *bitmap, uint64_t from, uint64_t end)
{
	return bitmap_find(bitmap, from, end, 0);
}

uint64_t rs_bitmap_find_clear(const struct rs_bitmap *bitmap, uint64_t from, uint64_t end)
{
	return bitmap_find(bitmap, from, end, ~0ull);
}

uint64_t rs_bitmap_count(const struct rs_bitmap *bitmap)
{
	uint64_t words = rs_bitmap_word_count(bitmap->bits), count = 0;

	for (uint64_t i = 0; i < words; i++)
		count += (uint64_t)__builtin_popcountll(
		    atomic_load_explicit(&bitmap->words[i], memory_order_relaxed));
	return count;
}
