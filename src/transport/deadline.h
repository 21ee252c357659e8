/* SPDX-License-Identifier: MIT */
/* Points in time up to which a caller is willing to wait. */
#ifndef RS_TRANSPORT_DEADLINE_H
#define RS_TRANSPORT_DEADLINE_H

#include <poll.h>
#include <stdint.h>

#define RS_DEADLINE_NEVER UINT64_MAX

/* 0 ms, as everywhere in the API, is no limit. */
uint64_t rs_deadline_after_ms(unsigned timeout_ms);

/* poll(2) until something is ready: 0, -ETIMEDOUT or another negative errno; EINTR goes on. */
int rs_deadline_poll(struct pollfd *fds, unsigned count, uint64_t deadline_ns);

/* Sleep a little before trying something again that cannot be polled for: 0 or -ETIMEDOUT. */
int rs_deadline_pause(uint64_t deadline_ns);

#endif
