/* SPDX-License-Identifier: MIT */
/* The digest of the guest's memory. A page that was never populated is zero and adds nothing. */
#include "guest/digest.h"
#include "guest/populated.h"

struct digest_run {
	uint64_t place;
	uint64_t sum;
};

static int digest_range(void *opaque, const struct memory_block *block, uint64_t from, uint64_t to)
{
	struct digest_run *run = opaque;

	run->sum +=
	    digest_pages(block->host + from, to - from, run->place, from / DIGEST_PAGE_BYTES);
	return 0;
}

uint64_t memory_digest(const struct memory *memory)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < memory->count; i++) {
		struct digest_run run = { .place = digest_name(memory->block[i].name) };

		populated_walk(&memory->block[i], digest_range, &run);
		sum += run.sum;
	}
	return sum;
}
