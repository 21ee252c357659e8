/* SPDX-License-Identifier: MIT */
#include "transport/deadline.h"

#include "base/checked.h"
#include "base/clock.h"

#include <errno.h>
#include <limits.h>

#define PAUSE_NS (10 * RS_NS_PER_MS)

struct rs_deadline rs_deadline_after_ms(unsigned timeout_ms, int wake_fd)
{
	return (struct rs_deadline){
		.ns =
		    timeout_ms == 0 ? RS_DEADLINE_NEVER : rs_clock_ns() + timeout_ms * RS_NS_PER_MS,
		.wake_fd = wake_fd,
	};
}

/* As poll(2) wants it, rounded up. */
static int left_ms(uint64_t deadline_ns)
{
	uint64_t now = rs_clock_ns();

	if (deadline_ns == RS_DEADLINE_NEVER)
		return -1;
	if (now >= deadline_ns)
		return 0;
	return (int)rs_min_u64((deadline_ns - now - 1) / RS_NS_PER_MS + 1, INT_MAX);
}

int rs_deadline_poll(struct pollfd *fds, unsigned count, const struct rs_deadline *deadline)
{
	struct pollfd all[RS_DEADLINE_FDS + 1];
	struct pollfd *wake = &all[count];

	for (unsigned i = 0; i < count; i++)
		all[i] = fds[i];
	/* poll(2) passes over a negative one. */
	*wake = (struct pollfd){ .fd = deadline->wake_fd, .events = POLLIN };
	for (;;) {
		int timeout_ms = left_ms(deadline->ns);
		int ready = poll(all, count + 1, timeout_ms);

		if (ready > 0) {
			for (unsigned i = 0; i < count; i++)
				fds[i].revents = all[i].revents;
			return wake->revents != 0 ? -ECANCELED : 0;
		}
		if (ready < 0 && errno != EINTR)
			return -errno;
		if (ready == 0 && timeout_ms == 0)
			return -ETIMEDOUT;
	}
}

int rs_deadline_pause(const struct rs_deadline *deadline)
{
	uint64_t now = rs_clock_ns();
	struct rs_deadline pause = { .ns = now + PAUSE_NS, .wake_fd = deadline->wake_fd };

	if (now >= deadline->ns)
		return -ETIMEDOUT;
	int result = rs_deadline_poll(NULL, 0, &pause);

	return result == -ETIMEDOUT ? 0 : result;
}
