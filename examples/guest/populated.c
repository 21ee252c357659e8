/* SPDX-License-Identifier: MIT */
#include "guest/populated.h"

#include <fcntl.h>
#include <unistd.h>

#define PAGEMAP_ENTRIES 4096u
#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_SWAPPED (1ull << 62)

struct walk {
	const struct memory_block *block;
	populated_visit visit;
	void *opaque;
	uint64_t at; /* all before was visited */
};

static int visit(struct walk *walk, uint64_t from, uint64_t to)
{
	walk->at = to;
	/* A block need not end where its last host page does. */
	if (to > walk->block->bytes)
		to = walk->block->bytes;
	return walk->visit(walk->opaque, walk->block, from, to);
}

/* Shared memory: its file knows. Stops where it does not. */
static int walk_by_seek(struct walk *walk)
{
	const struct memory_block *block = walk->block;

	while (walk->at < block->bytes) {
		off_t data = lseek(block->fd, (off_t)walk->at, SEEK_DATA);
		off_t hole = data < 0 ? -1 : lseek(block->fd, data, SEEK_HOLE);
		int ret;

		if (data < 0)
			walk->at = block->bytes; /* ENXIO: only holes from here on */
		if (hole <= data || (uint64_t)data % block->host_page_bytes ||
		    (uint64_t)hole % block->host_page_bytes)
			return 0;
		ret = visit(walk, (uint64_t)data, (uint64_t)hole);
		if (ret)
			return ret;
	}
	return 0;
}

/* The run of populated pages that begins at entry @i of @count. Returns where it ends. */
static size_t run_end(const uint64_t *entries, size_t i, size_t count)
{
	while (i < count && entries[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED))
		i++;
	return i;
}

static int visit_entries(struct walk *walk, const uint64_t *entries, size_t count)
{
	uint64_t page = walk->block->host_page_bytes;
	uint64_t first = walk->at;

	for (size_t i = 0; i < count; i++) {
		size_t end = run_end(entries, i, count);
		int ret = end > i ? visit(walk, first + i * page, first + end * page) : 0;

		if (ret)
			return ret;
		i = end > i ? end - 1 : i;
	}
	walk->at = first + count * page;
	return 0;
}

/* Private anonymous memory: the page tables know. Stops where they cannot be read. */
static int walk_by_pagemap(struct walk *walk, int pagemap)
{
	const struct memory_block *block = walk->block;
	uint64_t page = block->host_page_bytes;
	uint64_t entries[PAGEMAP_ENTRIES];

	while (walk->at < block->bytes) {
		uint64_t left = (block->bytes - walk->at + page - 1) / page;
		uint64_t want = left < PAGEMAP_ENTRIES ? left : PAGEMAP_ENTRIES;
		uint64_t first = ((uintptr_t)block->host + walk->at) / page;
		ssize_t got = pread(pagemap, entries, want * sizeof(entries[0]),
				    (off_t)(first * sizeof(entries[0])));
		int ret;

		if (got < (ssize_t)sizeof(entries[0]))
			return 0;
		ret = visit_entries(walk, entries, (size_t)got / sizeof(entries[0]));
		if (ret)
			return ret;
	}
	return 0;
}

static int walk_anonymous(struct walk *walk)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	int ret;

	if (pagemap < 0)
		return 0;
	ret = walk_by_pagemap(walk, pagemap);
	close(pagemap);
	return ret;
}

int populated_walk(const struct memory_block *block, populated_visit visited, void *opaque)
{
	struct walk walk = { .block = block, .visit = visited, .opaque = opaque };
	int ret = 0;

	if (block->kind == MEMORY_MEMFD)
		ret = walk_by_seek(&walk);
	else if (block->kind == MEMORY_ANON)
		ret = walk_anonymous(&walk);
	if (!ret && walk.at < block->bytes)
		ret = visit(&walk, walk.at, block->bytes);
	return ret;
}
