/* SPDX-License-Identifier: MIT */
/* Size arithmetic that cannot wrap, and the few bit tricks on sizes. */
#ifndef RS_BASE_CHECKED_H
#define RS_BASE_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

/* Whether [offset, offset + bytes) lies inside [0, limit). */
static inline bool rs_range_inside(uint64_t offset, uint64_t bytes, uint64_t limit)
{
	return offset <= limit && bytes <= limit - offset;
}

/* a + b, or UINT64_MAX if that does not fit. */
static inline uint64_t rs_add_saturating(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static inline bool rs_is_power_of_two(uint64_t value)
{
	return value != 0 && (value & (value - 1)) == 0;
}

/* alignment is a power of two. */
static inline bool rs_is_aligned(uint64_t value, uint64_t alignment)
{
	return (value & (alignment - 1)) == 0;
}

static inline uint64_t rs_align_down(uint64_t value, uint64_t alignment)
{
	return value & ~(alignment - 1);
}

/* The caller knows that value + alignment fits. */
static inline uint64_t rs_align_up(uint64_t value, uint64_t alignment)
{
	return (value + alignment - 1) & ~(alignment - 1);
}

static inline uint64_t rs_min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t rs_max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* log2 of a power of two. */
static inline unsigned rs_log2(uint64_t power)
{
	return (unsigned)__builtin_ctzll(power);
}

#endif
