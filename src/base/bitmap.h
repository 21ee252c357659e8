/* SPDX-License-Identifier: MIT */
/*
 * Bitmaps with a bit for each page, as large as the address space allows and as small as what
 * is set in them: the words are mapped, not allocated, so that clear parts cost nothing.
 *
 * Words are atomic. Setting and clearing may race with each other from any number of
 * threads; each call says what order it gives.
 */
#ifndef RS_BASE_BITMAP_H
#define RS_BASE_BITMAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define RS_BITS_PER_WORD 64u

struct rs_bitmap {
	_Atomic uint64_t *words;
	uint64_t bits;
};

static inline uint64_t rs_bitmap_word_count(uint64_t bits)
{
	return bits / RS_BITS_PER_WORD + (bits % RS_BITS_PER_WORD != 0);
}

/* The bits [first, last] of one word, 0 <= first <= last <= 63. */
static inline uint64_t rs_bitmap_mask(unsigned first, unsigned last)
{
	return (~0ull << first) & (~0ull >> (63 - last));
}

/* All clear. 0 or -ENOMEM. */
int rs_bitmap_init(struct rs_bitmap *bitmap, uint64_t bits);
void rs_bitmap_fini(struct rs_bitmap *bitmap);

/* Clear all and give the memory back. Not atomic against anything. */
void rs_bitmap_reset(struct rs_bitmap *bitmap);

static inline bool rs_bitmap_test(const struct rs_bitmap *bitmap, uint64_t bit)
{
	return atomic_load_explicit(&bitmap->words[bit / RS_BITS_PER_WORD], memory_order_relaxed) >>
		   (bit % RS_BITS_PER_WORD) &
	       1;
}

/* Set (relaxed OR) or clear bits [first, first + count). Both return how many changed. */
uint64_t rs_bitmap_set_range(struct rs_bitmap *bitmap, uint64_t first, uint64_t count);
uint64_t rs_bitmap_clear_range(struct rs_bitmap *bitmap, uint64_t first, uint64_t count);

/* OR a word in at word index; returns how many bits that set. */
static inline uint64_t rs_bitmap_or_word(struct rs_bitmap *bitmap, uint64_t index, uint64_t word)
{
	uint64_t old = atomic_fetch_or_explicit(&bitmap->words[index], word, memory_order_relaxed);

	return (uint64_t)__builtin_popcountll(word & ~old);
}

/* First set (clear) bit at or after from and before end; end if there is none. */
uint64_t rs_bitmap_find_set(const struct rs_bitmap *bitmap, uint64_t from, uint64_t end);
uint64_t rs_bitmap_find_clear(const struct rs_bitmap *bitmap, uint64_t from, uint64_t end);

uint64_t rs_bitmap_count(const struct rs_bitmap *bitmap);

#endif
