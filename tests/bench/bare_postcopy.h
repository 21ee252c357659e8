/* SPDX-License-Identifier: MIT */
/*
 * The least that fetches pages on demand, for comparison: no requests but for what faults, no bookkeeping, no failures
 * but the end of the program.
 */
#ifndef RS_BENCH_BARE_POSTCOPY_H
#define RS_BENCH_BARE_POSTCOPY_H

#include <stdbool.h>
#include <stddef.h>

struct bare_plan {
	size_t bytes;
	size_t page_bytes;
	bool
	    background; /* all pages are sent over a second connection, too, in order, as fast as it goes */
	void (*guest)(void *opaque, unsigned char *memory);
	void *opaque;
};

/* Returns the seconds from the start of the guest until all pages of the background are placed; 0 without it. */
double run_bare_postcopy(const struct bare_plan *plan);

#endif
