/* SPDX-License-Identifier: MIT */
/*
 * The counters behind rs_stats_get(). Written by the thread that migrates, read by any: each is
 * atomic by itself, none is ordered against another.
 */
#ifndef RS_RAM_COUNTERS_H
#define RS_RAM_COUNTERS_H

#include <ramsync/stats.h>

#include <stdatomic.h>

struct rs_counters {
	_Atomic uint64_t transferred;
	_Atomic uint64_t total;
	_Atomic uint64_t duplicate;
	_Atomic uint64_t normal;
	_Atomic uint64_t zero_run_pages;
	_Atomic uint64_t handled; /* source: pages of every kind, also those that had not changed */
	_Atomic uint64_t xbzrle_cache_size;
	_Atomic uint64_t xbzrle_bytes;
	_Atomic uint64_t xbzrle_pages;
	_Atomic uint64_t xbzrle_cache_miss;
	_Atomic uint64_t xbzrle_cache_miss_rate; /* this and the next in millionths */
	_Atomic uint64_t xbzrle_encoding_rate;
	_Atomic uint64_t xbzrle_overflow;
	_Atomic uint64_t compress_pages;
	_Atomic uint64_t compress_busy;
	_Atomic uint64_t compress_busy_rate; /* this and compress_rate in millionths */
	_Atomic uint64_t compress_bytes;
	_Atomic uint64_t compress_rate;
	_Atomic uint64_t dirty_sync_count;
	_Atomic uint64_t dirty_pages_rate;
	_Atomic uint64_t wire_bytes;
	_Atomic uint64_t bits_per_second;
	_Atomic uint64_t pages_per_second;
	_Atomic uint64_t expected_downtime_ms;
	_Atomic uint64_t start_ns;
	_Atomic uint64_t setup_end_ns;
	_Atomic uint64_t end_ns;
	_Atomic uint64_t downtime_start_ns;
	_Atomic uint64_t downtime_end_ns;
	_Atomic uint64_t stop_ns;
	_Atomic uint64_t final_sync_ns;
	_Atomic uint64_t last_ram_ns;
	_Atomic uint64_t device_ns;
	_Atomic uint64_t handover_ns;
	_Atomic uint64_t resume_ns;
	_Atomic uint64_t dirty_log_ns;
	_Atomic uint64_t guest_stall_ns;      /* written by any thread */
	_Atomic uint64_t postcopy_requests;   /* the thread that hears or sends them */
	_Atomic uint64_t postcopy_duplicates; /* any loading thread: pages that came twice */
};

#define rs_counter_get(counter) atomic_load_explicit(&(counter), memory_order_relaxed)
#define rs_counter_set(counter, value)                                                             \
	atomic_store_explicit(&(counter), (value), memory_order_relaxed)
/* One writer: a plain addition is enough, and needs no locked instruction. */
#define rs_counter_add(counter, value)                                                             \
	rs_counter_set((counter), rs_counter_get(counter) + (uint64_t)(value))

/* A ratio, as a counter keeps it. */
static inline uint64_t rs_millionths(double ratio)
{
	return (uint64_t)(ratio * 1e6);
}

void rs_counters_reset(struct rs_counters *counters);

/* A migration begins now, with all counters at zero. */
void rs_counters_begin(struct rs_counters *counters);

/* A migration ends now, after so many bytes in all: the rate becomes that of the whole. */
void rs_counters_end(struct rs_counters *counters, uint64_t wire_bytes);

/* dirty_pages: those known to be dirty now. */
void rs_counters_read(const struct rs_counters *counters, uint32_t page_bytes, uint64_t dirty_pages,
		      struct rs_stats *stats);

#endif
