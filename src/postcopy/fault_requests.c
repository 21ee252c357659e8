/* SPDX-License-Identifier: MIT */
/* What the source is asked for: never twice the same, until the connection broke. */
#include "postcopy/fault_state.h"

/* Whether a unit may be asked for beside another. */
static bool is_wanted_locked(const struct rs_fault_region *region, uint64_t unit)
{
	const struct rs_fault_memory *memory = &region->memory;

	return !rs_bitmap_test(&region->asked, unit) &&
	       !rs_fault_is_received(memory, unit << memory->unit_shift);
}

static void ask_locked(struct rs_faults *faults, struct rs_fault_region *region, uint64_t unit,
		       uint64_t count)
{
	const struct rs_fault_memory *memory = &region->memory;

	rs_bitmap_set_range(&region->asked, unit, count);
	faults->ops.request(faults->ops.opaque, memory->region, unit << memory->unit_shift,
			    count << memory->unit_shift);
}

/* The one that somebody waits for first, whichever way it goes. */
static void ask_with_neighbours_locked(struct rs_faults *faults, struct rs_fault_region *region,
				       uint64_t unit)
{
	uint64_t units = region->memory.bytes >> region->memory.unit_shift;
	struct rs_prefetch_advice advice = rs_prefetch_fault(&region->prefetch, unit);
	uint64_t more = 0;

	if (advice.direction > 0) {
		while (more < advice.pages && unit + more + 1 < units &&
		       is_wanted_locked(region, unit + more + 1))
			more++;
		ask_locked(faults, region, unit, 1 + more);
		return;
	}
	ask_locked(faults, region, unit, 1);
	while (more < advice.pages && more < unit && is_wanted_locked(region, unit - more - 1))
		more++;
	if (more > 0)
		ask_locked(faults, region, unit - more, more);
}

void rs_fault_ask(struct rs_faults *faults, struct rs_fault_region *region, uint64_t unit)
{
	pthread_mutex_lock(&faults->lock);
	if (!atomic_load_explicit(&faults->paused, memory_order_relaxed) &&
	    !rs_bitmap_test(&region->asked, unit))
		ask_with_neighbours_locked(faults, region, unit);
	pthread_mutex_unlock(&faults->lock);
}

void rs_faults_pause(struct rs_faults *faults)
{
	/* At once, so that the fault thread does not take the lock again and again before us. */
	atomic_store_explicit(&faults->paused, true, memory_order_relaxed);
	pthread_mutex_lock(&faults->lock);
	pthread_mutex_unlock(&faults->lock);
}

/* What was asked for and did not come may be lost; what nobody waits for comes by itself. */
static void ask_again_locked(struct rs_faults *faults, struct rs_fault_region *region)
{
	const struct rs_fault_memory *memory = &region->memory;
	uint64_t units = memory->bytes >> memory->unit_shift;

	rs_bitmap_reset(&region->asked);
	for (uint64_t unit = rs_bitmap_find_set(&region->awaited, 0, units); unit < units;
	     unit = rs_bitmap_find_set(&region->awaited, unit + 1, units))
		if (is_wanted_locked(region, unit))
			ask_locked(faults, region, unit, 1);
}

void rs_faults_resume(struct rs_faults *faults)
{
	pthread_mutex_lock(&faults->lock);
	atomic_store_explicit(&faults->paused, false, memory_order_relaxed);
	for (size_t i = 0; i < faults->count; i++)
		ask_again_locked(faults, &faults->regions[i]);
	pthread_mutex_unlock(&faults->lock);
}
