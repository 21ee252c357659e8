/* SPDX-License-Identifier: MIT */
#include "track/marks.h"

int rs_marks_init(struct rs_marks *marks, uint64_t bits)
{
	atomic_init(&marks->enabled, false);
	return rs_bitmap_init(&marks->bits, bits);
}

void rs_marks_fini(struct rs_marks *marks)
{
	rs_bitmap_fini(&marks->bits);
}

void rs_marks_start(struct rs_marks *marks)
{
	atomic_store_explicit(&marks->enabled, true, memory_order_relaxed);
	/* The flag before the reads of every page: order 2. */
	atomic_thread_fence(memory_order_seq_cst);
}

void rs_marks_stop(struct rs_marks *marks)
{
	atomic_store_explicit(&marks->enabled, false, memory_order_relaxed);
	/* Late marks land before or after this; both is fine: order 3. */
	rs_bitmap_reset(&marks->bits);
}

static void mark_word(_Atomic uint64_t *word, uint64_t mask)
{
	if ((atomic_load_explicit(word, memory_order_relaxed) & mask) == mask)
		return;
	atomic_fetch_or_explicit(word, mask, memory_order_release);
}

void rs_marks_set_range(struct rs_marks *marks, uint64_t first, uint64_t count)
{
	/* The caller's data before the flag and before the bit: orders 1 and 2. */
	atomic_thread_fence(memory_order_seq_cst);
	if (count == 0 || !atomic_load_explicit(&marks->enabled, memory_order_relaxed))
		return;

	uint64_t last = first + count - 1;
	uint64_t index = first / RS_BITS_PER_WORD;
	uint64_t last_index = last / RS_BITS_PER_WORD;
	unsigned from = (unsigned)(first % RS_BITS_PER_WORD);

	for (; index < last_index; index++, from = 0)
		mark_word(&marks->bits.words[index], rs_bitmap_mask(from, RS_BITS_PER_WORD - 1));
	mark_word(&marks->bits.words[index],
		  rs_bitmap_mask(from, (unsigned)(last % RS_BITS_PER_WORD)));
}

uint64_t rs_marks_harvest(struct rs_marks *marks, struct rs_bitmap *into)
{
	uint64_t words = rs_bitmap_word_count(marks->bits.bits);
	uint64_t changed = 0;

	for (uint64_t i = 0; i < words; i++) {
		_Atomic uint64_t *word = &marks->bits.words[i];

		/* Look first: an exchange would populate the bitmap's every page. */
		if (atomic_load_explicit(word, memory_order_relaxed) == 0)
			continue;
		changed += rs_bitmap_or_word(
		    into, i, atomic_exchange_explicit(word, 0, memory_order_acq_rel));
	}
	/* The clearing before the reads of the pages: order 1. */
	atomic_thread_fence(memory_order_seq_cst);
	return changed;
}
