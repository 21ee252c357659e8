/* SPDX-License-Identifier: MIT */
/*
 * What is known of a unit of memory, and who writes it:
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
#include "postcopy/faults.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/thread.h"
#include "postcopy/blocktime.h"
#include "postcopy/fault_memory.h"
#include "postcopy/prefetch.h"
#include "track/userfaultfd.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Read at once. */
#define MAX_EVENTS 64u

/* How much of what came is mapped with a page that faulted. */
#define AROUND_BYTES RS_PREFETCH_BYTES

struct fault_region {
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
	struct fault_region *regions; /* in the order of their addresses */
	size_t count;

	/* held while a request is made, so that pause waits for it */
	pthread_mutex_t lock;
	_Atomic bool paused; /* written under the lock, but for the first sight of it */
};

/* ---- look-up --------------------------------------------------------------------------------- */

/* The region in which address lies, or NULL. */
static struct fault_region *find_address(const struct rs_faults *faults, uintptr_t address)
{
	size_t low = 0, high = faults->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		struct fault_region *at = &faults->regions[middle];

		if (address < at->memory.start)
			high = middle;
		else if (address - at->memory.start >= at->memory.bytes)
			low = middle + 1;
		else
			return at;
	}
	return NULL;
}

static struct fault_region *find_region(const struct rs_faults *faults,
					const struct rs_region *region)
{
	struct fault_region *found = find_address(faults, (uintptr_t)region->host);

	return found != NULL && found->memory.region == region ? found : NULL;
}

/* How much of [offset, end) came, from offset on, in whole units. */
static uint64_t received_until(const struct rs_fault_memory *memory, uint64_t offset, uint64_t end)
{
	unsigned shift = memory->region->state->page_shift;
	uint64_t page =
	    rs_bitmap_find_clear(&memory->region->received, offset >> shift, end >> shift);

	/* What was placed before it was called received is there now. */
	atomic_thread_fence(memory_order_acquire);
	return rs_align_down(page << shift, memory->unit_bytes);
}

static bool is_received(const struct rs_fault_memory *memory, uint64_t offset)
{
	return received_until(memory, offset, offset + memory->unit_bytes) != offset;
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* Whether a unit may be asked for beside another. */
static bool is_wanted_locked(const struct fault_region *region, uint64_t unit)
{
	const struct rs_fault_memory *memory = &region->memory;

	return !rs_bitmap_test(&region->asked, unit) &&
	       !is_received(memory, unit << memory->unit_shift);
}

static void ask_locked(struct rs_faults *faults, struct fault_region *region, uint64_t unit,
		       uint64_t count)
{
	const struct rs_fault_memory *memory = &region->memory;

	rs_bitmap_set_range(&region->asked, unit, count);
	faults->ops.request(faults->ops.opaque, memory->region, unit << memory->unit_shift,
			    count << memory->unit_shift);
}

/* The one that somebody waits for first, whichever way it goes. */
static void ask_with_neighbours_locked(struct rs_faults *faults, struct fault_region *region,
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

static void ask_once(struct rs_faults *faults, struct fault_region *region, uint64_t unit)
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
static void ask_again_locked(struct rs_faults *faults, struct fault_region *region)
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

/* ---- faults ---------------------------------------------------------------------------------- */

static void end_blocktime(const struct rs_faults *faults, const struct rs_fault_memory *memory,
			  uint64_t offset, uint64_t bytes)
{
	if (faults->state->blocktime != NULL)
		rs_blocktime_end(faults->state->blocktime, memory->start + offset,
				 memory->start + offset + bytes, rs_clock_ns());
}

static void answer(const struct rs_faults *faults, const struct rs_fault_memory *memory,
		   uint64_t offset, uint64_t unit_at, bool minor)
{
	uint64_t limit = rs_max_u64(unit_at + memory->unit_bytes, offset + AROUND_BYTES);
	uint64_t end = received_until(memory, unit_at, rs_min_u64(limit, memory->bytes));
	struct rs_error error = { 0 };

	if (rs_fault_memory_answer(memory, offset, end, minor, &error) != 0)
		rs_session_fail_with(faults->state, &error);
}

static void handle(struct rs_faults *faults, const struct uffd_msg *event)
{
	uintptr_t address = (uintptr_t)event->arg.pagefault.address;
	bool minor = (event->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_MINOR) != 0;
	struct fault_region *region = find_address(faults, address);

	/* What else an embedder's userfaultfd may tell is not about missing memory of ours. */
	if (event->event != UFFD_EVENT_PAGEFAULT || region == NULL)
		return;
	const struct rs_fault_memory *memory = &region->memory;
	uint64_t offset = address - memory->start;
	uint64_t unit_at = rs_align_down(offset, memory->unit_bytes);
	uint64_t unit = unit_at >> memory->unit_shift;

	if (is_received(memory, unit_at)) {
		answer(faults, memory, offset, unit_at, minor);
		return;
	}
	if (faults->state->blocktime != NULL)
		rs_blocktime_begin(faults->state->blocktime, (pid_t)event->arg.pagefault.feat.ptid,
				   address, rs_clock_ns());
	rs_bitmap_set_range(&region->awaited, unit, 1);
	/* Pairs with the one in rs_faults_place(). */
	atomic_thread_fence(memory_order_seq_cst);
	if (!is_received(memory, unit_at)) {
		ask_once(faults, region, unit);
		return;
	}
	rs_bitmap_clear_range(&region->awaited, unit, 1);
	answer(faults, memory, offset, unit_at, minor);
	end_blocktime(faults, memory, unit_at, memory->unit_bytes);
}

/* 0 or a negative errno. */
static int take_events(struct rs_faults *faults)
{
	struct uffd_msg events[MAX_EVENTS];
	ssize_t got = read(faults->userfaultfd, events, sizeof(events));

	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	for (size_t i = 0; i < (size_t)got / sizeof(events[0]); i++)
		handle(faults, &events[i]);
	return 0;
}

static void *run(void *argument)
{
	struct rs_faults *faults = argument;
	struct pollfd fds[] = {
		{ .fd = faults->userfaultfd, .events = POLLIN },
		{ .fd = faults->stop_fd, .events = POLLIN },
	};
	int result = 0;

	while (result == 0) {
		if (poll(fds, 2, -1) < 0) {
			result = errno == EINTR ? 0 : -errno;
			continue;
		}
		if (fds[1].revents != 0)
			return NULL;
		if (fds[0].revents & POLLIN)
			result = take_events(faults);
		else if (fds[0].revents != 0)
			result = -EBADF;
	}
	rs_session_fail(faults->state, result, "userfaultfd: faults cannot be read: %s",
			rs_errno_text(result));
	return NULL;
}

/* ---- placing --------------------------------------------------------------------------------- */

uint8_t *rs_faults_staging(struct rs_faults *faults, struct rs_region *region, uint64_t offset)
{
	const struct fault_region *found = find_region(faults, region);

	return found != NULL ? rs_fault_memory_stage(&found->memory, offset) : NULL;
}

static int check_place(const struct fault_region *found, const struct rs_region *region,
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

/* Now that they are received: those that faulted again meanwhile. */
static void wake_awaiting(struct fault_region *region, uint64_t offset, uint64_t bytes)
{
	const struct rs_fault_memory *memory = &region->memory;
	uint64_t first = offset >> memory->unit_shift, count = bytes >> memory->unit_shift;

	if (rs_bitmap_find_set(&region->awaited, first, first + count) == first + count)
		return;
	rs_bitmap_clear_range(&region->awaited, first, count);
	rs_fault_memory_wake(memory, offset, bytes);
}

int rs_faults_place(struct rs_faults *faults, struct rs_region *region, uint64_t offset,
		    uint64_t bytes, const uint8_t *data, struct rs_error *error)
{
	struct fault_region *found = find_region(faults, region);
	unsigned shift = region->state->page_shift;
	int result = check_place(found, region, offset, bytes, error);

	if (result == 0)
		result = rs_fault_memory_place(&found->memory, offset, bytes, data, error);
	if (result != 0)
		return result;
	/* Who sees the bit finds the page. */
	atomic_thread_fence(memory_order_release);
	rs_bitmap_set_range(&region->received, offset >> shift, bytes >> shift);
	/* Pairs with the one in handle(). */
	atomic_thread_fence(memory_order_seq_cst);
	wake_awaiting(found, offset, bytes);
	end_blocktime(faults, &found->memory, offset, bytes);
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
	const struct fault_region *first = a, *second = b;

	return (first->memory.start > second->memory.start) -
	       (first->memory.start < second->memory.start);
}

/* Its pin is kept until destroy: so the memory stays. */
static int add_region(struct rs_faults *faults, struct rs_region *region, struct rs_error *error)
{
	struct fault_region *grown =
	    reallocarray(faults->regions, faults->count + 1, sizeof(*faults->regions));

	if (grown == NULL)
		return rs_error_setf(error, -ENOMEM, "region %s: no memory", region->name);
	faults->regions = grown;

	struct fault_region *added = &grown[faults->count];

	*added = (struct fault_region){ .memory = { .bytes = 0 } };
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
	result = rs_thread_create(&faults->thread, run, faults);
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
		struct fault_region *region = &faults->regions[i];
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
