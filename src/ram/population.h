/* SPDX-License-Identifier: MIT */
/*
 * Which memory of a region was never populated, and is zero for that reason: found from the
 * kernel's tables, without a touch. A touch would populate it.
 *
 * How that is found depends on what the kernel says the memory is, never on what the embedder
 * promised; see population.c. Memory of which it cannot be known counts as populated.
 *
 * An answer is about the moment of the call. A caller that wants to leave holes out of a
 * migration clears the dirty bits first and asks then, as it would before it reads pages: a later
 * write into a hole makes it dirty again.
 */
#ifndef RS_RAM_POPULATION_H
#define RS_RAM_POPULATION_H

#include <ramsync/region.h>

struct rs_population;

/* A range of a region, in bytes, end exclusive. */
struct rs_extent {
	uint64_t start;
	uint64_t end;
};

/*
 * Look at how a region is mapped. That must not change before rs_population_close(). 0, or -ENOMEM
 * with a text in error, which may be NULL.
 */
int rs_population_open(struct rs_population **population, const struct rs_region *region,
		       struct rs_error *error);

/* NULL is allowed. */
void rs_population_close(struct rs_population *population);

/*
 * Find the holes of [offset, limit), which are multiples of the target page, offset < limit.
 * They go to holes[], in order, not adjacent, made of whole target pages; *count receives how
 * many, at most max, which is 1 or more. Every byte of them was zero at some moment of the call.
 *
 * Returns the offset up to which the answer goes, offset < end <= limit: everything before it
 * that is in no hole may hold data. It is limit, unless there were more than max holes.
 *
 * Costs one system call or a few, for windows of any size: about 1 us and 1 ms for each GiB that
 * is populated. Any number of threads may ask at once.
 */
uint64_t rs_population_scan(const struct rs_population *population, uint64_t offset, uint64_t limit,
			    struct rs_extent *holes, size_t max, size_t *count);

/*
 * The population of one region at a time, opened when it is first asked for: regions cost
 * descriptors only while they are worked on, however many there are. All zero: none.
 */
struct rs_population_slot {
	const struct rs_region *region;
	struct rs_population *population;
};

/* NULL if nothing is known of the region: then all of it may hold data. */
const struct rs_population *rs_population_slot_get(struct rs_population_slot *slot,
						   const struct rs_region *region);
void rs_population_slot_clear(struct rs_population_slot *slot);

#endif
