/* SPDX-License-Identifier: MIT */
/* Time, as every rule of the library counts it: monotonic nanoseconds. */
#ifndef RS_BASE_CLOCK_H
#define RS_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define RS_NS_PER_MS 1000000ull
#define RS_NS_PER_S 1000000000ull

static inline uint64_t rs_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * RS_NS_PER_S + (uint64_t)now.tv_nsec;
}

#endif
