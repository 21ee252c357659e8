/* SPDX-License-Identifier: MIT */
/*
 * Finding the written pages of memory that is registered for asynchronous write protection. The
 * kernel lifts the protection of a page by itself at the first write to it; PAGEMAP_SCAN finds the
 * pages without protection, and protects them again in the same step, so that no write falls
 * between.
 *
 * A query for "not protected" finds the pages that were never populated, too, and to protect one of
 * those takes page tables: 2 GiB for each TiB of holes. So each 2 MiB block of the memory is in
 * one of two conditions:
 *
 * whole	Every page of it is protected or was written since. "Not protected" alone is the
 *		question, which is the kernel's fast path (half the cost).
 * sparse	It has holes. What is asked depends on the memory:
 *
 *		private		"Not protected, and present or swapped out". A page of private
 *				memory that was written leaves an entry in the page table, wherever
 *				it goes. If that finds something in a block, the block may have
 *				become whole, and is looked at.
 *		shared, file	The file: has the block data at all? If so, the block becomes
 *				whole: all of it is protected, holes too, which takes no more page
 *				tables than its data does. The page table cannot be asked: a shared
 *				page that was written and then reclaimed leaves no trace there.
 *		else		There are no sparse blocks: all count as populated.
 *
 * What is discarded in a whole block is found as written. In a sparse one it is not, and is the
 * embedder's to mark, as the public header says.
 */
#ifndef RS_TRACK_WP_PART_H
#define RS_TRACK_WP_PART_H

#include "base/bitmap.h"
#include "track/backing_file.h"
#include "track/kernel_abi.h"

#include <ramsync/dirty_log.h>

/* Ranges for one system call; the kernel hands them out in portions of 512. */
#define RS_WP_RANGES 1024u

enum rs_wp_source {
	RS_WP_PRIVATE,
	RS_WP_FILE,
	RS_WP_POPULATED,
};

/* What the parts of one region have in common. */
struct rs_wp_memory {
	uintptr_t host; /* offset 0 of the region */
	uint64_t block_bytes;
	int pagemap;
	struct rs_backing_file file;
	struct page_region ranges[RS_WP_RANGES]; /* scratch */
};

/* A part of a region's memory that is of one kind. */
struct rs_wp_part {
	uintptr_t start;
	uintptr_t end;
	enum rs_wp_source source;
	uint64_t file_offset;   /* of start */
	struct rs_bitmap whole; /* a bit for each block that touches the part */
};

/* One pass over the memory. No sink: protect only. */
struct rs_wp_pass {
	struct rs_wp_memory *memory;
	struct rs_dirty_sink *sink;
	struct rs_error *error;
};

/* Size of the blocks of memory in pages of page_bytes, huge or not. */
uint64_t rs_wp_block_bytes(uint64_t page_bytes);

/* A part as the mapping has it, nothing protected. 0 or -ENOMEM. */
int rs_wp_part_init(struct rs_wp_part *part, const struct rs_wp_memory *memory,
		    const struct rs_mapping *mapping);
void rs_wp_part_fini(struct rs_wp_part *part);

/*
 * Protect what lies before limit, a multiple of the page size, and report what was written there
 * since the last pass. 0, or a negative errno with a text.
 */
int rs_wp_part_scan(struct rs_wp_part *part, const struct rs_wp_pass *pass, uintptr_t limit);

#endif
