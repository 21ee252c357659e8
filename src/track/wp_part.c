/* SPDX-License-Identifier: MIT */
#include "track/wp_part.h"

#include "base/checked.h"
#include "base/error.h"
#include "track/pagemap.h"

/* What a page of page tables covers, and what a transparent huge page is, on most machines. */
#define BLOCK_BYTES (2ull << 20)

/* Most memory for one system call: so long other threads cannot map, nor KVM's guests fault. */
#define CALL_BYTES (256ull << 20)

static const struct rs_pagemap_query written_query = {
	.flags = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
	.mask = PAGE_IS_WRITTEN,
};

static const struct rs_pagemap_query written_and_populated_query = {
	.flags = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
	.mask = PAGE_IS_WRITTEN,
	.anyof = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
};

static const struct rs_pagemap_query populated_query = {
	.anyof = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
};

/* ---- blocks -------------------------------------------------------------------------------- */

/* Blocks are aligned in the address space, as page tables are; a part may begin inside of one. */
static uint64_t block_of(const struct rs_wp_memory *memory, const struct rs_wp_part *part,
			 uintptr_t address)
{
	return address / memory->block_bytes - part->start / memory->block_bytes;
}

static uintptr_t block_start(const struct rs_wp_memory *memory, const struct rs_wp_part *part,
			     uint64_t block)
{
	uintptr_t start = (part->start / memory->block_bytes + block) * memory->block_bytes;

	return start < part->start ? part->start : start;
}

/* Where the block after the last one would begin: the part's end for the part's last block. */
static uintptr_t blocks_end(const struct rs_wp_memory *memory, const struct rs_wp_part *part,
			    uint64_t end)
{
	return rs_min_u64((part->start / memory->block_bytes + end) * memory->block_bytes,
			  part->end);
}

/* ---- scanning ------------------------------------------------------------------------------ */

static int fail_scan(const struct rs_wp_pass *pass, int code, uintptr_t address)
{
	unsigned long long offset = address - pass->memory->host;

	if (code == -EPERM)
		return rs_error_setf(pass->error, code,
				     "memory behind offset 0x%llx was mapped anew", offset);
	if (code == -ENOTTY)
		return rs_error_setf(pass->error, -EOPNOTSUPP,
				     "this kernel lacks PAGEMAP_SCAN, which came with Linux 6.7");
	return rs_error_setf(pass->error, code, "PAGEMAP_SCAN at offset 0x%llx: %s", offset,
			     rs_errno_text(code));
}

/* One call, into the memory's ranges. Their number or a negative errno; moves *position. */
static int scan_some(const struct rs_wp_pass *pass, const struct rs_pagemap_query *query,
		     uintptr_t *position, uintptr_t end)
{
	const struct rs_wp_memory *memory = pass->memory;
	uintptr_t from = *position;
	/* To the end of a block: to protect a part of a huge page would split it. */
	uintptr_t stop =
	    rs_align_down(from + rs_max_u64(CALL_BYTES, memory->block_bytes), memory->block_bytes);
	int count = rs_pagemap_scan(memory->pagemap, query, position, rs_min_u64(stop, end),
				    pass->memory->ranges, RS_WP_RANGES);

	return count < 0 ? fail_scan(pass, count, from) : count;
}

static void report(const struct rs_wp_pass *pass, uintptr_t start, uintptr_t end)
{
	if (pass->sink != NULL && start < end)
		rs_dirty_report_range(pass->sink, start - pass->memory->host, end - start);
}

static void report_ranges(const struct rs_wp_pass *pass, int count)
{
	for (int i = 0; i < count; i++)
		report(pass, (uintptr_t)pass->memory->ranges[i].start,
		       (uintptr_t)pass->memory->ranges[i].end);
}

/* ---- whole blocks -------------------------------------------------------------------------- */

static int scan_whole(const struct rs_wp_pass *pass, uintptr_t start, uintptr_t end)
{
	while (start < end) {
		int count = scan_some(pass, &written_query, &start, end);

		if (count < 0)
			return count;
		report_ranges(pass, count);
	}
	return 0;
}

/* ---- sparse blocks of private memory ------------------------------------------------------- */

/* [start, end) of a part is populated throughout: the blocks that lie inside are whole. */
static void settle_run(const struct rs_wp_memory *memory, struct rs_wp_part *part, uintptr_t start,
		       uintptr_t end)
{
	if (start >= end)
		return;
	uint64_t first = block_of(memory, part, start);
	uint64_t last = block_of(memory, part, end - 1);

	if (start > block_start(memory, part, first))
		first++;
	if (end == blocks_end(memory, part, last + 1))
		last++;
	if (first < last)
		rs_bitmap_set_range(&part->whole, first, last - first);
}

/* Find out which blocks of [first, end) have no holes. */
static int settle_blocks(const struct rs_wp_pass *pass, struct rs_wp_part *part, uint64_t first,
			 uint64_t end)
{
	uintptr_t position = block_start(pass->memory, part, first);
	uintptr_t stop = blocks_end(pass->memory, part, end);
	uintptr_t run_start = position, run_end = position;
	struct page_region found[64];

	while (position < stop) {
		uintptr_t from = position;
		int count = rs_pagemap_scan(pass->memory->pagemap, &populated_query, &position,
					    stop, found, sizeof(found) / sizeof(found[0]));

		if (count < 0)
			return fail_scan(pass, count, from);
		for (int i = 0; i < count; i++) {
			if (found[i].start != run_end) {
				settle_run(pass->memory, part, run_start, run_end);
				run_start = (uintptr_t)found[i].start;
			}
			run_end = (uintptr_t)found[i].end;
		}
	}
	settle_run(pass->memory, part, run_start, run_end);
	return 0;
}

/* Written pages were found: look at their blocks, neighbours together. */
static int settle_found(const struct rs_wp_pass *pass, struct rs_wp_part *part, int count)
{
	const struct page_region *ranges = pass->memory->ranges;

	for (int i = 0; i < count;) {
		uint64_t first = block_of(pass->memory, part, (uintptr_t)ranges[i].start);
		uint64_t end = first;

		for (; i < count; i++) {
			if (block_of(pass->memory, part, (uintptr_t)ranges[i].start) > end)
				break;
			end = block_of(pass->memory, part, (uintptr_t)ranges[i].end - 1) + 1;
		}
		int result = settle_blocks(pass, part, first, end);

		if (result < 0)
			return result;
	}
	return 0;
}

static int scan_sparse_private(const struct rs_wp_pass *pass, struct rs_wp_part *part,
			       uintptr_t start, uintptr_t end)
{
	while (start < end) {
		int count = scan_some(pass, &written_and_populated_query, &start, end);

		if (count < 0)
			return count;
		report_ranges(pass, count);
		int result = settle_found(pass, part, count);

		if (result < 0)
			return result;
	}
	return 0;
}

/* ---- sparse blocks of a shared file -------------------------------------------------------- */

/* Report what the file has in [start, end) of a part. */
static void report_data(const struct rs_wp_pass *pass, const struct rs_wp_part *part,
			uintptr_t start, uintptr_t end)
{
	const struct rs_backing_file *file = &pass->memory->file;
	uintptr_t shift = (uintptr_t)part->file_offset - part->start; /* may wrap, and wraps back */

	while (pass->sink != NULL && start < end) {
		uint64_t data = rs_backing_file_find_data(file, start + shift, end + shift);
		uint64_t hole = rs_backing_file_find_hole(file, data, end + shift);

		report(pass, (uintptr_t)data - shift, (uintptr_t)hole - shift);
		/* A hole made right behind the look for data must not stop us. */
		start = (uintptr_t)rs_max_u64(hole, data + 1) - shift;
	}
}

/*
 * Protect blocks that have got data, and report it. In this order: what is written before the
 * protection is in the file when it is asked, and what is written later is found next time.
 */
static int take_blocks(const struct rs_wp_pass *pass, struct rs_wp_part *part, uint64_t first,
		       uint64_t end)
{
	struct rs_wp_pass protect = { .memory = pass->memory, .error = pass->error };
	uintptr_t start = block_start(pass->memory, part, first);
	uintptr_t stop = blocks_end(pass->memory, part, end);
	int result = scan_whole(&protect, start, stop);

	if (result < 0)
		return result;
	rs_bitmap_set_range(&part->whole, first, end - first);
	report_data(pass, part, start, stop);
	return 0;
}

/* Take the blocks around [start, end), which has data, and move *position behind them. */
static int take_around(const struct rs_wp_pass *pass, struct rs_wp_part *part, uintptr_t start,
		       uintptr_t end, uintptr_t *position)
{
	uint64_t first = block_of(pass->memory, part, start);
	uint64_t last = block_of(pass->memory, part, end - 1);

	*position = blocks_end(pass->memory, part, last + 1);
	return take_blocks(pass, part, first, last + 1);
}

/* [*position, end) is not in the page table, but may be in the file. */
static int scan_unmapped(const struct rs_wp_pass *pass, struct rs_wp_part *part,
			 uintptr_t *position, uintptr_t end)
{
	const struct rs_backing_file *file = &pass->memory->file;
	uintptr_t shift = (uintptr_t)part->file_offset - part->start;

	while (*position < end) {
		uint64_t data = rs_backing_file_find_data(file, *position + shift, end + shift);

		if (data >= end + shift)
			break;
		uint64_t hole = rs_backing_file_find_hole(file, data, end + shift);
		int result = take_around(pass, part, (uintptr_t)data - shift,
					 (uintptr_t)rs_max_u64(hole, data + 1) - shift, position);

		if (result < 0)
			return result;
	}
	*position = rs_max_u64(*position, end);
	return 0;
}

/*
 * What is in the page table is in the file, and the page table is asked many times as fast: the
 * file looks at each of its pages until it finds a hole.
 */
static int scan_sparse_file(const struct rs_wp_pass *pass, struct rs_wp_part *part, uintptr_t start,
			    uintptr_t end)
{
	static const struct rs_pagemap_query present_query = { .anyof = PAGE_IS_PRESENT };
	const uint64_t block_bytes = pass->memory->block_bytes;

	while (start < end) {
		uintptr_t scanned = start;
		uintptr_t stop =
		    rs_align_down(start + rs_max_u64(CALL_BYTES, block_bytes), block_bytes);
		struct page_region present;
		int count = rs_pagemap_scan(pass->memory->pagemap, &present_query, &scanned,
					    rs_min_u64(stop, end), &present, 1);

		if (count < 0)
			return fail_scan(pass, count, start);
		int result = scan_unmapped(pass, part, &start,
					   count > 0 ? (uintptr_t)present.start : scanned);

		if (result == 0 && count > 0 && start < present.end)
			result = take_around(pass, part, start, (uintptr_t)present.end, &start);
		if (result < 0)
			return result;
	}
	return 0;
}

/* ---- parts --------------------------------------------------------------------------------- */

uint64_t rs_wp_block_bytes(uint64_t page_bytes)
{
	return rs_max_u64(BLOCK_BYTES, page_bytes);
}

static enum rs_wp_source source_of(const struct rs_wp_memory *memory,
				   const struct rs_mapping *mapping)
{
	if (mapping->kind == RS_MAPPING_ANONYMOUS || mapping->kind == RS_MAPPING_PRIVATE_FILE)
		return RS_WP_PRIVATE;
	return rs_backing_file_matches(&memory->file, mapping) ? RS_WP_FILE : RS_WP_POPULATED;
}

int rs_wp_part_init(struct rs_wp_part *part, const struct rs_wp_memory *memory,
		    const struct rs_mapping *mapping)
{
	*part = (struct rs_wp_part){
		.start = mapping->start,
		.end = mapping->end,
		.source = source_of(memory, mapping),
		.file_offset = mapping->file_offset,
	};
	uint64_t blocks = block_of(memory, part, part->end - 1) + 1;
	int result = rs_bitmap_init(&part->whole, blocks);

	if (result == 0 && part->source == RS_WP_POPULATED)
		rs_bitmap_set_range(&part->whole, 0, blocks);
	return result;
}

void rs_wp_part_fini(struct rs_wp_part *part)
{
	rs_bitmap_fini(&part->whole);
}

/* ---- passes -------------------------------------------------------------------------------- */

static int scan_sparse(const struct rs_wp_pass *pass, struct rs_wp_part *part, uintptr_t start,
		       uintptr_t end)
{
	if (part->source == RS_WP_FILE)
		return scan_sparse_file(pass, part, start, end);
	return scan_sparse_private(pass, part, start, end);
}

int rs_wp_part_scan(struct rs_wp_part *part, const struct rs_wp_pass *pass, uintptr_t limit)
{
	uintptr_t stop = rs_min_u64(part->end, limit);
	uint64_t block = 0;

	if (part->start >= stop)
		return 0;
	uint64_t blocks = block_of(pass->memory, part, stop - 1) + 1;

	/* Neighbours in the same condition go together: few system calls. */
	while (block < blocks) {
		bool whole = rs_bitmap_test(&part->whole, block);
		uint64_t end = whole ? rs_bitmap_find_clear(&part->whole, block, blocks)
				     : rs_bitmap_find_set(&part->whole, block, blocks);
		uintptr_t from = block_start(pass->memory, part, block);
		uintptr_t to = rs_min_u64(blocks_end(pass->memory, part, end), stop);
		int result = whole ? scan_whole(pass, from, to) : scan_sparse(pass, part, from, to);

		if (result < 0)
			return result;
		block = end;
	}
	return 0;
}
