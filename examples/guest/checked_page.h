/* SPDX-License-Identifier: MIT */
/*
 * A page that can tell whether it is the one that was written last: it holds a magic number, its
 * own number, its writer, a sequence number, marks all over it that belong to that sequence number,
 * and a checksum. Whatever else the page held stays in it, so its compressibility does too.
 */
#ifndef EXAMPLES_CHECKED_PAGE_H
#define EXAMPLES_CHECKED_PAGE_H

#include <stdint.h>

#define CHECKED_PAGE_BYTES 4096u

enum checked_page_fault {
	CHECKED_PAGE_GOOD,
	CHECKED_PAGE_STALE,     /* a whole page, of another sequence number */
	CHECKED_PAGE_MISPLACED, /* a whole page, another one's */
	CHECKED_PAGE_BROKEN,    /* no whole page */
};

struct checked_page_id {
	uint64_t index;
	uint64_t writer;
	uint64_t sequence;
};

/* Write the page anew as @id. */
void checked_page_write(void *page, const struct checked_page_id *id);

/* Compare the page with @id; what it says that it is goes to @found. */
enum checked_page_fault checked_page_verify(const void *page, const struct checked_page_id *id,
					    struct checked_page_id *found);

#endif
