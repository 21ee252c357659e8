/* SPDX-License-Identifier: MIT */
#include "save/convergence.h"

#include "base/clock.h"

#define PERIOD_NS (1000 * RS_NS_PER_MS)
#define WINDOW_NS (100 * RS_NS_PER_MS)

bool rs_period_sync(struct rs_period *period, uint64_t now_ns, uint64_t newly_dirty,
		    uint64_t *pages_per_second)
{
	if (period->start_ns == 0) {
		period->start_ns = now_ns;
		period->newly_dirty = 0;
	}
	period->newly_dirty += newly_dirty;

	uint64_t passed_ms = (now_ns - period->start_ns) / RS_NS_PER_MS;

	if (now_ns - period->start_ns <= PERIOD_NS)
		return false;
	*pages_per_second = period->newly_dirty * 1000 / passed_ms;
	period->start_ns = now_ns;
	period->newly_dirty = 0;
	return true;
}

static double ratio(double amount, double of)
{
	return of > 0 ? amount / of : 0;
}

bool rs_delta_rates(const struct rs_delta_counts *from, const struct rs_delta_counts *to,
		    uint32_t page_bytes, struct rs_delta_rates *rates)
{
	uint64_t handled = to->handled - from->handled;

	if (handled == 0)
		return false;
	rates->misses = ratio((double)(to->misses - from->misses), (double)handled);
	rates->encoding =
	    ratio((double)(to->hits - from->hits) * page_bytes, (double)(to->bytes - from->bytes));
	return true;
}

bool rs_compress_rates(const struct rs_compress_counts *from, const struct rs_compress_counts *to,
		       uint32_t page_bytes, struct rs_compress_rates *rates)
{
	uint64_t handled = to->handled - from->handled;

	if (handled == 0)
		return false;
	rates->busy = ratio((double)(to->busy - from->busy), (double)handled);
	rates->compression = ratio((double)(to->pages - from->pages) * page_bytes,
				   (double)(to->bytes - from->bytes));
	return true;
}

void rs_window_start(struct rs_window *window, uint64_t now_ns, uint64_t bytes, uint64_t pages)
{
	window->start_ns = now_ns;
	window->start_bytes = bytes;
	window->start_pages = pages;
}

static uint64_t per_second(uint64_t amount, uint64_t ns)
{
	return (uint64_t)((double)amount * (double)RS_NS_PER_S / (double)ns);
}

bool rs_window_look(struct rs_window *window, uint64_t now_ns, uint64_t bytes, uint64_t pages)
{
	uint64_t passed_ns = now_ns - window->start_ns;

	if (passed_ns < WINDOW_NS)
		return false;
	window->bytes = bytes - window->start_bytes;
	window->bytes_per_second = per_second(window->bytes, passed_ns);
	window->pages_per_second = per_second(pages - window->start_pages, passed_ns);
	rs_window_start(window, now_ns, bytes, pages);
	return true;
}

uint64_t rs_window_threshold(const struct rs_window *window, uint64_t downtime_limit_ms)
{
	return (uint64_t)((double)window->bytes_per_second / 1000 * (double)downtime_limit_ms);
}

uint64_t rs_window_ms_for(const struct rs_window *window, uint64_t bytes)
{
	if (window->bytes_per_second == 0)
		return UINT64_MAX;
	return (uint64_t)((double)bytes * 1000 / (double)window->bytes_per_second);
}
