/* SPDX-License-Identifier: MIT */
/* How long a caller is willing to wait: up to a point in time, or until somebody wakes it. */
#ifndef RS_TRANSPORT_DEADLINE_H
#define RS_TRANSPORT_DEADLINE_H

#include <poll.h>
#include <stdint.h>

#define RS_DEADLINE_NEVER UINT64_MAX

struct rs_deadline {
	uint64_t ns;
	int wake_fd; /* readable for good once the wait is to end; -1: nobody wakes */
};

/* 0 ms, as everywhere in the API, is no limit. */
struct rs_deadline rs_deadline_after_ms(unsigned timeout_ms, int wake_fd);

/* Most descriptors that can be waited for together. */
#define RS_DEADLINE_FDS 2u

/* poll(2) until something is ready: 0, -ETIMEDOUT, -ECANCELED if it was woken, or another negative
 * errno; EINTR goes on. */
int rs_deadline_poll(struct pollfd *fds, unsigned count, const struct rs_deadline *deadline);

/* Sleep a little before trying something again that cannot be polled for: 0, or as above. */
int rs_deadline_pause(const struct rs_deadline *deadline);

#endif
