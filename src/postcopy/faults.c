/* SPDX-License-Identifier: MIT */
#include "postcopy/faults.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/thread.h"
#include "postcopy/blocktime.h"
#include "postcopy/fault_state.h"
#include "track/userfaultfd.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- look-up --------------------------------------------------------------------------------- */

struct rs_fault_region *rs_fault_region_find(const struct rs_faults *faults, uintptr_t address)
{
	size_t low = 0, high = faults->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		struct rs_fault_region *at = &faults->regions[middle];

		if (address < at->memory.start)
			high = middle;
		else if (address - at->memory.start >= at->memory.bytes)
			low = middle + 1;
		else
			return at;
	}
	return NULL;
}

static struct rs_fault_region *find_region(const struct rs_faults *faults,
					   const struct rs_region *region)
{
	struct rs_fault_region *found = rs_fault_region_find(faults, (uintptr_t)region->host);

	return found != NULL && found->memory.region == region ? found : NULL;
}

uint64_t rs_fault_received_until(const struct rs_fault_memory *memory, uint64_t offset,
				 uint64_t end)
{
	unsigned shift = memory->region->state->page_shift;
	uint64_t page =
	    rs_bitmap_find_clear(&memory->region->received, offset >> shift, end >> shift);

	/* What was placed before it was called received is there now. */
	atomic_thread_fence(memory_order_acquire);
	return rs_align_down(page << shift, memory->unit_bytes);
}

void rs_fault_end_wait(const struct rs_faults *faults, const struct rs_fault_memory *memory,
		       uint64_t offset, uint64_t bytes)
{
	if (faults->state->blocktime != NULL)
		rs_blocktime_end(faults->state->blocktime, memory->start + offset,
				 memory->start + offset + bytes, rs_clock_ns());
}

/* ---- placing --------------------------------------------------------------------------------- */

uint8_t *rs_faults_staging(struct rs_faults *faults, struct rs_region *region, uint64_t offset)
{
	const struct rs_fault_region *found = find_region(faults, region);

	return found != NULL ? rs_fault_memory_stage(&found->memory, offset) : NULL;
}

static int check_place(const struct rs_fault_region *found, const struct rs_region *region,
		       uint64_t offset, uint64_t bytes, struct rs_error *error)
{
	unsigned shift = region->state->page_shift;

	if (found == NULL)
		return rs_error_setf(error, -EINVAL, "region %s has no pages to be placed",
				     region->name);
	const struct rs_fault_memory *memory = &found->memory;

	if (bytes == 0 || !rs_range_inside(offset, bytes, memory->bytes) ||
	    !rs_is_aligned(offset | bytes, memory->unit_bytes))
		return rs_error_setf(error, -EINVAL,
				     "region %s: %llu bytes at 0x%llx are no whole pages of it",
				     region->name, (unsigned long long)bytes,
				     (unsigned long long)offset);
	uint64_t end = (offset + bytes) >> shift;
	uint64_t page = rs_bitmap_find_set(&region->received, offset >> shift, end);

	if (page != end)
		return rs_error_setf(error, -EEXIST, "region %s: the page at 0x%llx came before",
				     region->name, (unsigned long long)(page << shift));
	return 0;
}

/* Whether any was awaited; none of them is any more. */
static bool take_awaited(struct rs_fault_region *region, uint64_t offset, uint64_t bytes)
{
	const struct rs_fault_memory *memory = &region->memory;
	uint64_t first = offset >> memory->unit_shift, count = bytes >> memory->unit_shift;

	if (rs_bitmap_find_set(&region->awaited, first, first + count) == first + count)
		return false;
	rs_bitmap_clear_range(&region->awaited, first, count);
	return true;
}

int rs_faults_place(struct rs_faults *faults, struct rs_region *region, uint64_t offset,
		    uint64_t bytes, const uint8_t *data, struct rs_error *error)
{
	struct rs_fault_region *found = find_region(faults, region);
	unsigned shift = region->state->page_shift;
	int result = check_place(found, region, offset, bytes, error);

	if (result != 0)
		return result;
	/* Placing wakes them; if it fails the connection is given up, and what was not placed comes again. */
	take_awaited(found, offset, bytes);
	result = rs_fault_memory_place(&found->memory, offset, bytes, data, error);
	if (result != 0)
		return result;
	/* Who sees the bit finds the page. */
	atomic_thread_fence(memory_order_release);
	rs_bitmap_set_range(&region->received, offset >> shift, bytes >> shift);
	/* Pairs with the one in take_fault(). */
	atomic_thread_fence(memory_order_seq_cst);
	/* Those that faulted, or were seen to fault, meanwhile. */
	if (take_awaited(found, offset, bytes))
		rs_fault_memory_wake(&found->memory, offset, bytes);
	rs_fault_end_wait(faults, &found->memory, offset, bytes);
	return 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

/* Ours, or the embedder's if it can be used. */
static int open_userfaultfd(int given, struct rs_error *error)
{
	if (given < 0)
		return rs_userfaultfd_open_for_missing(
		    UFFD_FEATURE_THREAD_ID | UFFD_FEATURE_MISSING_SHMEM |
			UFFD_FEATURE_MISSING_HUGETLBFS | UFFD_FEATURE_MINOR_SHMEM |
			UFFD_FEATURE_MINOR_HUGETLBFS,
		    error);
	int flags = fcntl(given, F_GETFL);

	if (flags < 0)
		return rs_error_setf(error, -EBADF, "the userfaultfd %d is not open", given);
	if ((flags & O_NONBLOCK) == 0)
		return rs_error_setf(error, -EINVAL,
				     "the userfaultfd %d is blocking: it cannot be waited for",
				     given);
	return given;
}

static bool is_faulted(const struct rs_region *region)
{
	return region->received.words != NULL && !rs_region_has(region, RS_REGION_IGNORED);
}

/* Before the list of regions came all may be in it. */
static bool is_list_known(struct rs_state *state)
{
	struct rs_region *region;

	rs_region_for_each (state, region)
		if (region->received.words != NULL) {
			rs_region_unpin(region);
			return true;
		}
	return false;
}

int rs_faults_probe(struct rs_state *state, int given, struct rs_error *error)
{
	bool listed = is_list_known(state);
	struct rs_region *region;
	int result = 0, userfaultfd = open_userfaultfd(given, error);

	if (userfaultfd < 0)
		return userfaultfd;
	rs_region_for_each (state, region) {
		struct rs_fault_memory memory;

		if (listed ? !is_faulted(region) : rs_region_has(region, RS_REGION_IGNORED))
			continue;
		result = rs_fault_memory_register(&memory, region, userfaultfd, error);
		if (result != 0) {
			rs_region_unpin(region);
			break;
		}
		rs_fault_memory_unregister(&memory);
	}
	if (given < 0)
		close(userfaultfd);
	return result;
}

static int compare_addresses(const void *a, const void *b)
{
	const struct rs_fault_region *first = a, *second = b;

	return (first->memory.start > second->memory.start) -
	       (first->memory.start < second->memory.start);
}

/* Its pin is kept until destroy: so the memory stays. */
static int add_region(struct rs_faults *faults, struct rs_region *region, struct rs_error *error)
{
	struct rs_fault_region *grown =
	    reallocarray(faults->regions, faults->count + 1, sizeof(*faults->regions));

	if (grown == NULL)
		return rs_error_setf(error, -ENOMEM, "region %s: no memory", region->name);
	faults->regions = grown;

	struct rs_fault_region *added = &grown[faults->count];

	*added = (struct rs_fault_region){ .memory = { .bytes = 0 } };
	int result = rs_fault_memory_register(&added->memory, region, faults->userfaultfd, error);

	if (result != 0)
		return result;
	uint64_t units = added->memory.bytes >> added->memory.unit_shift;

	rs_prefetch_init(&added->prefetch, added->memory.unit_bytes);
	if (rs_bitmap_init(&added->awaited, units) != 0 ||
	    rs_bitmap_init(&added->asked, units) != 0)
		result = rs_error_setf(error, -ENOMEM, "region %s: no memory for its bitmaps",
				       region->name);
	else if (!rs_region_pin(region, faults->state))
		result =
		    rs_error_setf(error, -ECANCELED,
				  "region %s: the migration has failed meanwhile", region->name);
	if (result == 0) {
		faults->count++;
		return 0;
	}
	rs_bitmap_fini(&added->awaited);
	rs_bitmap_fini(&added->asked);
	rs_fault_memory_unregister(&added->memory);
	return result;
}

static int add_regions(struct rs_faults *faults, struct rs_error *error)
{
	struct rs_region *region;

	rs_region_for_each (faults->state, region) {
		int result = is_faulted(region) ? add_region(faults, region, error) : 0;

		if (result != 0) {
			rs_region_unpin(region);
			return result;
		}
	}
	if (faults->count > 0)
		qsort(faults->regions, faults->count, sizeof(*faults->regions), compare_addresses);
	return 0;
}

static int begin(struct rs_faults *faults, struct rs_error *error)
{
	int result = add_regions(faults, error);

	if (result != 0)
		return result;
	faults->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (faults->stop_fd < 0)
		return rs_error_setf(error, -errno, "an eventfd cannot be opened: %s",
				     rs_errno_text(-errno));
	result = rs_thread_create(&faults->thread, rs_fault_thread, faults);
	if (result != 0)
		return rs_error_setf(error, result, "no thread for faults can be started: %s",
				     rs_errno_text(result));
	faults->runs = true;
	return 0;
}

int rs_faults_create(struct rs_state *state, int userfaultfd, const struct rs_fault_ops *ops,
		     struct rs_faults **faults, struct rs_error *error)
{
	struct rs_faults *made = calloc(1, sizeof(*made));

	if (made == NULL)
		return rs_error_setf(error, -ENOMEM, "no memory");
	made->state = state;
	made->ops = *ops;
	made->owned = userfaultfd < 0;
	made->stop_fd = -1;
	pthread_mutex_init(&made->lock, NULL);
	made->userfaultfd = open_userfaultfd(userfaultfd, error);
	int result = made->userfaultfd < 0 ? made->userfaultfd : begin(made, error);

	if (result != 0) {
		rs_faults_destroy(made);
		return result;
	}
	*faults = made;
	return 0;
}

static void stop_thread(struct rs_faults *faults)
{
	const uint64_t one = 1;

	/* Cannot fail: the counter was 0. */
	while (write(faults->stop_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	pthread_join(faults->thread, NULL);
}

void rs_faults_destroy(struct rs_faults *faults)
{
	if (faults == NULL)
		return;
	if (faults->runs)
		stop_thread(faults);
	for (size_t i = 0; i < faults->count; i++) {
		struct rs_fault_region *region = &faults->regions[i];
		struct rs_region *pinned = region->memory.region;

		rs_fault_memory_unregister(&region->memory);
		rs_bitmap_fini(&region->awaited);
		rs_bitmap_fini(&region->asked);
		rs_region_unpin(pinned);
	}
	if (faults->owned && faults->userfaultfd >= 0)
		close(faults->userfaultfd);
	if (faults->stop_fd >= 0)
		close(faults->stop_fd);
	pthread_mutex_destroy(&faults->lock);
	free(faults->regions);
	free(faults);
}
