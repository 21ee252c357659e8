/* SPDX-License-Identifier: MIT */
/*
 * A budget of bytes in windows of 100 ms, or shorter ones. What a window sends beyond its budget is a debt that
 * the following ones pay; what it leaves unused is gone, so that a pause is not followed by
 * a burst. Amounts are kept in as many parts of a byte as a second has windows: a window's
 * budget is then the rate itself, and the average is exact for any limit.
 *
 * The caller brings the clock and its count of bytes; only the rate may be set from any thread.
 */
#ifndef RS_TRANSPORT_RATE_LIMIT_H
#define RS_TRANSPORT_RATE_LIMIT_H

#include "base/clock.h"

#include <stdatomic.h>
#include <stdint.h>

#define RS_RATE_WINDOWS 10u
#define RS_RATE_WINDOW_NS (RS_NS_PER_S / RS_RATE_WINDOWS)

struct rs_rate_limit {
	/* any thread; 0 is no limit */
	_Atomic uint64_t bytes_per_second;

	/* the writing thread */
	unsigned windows; /* in a second; 0 is RS_RATE_WINDOWS */
	uint64_t rate;    /* bytes_per_second when last looked at */
	uint64_t window_began_ns;
	uint64_t used_parts;
	uint64_t bytes_counted;
};

/* All zero is a limit of none; takes effect at the next call of the others. */
void rs_rate_limit_set(struct rs_rate_limit *limit, uint64_t bytes_per_second);

/* Windows in a second from now on, which divide it. If that is a change, debts are forgotten. */
void rs_rate_limit_set_windows(struct rs_rate_limit *limit, unsigned windows);

/* So many of the bytes that were put last do not count. */
void rs_rate_limit_forgive(struct rs_rate_limit *limit, uint64_t bytes, uint64_t bytes_put,
			   uint64_t now_ns);

/* Bytes left in the window of now_ns, rounded up; UINT64_MAX without a limit. bytes_put: how many
 * were ever put. */
uint64_t rs_rate_limit_left(struct rs_rate_limit *limit, uint64_t bytes_put, uint64_t now_ns);

/* How long until there is budget again; 0 if there is some now. */
uint64_t rs_rate_limit_wait_ns(struct rs_rate_limit *limit, uint64_t bytes_put, uint64_t now_ns);

#endif
