/* SPDX-License-Identifier: MIT */
/*
 * The digest of the guest's memory. A page that was never populated is zero and adds nothing; it is
 * found without a touch, because to read a hole of a memfd allocates a page, and to read one of
 * anonymous memory page tables: 64 GiB of mostly nothing would become 128 MiB of something.
 */
#include "digest.h"
#include "memory.h"

#include <fcntl.h>
#include <unistd.h>

#define PAGEMAP_ENTRIES 4096u
#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_SWAPPED (1ull << 62)

struct digest_run {
	const struct memory_block *block;
	uint64_t place;
	uint64_t sum;
};

static void digest_range(struct digest_run *run, uint64_t from, uint64_t to)
{
	run->sum +=
	    digest_pages(run->block->host + from, to - from, run->place, from / DIGEST_PAGE_BYTES);
}

/* Shared memory: its file knows. False if it does not. */
static bool digest_by_seek(struct digest_run *run)
{
	uint64_t at = 0;

	while (at < run->block->bytes) {
		off_t data = lseek(run->block->fd, (off_t)at, SEEK_DATA);
		off_t hole = data < 0 ? -1 : lseek(run->block->fd, data, SEEK_HOLE);

		if (data < 0)
			return true; /* ENXIO: only holes from here on */
		if (hole <= data || (uint64_t)data % DIGEST_PAGE_BYTES ||
		    (uint64_t)hole % DIGEST_PAGE_BYTES)
			return false;
		digest_range(run, (uint64_t)data, (uint64_t)hole);
		at = (uint64_t)hole;
	}
	return true;
}

/* Private anonymous memory: the page tables know. */
static bool digest_by_pagemap(struct digest_run *run, int pagemap)
{
	const struct memory_block *block = run->block;
	uint64_t first = (uintptr_t)block->host / block->host_page_bytes;
	uint64_t pages = block->bytes / block->host_page_bytes;
	uint64_t entries[PAGEMAP_ENTRIES];

	for (uint64_t page = 0; page < pages;) {
		uint64_t want = pages - page < PAGEMAP_ENTRIES ? pages - page : PAGEMAP_ENTRIES;
		ssize_t got = pread(pagemap, entries, want * sizeof(entries[0]),
				    (off_t)((first + page) * sizeof(entries[0])));
		size_t count = got > 0 ? (size_t)got / sizeof(entries[0]) : 0;

		if (!count)
			return false;
		for (size_t i = 0; i < count; i++, page++)
			if (entries[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED))
				digest_range(run, page * block->host_page_bytes,
					     (page + 1) * block->host_page_bytes);
	}
	return true;
}

static uint64_t digest_block(const struct memory_block *block, int pagemap)
{
	struct digest_run run = { .block = block, .place = digest_name(block->name) };
	bool known = false;

	if (block->kind == MEMORY_MEMFD)
		known = digest_by_seek(&run);
	else if (block->kind == MEMORY_ANON && pagemap >= 0)
		known = digest_by_pagemap(&run, pagemap);
	if (!known) {
		run.sum = 0;
		digest_range(&run, 0, block->bytes);
	}
	return run.sum;
}

uint64_t memory_digest(const struct memory *memory)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t sum = 0;

	for (unsigned i = 0; i < memory->count; i++)
		sum += digest_block(&memory->block[i], pagemap);
	if (pagemap >= 0)
		close(pagemap);
	return sum;
}
