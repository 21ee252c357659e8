/* SPDX-License-Identifier: MIT */
#include "ram/counters.h"

#include "base/clock.h"

#include <stddef.h>

#define STAT(field, its_name, its_unit, doubled)                                                   \
	{                                                                                          \
		.name = its_name, .unit = its_unit, .is_double = doubled,                          \
		.offset = offsetof(struct rs_stats, field)                                         \
	}

static const struct rs_stat_info stat_table[] = {
	STAT(transferred, "transferred", "bytes", 0),
	STAT(remaining, "remaining", "bytes", 0),
	STAT(total, "total", "bytes", 0),
	STAT(duplicate, "duplicate", "pages", 0),
	STAT(normal, "normal", "pages", 0),
	STAT(normal_bytes, "normal-bytes", "bytes", 0),
	STAT(dirty_sync_count, "dirty-sync-count", "", 0),
	STAT(dirty_pages_rate, "dirty-pages-rate", "pages/s", 0),
	STAT(page_size, "page-size", "bytes", 0),
	STAT(mbps, "mbps", "Mbit/s", 1),
	STAT(pages_per_second, "pages-per-second", "pages/s", 0),
	STAT(setup_time_ms, "setup-time", "ms", 0),
	STAT(downtime_ms, "downtime", "ms", 0),
	STAT(expected_downtime_ms, "expected-downtime", "ms", 0),
	STAT(total_time_ms, "total-time", "ms", 0),
	STAT(downtime_ns, "downtime-ns", "ns", 0),
	STAT(wire_bytes, "wire-bytes", "bytes", 0),
	STAT(zero_run_pages, "zero-run-pages", "pages", 0),
	STAT(stop_ns, "stop-ns", "ns", 0),
	STAT(final_sync_ns, "final-sync-ns", "ns", 0),
	STAT(last_ram_ns, "last-ram-ns", "ns", 0),
	STAT(device_ns, "device-ns", "ns", 0),
	STAT(handover_ns, "handover-ns", "ns", 0),
	STAT(resume_ns, "resume-ns", "ns", 0),
	STAT(dirty_log_ns, "dirty-log-ns", "ns", 0),
	STAT(guest_stall_ns, "guest-stall-ns", "ns", 0),
	STAT(xbzrle_cache_size, "xbzrle-cache.cache-size", "bytes", 0),
	STAT(xbzrle_bytes, "xbzrle-cache.bytes", "bytes", 0),
	STAT(xbzrle_pages, "xbzrle-cache.pages", "pages", 0),
	STAT(xbzrle_cache_miss, "xbzrle-cache.cache-miss", "pages", 0),
	STAT(xbzrle_cache_miss_rate, "xbzrle-cache.cache-miss-rate", "", 1),
	STAT(xbzrle_encoding_rate, "xbzrle-cache.encoding-rate", "", 1),
	STAT(xbzrle_overflow, "xbzrle-cache.overflow", "pages", 0),
	STAT(compress_pages, "compression.pages", "pages", 0),
	STAT(compress_busy, "compression.busy", "pages", 0),
	STAT(compress_busy_rate, "compression.busy-rate", "", 1),
	STAT(compress_bytes, "compression.compressed-size", "bytes", 0),
	STAT(compress_rate, "compression.compression-rate", "", 1),
	STAT(postcopy_requests, "postcopy-requests", "", 0),
	STAT(postcopy_duplicates, "postcopy-duplicates", "pages", 0),
	STAT(postcopy_blocktime_ns, "postcopy-blocktime-ns", "ns", 0),
	STAT(postcopy_latency_ns, "postcopy-latency", "ns", 0),
};

const struct rs_stat_info *rs_stat_next(const struct rs_stat_info *previous)
{
	const struct rs_stat_info *end = stat_table + sizeof(stat_table) / sizeof(stat_table[0]);
	const struct rs_stat_info *next = previous == NULL ? stat_table : previous + 1;

	return next < end ? next : NULL;
}

void rs_counters_reset(struct rs_counters *counters)
{
	_Atomic uint64_t *first = &counters->transferred;

	_Static_assert(sizeof(*counters) % sizeof(*first) == 0, "only counters in it");
	for (size_t i = 0; i < sizeof(*counters) / sizeof(*first); i++)
		rs_counter_set(first[i], 0);
}

void rs_counters_begin(struct rs_counters *counters)
{
	rs_counters_reset(counters);
	rs_counter_set(counters->start_ns, rs_clock_ns());
}

void rs_counters_end(struct rs_counters *counters, uint64_t wire_bytes)
{
	uint64_t now = rs_clock_ns(), start = rs_counter_get(counters->start_ns);

	rs_counter_set(counters->wire_bytes, wire_bytes);
	rs_counter_set(counters->end_ns, now);
	if (now > start)
		rs_counter_set(counters->bits_per_second,
			       (uint64_t)((double)wire_bytes * 8e9 / (double)(now - start)));
}

/* Nanoseconds from one moment to another; to now while the second has not come. */
static uint64_t span_ns(uint64_t from, uint64_t to)
{
	if (from == 0)
		return 0;
	if (to == 0)
		to = rs_clock_ns();
	return to > from ? to - from : 0;
}

static double millionths(const _Atomic uint64_t *counter)
{
	return (double)atomic_load_explicit(counter, memory_order_relaxed) / 1e6;
}

void rs_counters_read(const struct rs_counters *counters, uint32_t page_bytes, uint64_t dirty_pages,
		      struct rs_stats *stats)
{
	uint64_t start = rs_counter_get(counters->start_ns), end = rs_counter_get(counters->end_ns);
	uint64_t setup_end = rs_counter_get(counters->setup_end_ns);
	uint64_t stopped = rs_counter_get(counters->downtime_start_ns);

	stats->transferred = rs_counter_get(counters->transferred);
	stats->remaining = dirty_pages * page_bytes;
	stats->total = rs_counter_get(counters->total);
	stats->duplicate = rs_counter_get(counters->duplicate);
	stats->normal = rs_counter_get(counters->normal);
	stats->normal_bytes = stats->normal * page_bytes;
	stats->dirty_sync_count = rs_counter_get(counters->dirty_sync_count);
	stats->dirty_pages_rate = rs_counter_get(counters->dirty_pages_rate);
	stats->page_size = page_bytes;
	stats->mbps = (double)rs_counter_get(counters->bits_per_second) / 1e6;
	stats->pages_per_second = rs_counter_get(counters->pages_per_second);
	stats->setup_time_ms = span_ns(start, setup_end != 0 ? setup_end : end) / RS_NS_PER_MS;
	stats->total_time_ms = span_ns(start, end) / RS_NS_PER_MS;
	stats->downtime_ns = span_ns(stopped, rs_counter_get(counters->downtime_end_ns));
	stats->downtime_ms = stats->downtime_ns / RS_NS_PER_MS;
	stats->expected_downtime_ms = rs_counter_get(counters->expected_downtime_ms);
	stats->wire_bytes = rs_counter_get(counters->wire_bytes);
	stats->zero_run_pages = rs_counter_get(counters->zero_run_pages);
	stats->stop_ns = rs_counter_get(counters->stop_ns);
	stats->final_sync_ns = rs_counter_get(counters->final_sync_ns);
	stats->last_ram_ns = rs_counter_get(counters->last_ram_ns);
	stats->device_ns = rs_counter_get(counters->device_ns);
	stats->handover_ns = rs_counter_get(counters->handover_ns);
	stats->resume_ns = rs_counter_get(counters->resume_ns);
	stats->dirty_log_ns = rs_counter_get(counters->dirty_log_ns);
	stats->guest_stall_ns = rs_counter_get(counters->guest_stall_ns);
	stats->xbzrle_cache_size = rs_counter_get(counters->xbzrle_cache_size);
	stats->xbzrle_bytes = rs_counter_get(counters->xbzrle_bytes);
	stats->xbzrle_pages = rs_counter_get(counters->xbzrle_pages);
	stats->xbzrle_cache_miss = rs_counter_get(counters->xbzrle_cache_miss);
	stats->xbzrle_cache_miss_rate = millionths(&counters->xbzrle_cache_miss_rate);
	stats->xbzrle_encoding_rate = millionths(&counters->xbzrle_encoding_rate);
	stats->xbzrle_overflow = rs_counter_get(counters->xbzrle_overflow);
	stats->compress_pages = rs_counter_get(counters->compress_pages);
	stats->compress_busy = rs_counter_get(counters->compress_busy);
	stats->compress_busy_rate = millionths(&counters->compress_busy_rate);
	stats->compress_bytes = rs_counter_get(counters->compress_bytes);
	stats->compress_rate = millionths(&counters->compress_rate);
	stats->postcopy_requests = rs_counter_get(counters->postcopy_requests);
	stats->postcopy_duplicates = rs_counter_get(counters->postcopy_duplicates);
}
