/* SPDX-License-Identifier: MIT */
#include "guest/checked_page.h"
#include "guest/digest.h"
#include "guest/mix64.h"

#define MAGIC 0x72616d73796e6321u
#define PAGE_WORDS (CHECKED_PAGE_BYTES / sizeof(uint64_t))
#define LINE_WORDS (64 / sizeof(uint64_t))

struct header {
	uint64_t magic;
	struct checked_page_id id;
};

/* A mark in each cache line: a page of two halves of different age must not pass. */
static void put_marks(uint64_t *word, const struct checked_page_id *id)
{
	uint64_t seed = mix64(id->sequence ^ mix64(id->index));

	for (uint64_t i = LINE_WORDS; i < PAGE_WORDS; i += LINE_WORDS)
		word[i] = seed + i;
}

void checked_page_write(void *page, const struct checked_page_id *id)
{
	struct header *header = page;
	uint64_t *word = page;

	header->magic = MAGIC;
	header->id = *id;
	put_marks(word, id);
	word[PAGE_WORDS - 1] = digest_words(page, PAGE_WORDS - 1);
}

enum checked_page_fault checked_page_verify(const void *page, const struct checked_page_id *id,
					    struct checked_page_id *found)
{
	const struct header *header = page;
	const uint64_t *word = page;

	*found = header->id;
	if (header->magic != MAGIC || word[PAGE_WORDS - 1] != digest_words(page, PAGE_WORDS - 1))
		return CHECKED_PAGE_BROKEN;
	if (found->index != id->index || found->writer != id->writer)
		return CHECKED_PAGE_MISPLACED;
	return found->sequence == id->sequence ? CHECKED_PAGE_GOOD : CHECKED_PAGE_STALE;
}
