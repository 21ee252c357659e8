/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "base/error.h"
#include "base/thread.h"
#include "postcopy/blocktime.h"
#include "postcopy/fault_state.h"
#include "track/userfaultfd.h"

#include <poll.h>
#include <unistd.h>

/* Read at once. */
#define MAX_EVENTS 64u

/* How much of what came is mapped with a page that faulted. */
#define AROUND_BYTES RS_PREFETCH_BYTES

static void answer(const struct rs_faults *faults, const struct rs_fault_memory *memory,
		   uint64_t offset, uint64_t unit_at, bool minor)
{
	uint64_t limit = rs_max_u64(unit_at + memory->unit_bytes, offset + AROUND_BYTES);
	uint64_t end = rs_fault_received_until(memory, unit_at, rs_min_u64(limit, memory->bytes));
	struct rs_error error = { 0 };

	if (rs_fault_memory_answer(memory, offset, end, minor, &error) != 0)
		rs_session_fail_with(faults->state, &error);
}

static void take_fault(struct rs_faults *faults, const struct uffd_msg *event)
{
	uintptr_t address = (uintptr_t)event->arg.pagefault.address;
	bool minor = (event->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_MINOR) != 0;
	struct rs_fault_region *region = rs_fault_region_find(faults, address);

	/* What else an embedder's userfaultfd may tell is not about missing memory of ours. */
	if (event->event != UFFD_EVENT_PAGEFAULT || region == NULL)
		return;
	const struct rs_fault_memory *memory = &region->memory;
	uint64_t offset = address - memory->start;
	uint64_t unit_at = rs_align_down(offset, memory->unit_bytes);
	uint64_t unit = unit_at >> memory->unit_shift;

	if (rs_fault_is_received(memory, unit_at)) {
		answer(faults, memory, offset, unit_at, minor);
		return;
	}
	if (faults->state->blocktime != NULL)
		rs_blocktime_begin(faults->state->blocktime, (pid_t)event->arg.pagefault.feat.ptid,
				   address, rs_clock_ns());
	rs_bitmap_set_range(&region->awaited, unit, 1);
	/* Pairs with the one in rs_faults_place(). */
	atomic_thread_fence(memory_order_seq_cst);
	if (!rs_fault_is_received(memory, unit_at)) {
		rs_fault_ask(faults, region, unit);
		return;
	}
	rs_bitmap_clear_range(&region->awaited, unit, 1);
	answer(faults, memory, offset, unit_at, minor);
	rs_fault_end_wait(faults, memory, unit_at, memory->unit_bytes);
}

/* 0 or a negative errno. */
static int take_events(struct rs_faults *faults)
{
	struct uffd_msg events[MAX_EVENTS];
	ssize_t got = read(faults->userfaultfd, events, sizeof(events));

	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	for (size_t i = 0; i < (size_t)got / sizeof(events[0]); i++)
		take_fault(faults, &events[i]);
	return 0;
}

void *rs_fault_thread(void *argument)
{
	struct rs_faults *faults = argument;
	struct pollfd fds[] = {
		{ .fd = faults->userfaultfd, .events = POLLIN },
		{ .fd = faults->stop_fd, .events = POLLIN },
	};
	int result = 0;

	rs_thread_set_slice(RS_SLICE_PROMPT_NS);
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
