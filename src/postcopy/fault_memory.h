/* SPDX-License-Identifier: MIT */
/*
 * The memory of one region under a userfaultfd: how it is taken, and how pages get into it. Which of them
 * came, and who waits, is the business of faults.c.
 *
 * Where the region has an alias, content is put behind the alias first, where the guest does not see it, and
 * mapped when it is complete (UFFDIO_CONTINUE). Everywhere else the kernel copies it in (UFFDIO_COPY).
 */
#ifndef RS_POSTCOPY_FAULT_MEMORY_H
#define RS_POSTCOPY_FAULT_MEMORY_H

#include "base/checked.h"
#include "ram/region.h"

/* Immutable once registered. */
struct rs_fault_memory {
	struct rs_region *region;
	int userfaultfd;
	uintptr_t start;
	uint64_t bytes;
	uint64_t unit_bytes; /* in which it is asked for, and placed: rs_placement_bytes() */
	unsigned unit_shift;
	uint64_t page_bytes;  /* the kernel's: at most a unit */
	bool staged;          /* by way of the alias */
	bool can_zero;        /* UFFDIO_ZEROPAGE there is; not for hugetlbfs */
	bool zeros_are_free;  /* a zero page of it takes no memory: it is private */
	const uint8_t *zeros; /* a page of them, where there is no UFFDIO_ZEROPAGE */
};

/* Take the used part of a region. 0 or a negative errno with a text that names the region. */
int rs_fault_memory_register(struct rs_fault_memory *memory, struct rs_region *region,
			     int userfaultfd, struct rs_error *error);

/* Give it back: who waits for any of it goes on. Harmless if it was not taken. */
void rs_fault_memory_unregister(struct rs_fault_memory *memory);

/* Where the content of offset is staged; NULL if it is not. */
static inline uint8_t *rs_fault_memory_stage(const struct rs_fault_memory *memory, uint64_t offset)
{
	return memory->staged ? memory->region->place + offset : NULL;
}

/*
 * Units that are missing get their content (NULL: zeros), and who waits for them goes on. 0 or a negative
 * errno with a text; -EEXIST: one of them was there.
 */
int rs_fault_memory_place(const struct rs_fault_memory *memory, uint64_t offset, uint64_t bytes,
			  const uint8_t *data, struct rs_error *error);

/*
 * A fault at offset, on what came long ago: as a zero page, so that nothing was done about it; or behind the
 * alias, and it is not mapped, or not any more (minor). What follows, up to end, came as well, and may be mapped
 * with it.
 */
int rs_fault_memory_answer(const struct rs_fault_memory *memory, uint64_t offset, uint64_t end,
			   bool minor, struct rs_error *error);

/* Who waits for these bytes looks again. */
void rs_fault_memory_wake(const struct rs_fault_memory *memory, uint64_t offset, uint64_t bytes);

#endif
