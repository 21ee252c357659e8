/* SPDX-License-Identifier: MIT */
#include "transport/rate_limit.h"

#include "base/checked.h"

static uint64_t multiply_saturating(uint64_t a, uint64_t b)
{
	uint64_t product;

	return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

void rs_rate_limit_set(struct rs_rate_limit *limit, uint64_t bytes_per_second)
{
	atomic_store_explicit(&limit->bytes_per_second, bytes_per_second, memory_order_relaxed);
}

static uint64_t windows_per_second(const struct rs_rate_limit *limit)
{
	return limit->windows != 0 ? limit->windows : RS_RATE_WINDOWS;
}

static uint64_t window_ns(const struct rs_rate_limit *limit)
{
	return RS_NS_PER_S / windows_per_second(limit);
}

void rs_rate_limit_set_windows(struct rs_rate_limit *limit, unsigned windows)
{
	if (windows == windows_per_second(limit))
		return;
	limit->windows = windows;
	/* The next look begins an account. */
	limit->rate = 0;
}

/* Bytes that went out while there was no limit are no debt. */
static void begin(struct rs_rate_limit *limit, uint64_t bytes_put, uint64_t now_ns)
{
	limit->window_began_ns = now_ns;
	limit->used_parts = 0;
	limit->bytes_counted = bytes_put;
}

/* Bring the account up to date. */
static void settle(struct rs_rate_limit *limit, uint64_t bytes_put, uint64_t now_ns)
{
	uint64_t rate = atomic_load_explicit(&limit->bytes_per_second, memory_order_relaxed);
	uint64_t windows, used;

	if (limit->rate == 0)
		begin(limit, bytes_put, now_ns);
	limit->rate = rate;
	if (rate == 0)
		return;
	used = multiply_saturating(bytes_put - limit->bytes_counted, windows_per_second(limit));
	limit->used_parts = rs_add_saturating(limit->used_parts, used);
	limit->bytes_counted = bytes_put;

	windows = (now_ns - limit->window_began_ns) / window_ns(limit);
	limit->window_began_ns += windows * window_ns(limit);
	limit->used_parts -= rs_min_u64(limit->used_parts, multiply_saturating(windows, rate));
}

uint64_t rs_rate_limit_left(struct rs_rate_limit *limit, uint64_t bytes_put, uint64_t now_ns)
{
	uint64_t left;

	settle(limit, bytes_put, now_ns);
	if (limit->rate == 0)
		return UINT64_MAX;
	if (limit->used_parts >= limit->rate)
		return 0;
	left = limit->rate - limit->used_parts;
	return left / windows_per_second(limit) + (left % windows_per_second(limit) != 0);
}

void rs_rate_limit_forgive(struct rs_rate_limit *limit, uint64_t bytes, uint64_t bytes_put,
			   uint64_t now_ns)
{
	uint64_t parts = multiply_saturating(bytes, windows_per_second(limit));

	settle(limit, bytes_put, now_ns);
	limit->used_parts -= rs_min_u64(limit->used_parts, parts);
}

uint64_t rs_rate_limit_wait_ns(struct rs_rate_limit *limit, uint64_t bytes_put, uint64_t now_ns)
{
	uint64_t windows, ns;

	if (rs_rate_limit_left(limit, bytes_put, now_ns) > 0)
		return 0;
	windows = limit->used_parts / limit->rate;
	ns = multiply_saturating(windows, window_ns(limit));
	/* settle() left less than a window between its begin and now. */
	return ns - (now_ns - limit->window_began_ns);
}
