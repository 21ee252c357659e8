/* SPDX-License-Identifier: MIT */
#include "ram/population.h"

#include "base/checked.h"
#include "base/error.h"
#include "track/backing_file.h"
#include "track/mappings.h"
#include "track/pagemap.h"

#include <stdlib.h>
#include <unistd.h>

/*
 * What proves that a page is zero, by kind of memory:
 *
 * private anonymous	Nothing in the page table: neither a page nor a swap entry. Or the zero
 *			page, which is what a read of a hole leaves behind. The kernel never takes a
 *			page away without leaving an entry in its place, unless it is discarded, and
 *			then it is zero.
 * shared file		No data in the file. What is missing from the page table proves nothing:
 *			pages that came in through another mapping, or that were reclaimed. But what
 *			is present has data, and the page table is asked many times as fast.
 * private file		Both: neither a private copy nor data beneath.
 *
 * Not proven, so populated: shared memory whose file was not given or does not tell, hugetlbfs,
 * everything unknown.
 */
enum proof {
	PROOF_NONE = 0,
	PROOF_PAGEMAP = 1 << 0,
	PROOF_FILE = 1 << 1,
	/* Entries for pages that are not present are no pages: userfaultfd leaves such in holes of
	 * shared memory when it protects them. Swapped-out pages are the file's to tell. */
	PROOF_SHARED = 1 << 2,
};

/* A part of the region with one kind of proof, in offsets of the region. */
struct part {
	uint64_t start;
	uint64_t end;
	unsigned proof;
	uint64_t file_offset; /* of start */
};

struct rs_population {
	uintptr_t host;
	uint64_t target_page_bytes;
	uint64_t host_page_bytes; /* the system's: the unit of pagemap */
	int pagemap;
	bool can_scan;
	struct rs_backing_file file;
	struct part *parts;
	size_t part_count;
};

/* ---- opening ------------------------------------------------------------------------------- */

static unsigned proof_of(const struct rs_population *population, const struct rs_mapping *mapping)
{
	bool file = rs_backing_file_matches(&population->file, mapping);

	switch (mapping->kind) {
	case RS_MAPPING_ANONYMOUS:
		return population->pagemap >= 0 ? PROOF_PAGEMAP : PROOF_NONE;
	case RS_MAPPING_SHARED_FILE:
		if (!file)
			return PROOF_NONE;
		return PROOF_FILE | (population->pagemap >= 0 ? PROOF_PAGEMAP | PROOF_SHARED : 0);
	case RS_MAPPING_PRIVATE_FILE:
		return file && population->pagemap >= 0 ? PROOF_FILE | PROOF_PAGEMAP : PROOF_NONE;
	case RS_MAPPING_UNKNOWN:
		break;
	}
	return PROOF_NONE;
}

static int make_parts(struct rs_population *population, uint64_t bytes)
{
	struct rs_mapping *mappings = NULL;
	size_t count = 0;
	int result =
	    rs_mappings_read(population->host, population->host + bytes, &mappings, &count);

	/* Without /proc nothing is known, and all is populated. */
	if (result != 0)
		return result == -ENOMEM ? result : 0;
	population->parts = calloc(count, sizeof(*population->parts));
	if (population->parts == NULL) {
		free(mappings);
		return -ENOMEM;
	}
	for (size_t i = 0; i < count; i++)
		population->parts[i] = (struct part){
			.start = mappings[i].start - population->host,
			.end = mappings[i].end - population->host,
			.proof = proof_of(population, &mappings[i]),
			.file_offset = mappings[i].file_offset,
		};
	population->part_count = count;
	free(mappings);
	return 0;
}

int rs_population_open(struct rs_population **population, const struct rs_region *region,
		       struct rs_error *error)
{
	struct rs_population *opened = calloc(1, sizeof(*opened));

	if (opened == NULL)
		return rs_error_setf(error, -ENOMEM, "no memory");
	opened->host = (uintptr_t)rs_region_host(region);
	opened->target_page_bytes = rs_state_page_bytes(rs_region_state(region));
	opened->host_page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	opened->pagemap = rs_pagemap_open();
	opened->can_scan = opened->pagemap >= 0 && rs_pagemap_can_scan(opened->pagemap);
	rs_backing_file_open(&opened->file, rs_region_fd(region));

	int result = make_parts(opened, rs_region_max_bytes(region));

	if (result != 0) {
		rs_population_close(opened);
		return rs_error_setf(error, result, "no memory");
	}
	*population = opened;
	return 0;
}

void rs_population_close(struct rs_population *population)
{
	if (population == NULL)
		return;
	if (population->pagemap >= 0)
		close(population->pagemap);
	rs_backing_file_close(&population->file);
	free(population->parts);
	free(population);
}

/* ---- one at a time ------------------------------------------------------------------------- */

const struct rs_population *rs_population_slot_get(struct rs_population_slot *slot,
						   const struct rs_region *region)
{
	if (slot->region != region) {
		rs_population_slot_clear(slot);
		slot->region = region;
		/* Without memory for it nothing is known, which is no failure. */
		rs_population_open(&slot->population, region, NULL);
	}
	return slot->population;
}

void rs_population_slot_clear(struct rs_population_slot *slot)
{
	rs_population_close(slot->population);
	slot->population = NULL;
	slot->region = NULL;
}

/* ---- collecting ---------------------------------------------------------------------------- */

/* Makes whole target pages out of what the proofs find, which comes in order. */
struct collector {
	struct rs_extent *holes;
	size_t max;
	size_t count;
	struct rs_extent window;
	uint64_t page_bytes;
	struct rs_extent growing; /* the last find, which the next one may continue */
	bool full;
	uint64_t full_at; /* a page boundary: holes beyond were dropped */
};

static void collector_settle(struct collector *collector)
{
	struct rs_extent whole = {
		.start = rs_max_u64(collector->window.start,
				    rs_align_up(collector->growing.start, collector->page_bytes)),
		.end = rs_min_u64(collector->window.end,
				  rs_align_down(collector->growing.end, collector->page_bytes)),
	};

	collector->growing = (struct rs_extent){ 0 };
	if (whole.start >= whole.end || collector->full)
		return;
	if (collector->count == collector->max) {
		collector->full = true;
		collector->full_at = whole.start;
		return;
	}
	collector->holes[collector->count++] = whole;
}

static void collector_add(struct collector *collector, uint64_t start, uint64_t end)
{
	if (start >= end)
		return;
	if (collector->growing.end != start || collector->growing.start == collector->growing.end) {
		collector_settle(collector);
		collector->growing.start = start;
	}
	collector->growing.end = end;
}

/* ---- proofs -------------------------------------------------------------------------------- */

/* The file's holes in [start, end) of a part. */
static void find_file_holes(const struct rs_population *population, const struct part *part,
			    uint64_t start, uint64_t end, struct collector *collector)
{
	uint64_t shift = part->file_offset - part->start; /* may wrap, and wraps back */

	while (start < end && !collector->full) {
		uint64_t data =
		    rs_backing_file_find_data(&population->file, start + shift, end + shift) -
		    shift;

		collector_add(collector, start, data);
		if (data >= end)
			return;
		start =
		    rs_backing_file_find_hole(&population->file, data + shift, end + shift) - shift;
		/* A hole made right behind the look for data: go on, with data or without. */
		if (start <= data)
			start = data + 1;
	}
}

/* [start, end) of a part is missing from the page table. */
static void add_unmapped(const struct rs_population *population, const struct part *part,
			 uint64_t start, uint64_t end, struct collector *collector)
{
	if (part->proof & PROOF_FILE)
		find_file_holes(population, part, start, end, collector);
	else
		collector_add(collector, start, end);
}

static void find_unmapped_by_scan(const struct rs_population *population, const struct part *part,
				  uint64_t start, uint64_t end, struct collector *collector)
{
	/* What has data: present or swapped out, and not the zero page. */
	const struct rs_pagemap_query query = {
		.inverted = PAGE_IS_PFNZERO,
		.mask = PAGE_IS_PFNZERO,
		.anyof = PAGE_IS_PRESENT | (part->proof & PROOF_SHARED ? 0 : PAGE_IS_SWAPPED),
	};
	struct page_region data[128];
	uintptr_t position = population->host + start;
	uintptr_t stop = population->host + end;

	while (position < stop && !collector->full) {
		uint64_t unmapped = position - population->host;
		int count = rs_pagemap_scan(population->pagemap, &query, &position, stop, data,
					    sizeof(data) / sizeof(data[0]));

		if (count < 0)
			return;
		for (int i = 0; i < count; i++) {
			add_unmapped(population, part, unmapped, data[i].start - population->host,
				     collector);
			unmapped = data[i].end - population->host;
		}
		add_unmapped(population, part, unmapped, position - population->host, collector);
	}
}

/* For kernels before 6.7: the same from the entries of single pages (present or swapped out). */
static void find_unmapped_by_entry(const struct rs_population *population, const struct part *part,
				   uint64_t start, uint64_t end, struct collector *collector)
{
	const uint64_t has_data = 1ull << 63 | (part->proof & PROOF_SHARED ? 0 : 1ull << 62);
	const uint64_t page = population->host_page_bytes;
	uint64_t entries[512];

	while (start < end && !collector->full) {
		uint64_t wanted = rs_min_u64((end - start) / page, 512);
		ssize_t got =
		    pread(population->pagemap, entries, wanted * sizeof(entries[0]),
			  (off_t)((population->host + start) / page * sizeof(entries[0])));
		uint64_t count = got < 0 ? 0 : (uint64_t)got / sizeof(entries[0]);

		if (count == 0)
			return;
		for (uint64_t i = 0; i < count; i++, start += page)
			if ((entries[i] & has_data) == 0)
				add_unmapped(population, part, start, start + page, collector);
	}
}

static void find_holes(const struct rs_population *population, const struct part *part,
		       uint64_t start, uint64_t end, struct collector *collector)
{
	if (part->proof == PROOF_FILE)
		find_file_holes(population, part, start, end, collector);
	if ((part->proof & PROOF_PAGEMAP) == 0)
		return;
	/* The kernel takes whole pages of its own only; target pages may be smaller. */
	start = rs_align_down(start, population->host_page_bytes);
	end = rs_align_up(end, population->host_page_bytes);
	if (population->can_scan)
		find_unmapped_by_scan(population, part, start, end, collector);
	else
		find_unmapped_by_entry(population, part, start, end, collector);
}

uint64_t rs_population_scan(const struct rs_population *population, uint64_t offset, uint64_t limit,
			    struct rs_extent *holes, size_t max, size_t *count)
{
	struct collector collector = {
		.holes = holes,
		.max = max,
		.window = { .start = offset, .end = limit },
		.page_bytes = population->target_page_bytes,
	};

	for (size_t i = 0; i < population->part_count && !collector.full; i++) {
		const struct part *part = &population->parts[i];
		uint64_t start = rs_max_u64(offset, part->start);
		uint64_t end = rs_min_u64(limit, part->end);

		if (start < end)
			find_holes(population, part, start, end, &collector);
	}
	collector_settle(&collector);
	*count = collector.count;
	return collector.full ? collector.full_at : limit;
}
