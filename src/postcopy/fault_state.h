/* SPDX-License-Identifier: MIT */
/*
 * What faults.c, fault_requests.c and fault_thread.c share. What is known of a unit of memory, and who writes it:
 *
 *	received	rs_region.received	whoever placed it, after that
 *	awaited		a fault waits for it	the fault thread sets it, whoever placed it clears it
 *	asked		it was asked for	under the lock
 *
 * A fault and a placing that meet: the fault thread sets awaited, then looks at received; who places sets received,
 * then looks at awaited; with a full fence in between on both sides one of them sees the other, and wakes.
 *
 * The kernel's own wake-up, which is part of the placing, comes earlier and does for nearly all; the second is for who
 * faulted again before received was set, because the page was discarded at once (a balloon), and would be taken for
 * somebody who waits for the source.
 */
#ifndef RS_POSTCOPY_FAULT_STATE_H
#define RS_POSTCOPY_FAULT_STATE_H

#include "postcopy/fault_memory.h"
#include "postcopy/faults.h"
#include "postcopy/prefetch.h"

#include <pthread.h>

struct rs_fault_region {
	struct rs_fault_memory memory;
	/* bits of units */
	struct rs_bitmap awaited;    /* atomic */
	struct rs_bitmap asked;      /* guarded by lock */
	struct rs_prefetch prefetch; /* guarded by lock */
};

struct rs_faults {
	/* immutable */
	struct rs_state *state;
	struct rs_fault_ops ops;
	int userfaultfd;
	bool owned; /* the userfaultfd is ours */
	int stop_fd;
	pthread_t thread;
	bool runs;
	struct rs_fault_region *regions; /* in the order of their addresses */
	size_t count;

	/* held while a request is made, so that pause waits for it */
	pthread_mutex_t lock;
	_Atomic bool paused; /* written under the lock, but for the first sight of it */
};

/* The region in which address lies, or NULL. */
struct rs_fault_region *rs_fault_region_find(const struct rs_faults *faults, uintptr_t address);

/* How much of [offset, end) came, from offset on, in whole units. */
uint64_t rs_fault_received_until(const struct rs_fault_memory *memory, uint64_t offset,
				 uint64_t end);

static inline bool rs_fault_is_received(const struct rs_fault_memory *memory, uint64_t offset)
{
	return rs_fault_received_until(memory, offset, offset + memory->unit_bytes) != offset;
}

/* For state->blocktime, if there is one: these bytes are there. */
void rs_fault_end_wait(const struct rs_faults *faults, const struct rs_fault_memory *memory,
		       uint64_t offset, uint64_t bytes);

/* Have a unit asked for, unless it was already, or nothing is asked for now. */
void rs_fault_ask(struct rs_faults *faults, struct rs_fault_region *region, uint64_t unit);

/* The fault thread, up to stop_fd; argument: the rs_faults. */
void *rs_fault_thread(void *argument);

#endif
