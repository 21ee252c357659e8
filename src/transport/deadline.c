/* SPDX-License-Identifier: MIT */
#include "transport/deadline.h"

#include "base/checked.h"
#include "base/clock.h"

#include <errno.h>
#include <limits.h>

#define PAUSE_NS (10 * RS_NS_PER_MS)

uint64_t rs_deadline_after_ms(unsigned timeout_ms)
{
	return timeout_ms == 0 ? RS_DEADLINE_NEVER : rs_clock_ns() + timeout_ms * RS_NS_PER_MS;
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

int rs_deadline_poll(struct pollfd *fds, unsigned count, uint64_t deadline_ns)
{
	for (;;) {
		int timeout_ms = left_ms(deadline_ns);
		int ready = poll(fds, count, timeout_ms);

		if (ready > 0)
			return 0;
		if (ready < 0 && errno != EINTR)
			return -errno;
		if (ready == 0 && timeout_ms == 0)
			return -ETIMEDOUT;
	}
}

int rs_deadline_pause(uint64_t deadline_ns)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };

	if (rs_clock_ns() >= deadline_ns)
		return -ETIMEDOUT;
	nanosleep(&pause, NULL);
	return 0;
}
