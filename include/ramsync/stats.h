/* SPDX-License-Identifier: MIT */
/*
 * Statistics of the migration that runs, or of the last one. Names and meanings are QEMU's
 * (query-migrate); what is ours is said to be.
 */
#ifndef RAMSYNC_STATS_H
#define RAMSYNC_STATS_H

#include <ramsync/state.h>

RS_BEGIN_DECLS

/**
 * struct rs_stats - a snapshot of the counters. All are 0 before the first migration.
 * @size: set it to sizeof(struct rs_stats) before the call.
 * @transferred: bytes of RAM records sent or received, headers included.
 * @remaining: bytes in pages known to be dirty.
 * @total: bytes in all regions.
 * @duplicate: zero pages.
 * @normal: pages sent or received in full.
 * @normal_bytes: the same in bytes.
 * @dirty_sync_count: dirty-bitmap syncs so far.
 * @dirty_pages_rate: pages newly dirty a second, over the last period of at least one second.
 * @page_size: target page size, bytes.
 * @mbps: 10^6 bits a second on the wire, over the last window of at least 100 ms; at the end,
 *	over all.
 * @pages_per_second: pages handled a second, over the last window.
 * @setup_time_ms: time that set-up took.
 * @downtime_ms: source: from the stop of the guest to the end of the hand-over. 0 at the
 *	destination.
 * @expected_downtime_ms: what the downtime would be if the guest were stopped now.
 * @total_time_ms: since the migration began.
 * @downtime_ns: ours: downtime_ms, finer.
 * @wire_bytes: ours: all bytes put to or got from the stream.
 * @zero_run_pages: ours: those of @duplicate that were found without being read.
 * @stop_ns: ours, source: of the downtime, the VMM's stop callback.
 * @final_sync_ns: ours, source: of the downtime, the last sync of the dirty logs.
 * @last_ram_ns: ours, source: of the downtime, the pages that were left.
 * @device_ns: ours, source: of the downtime, saving device state.
 * @handover_ns: ours, source: of the downtime, all that follows: the destination's check, its
 *	loading of what was still under way, its resume, and the way there and back.
 * @resume_ns: ours, destination: the VMM's resume callback.
 * @dirty_log_ns: ours, source: spent in the dirty logs before the guest was stopped, their start
 *	included. The guest is held up by them for so long at most, apart from the fault at its first write to each page
 *	and from @guest_stall_ns.
 * @guest_stall_ns: ours, source: how long vCPUs had to wait for a dirty log, all of them together:
 *	those whose ring was full, in rs_kvm_ring_full(), and what rs_dirty_report_stall() said.
 * @xbzrle_cache_size: source: bytes of the cache of pages that were sent; 0 without XBZRLE.
 * @xbzrle_bytes: of XBZRLE records, without the first 8 of each; an overflow counts as a page.
 * @xbzrle_pages: source: pages that were found in the cache, whatever came of them. Destination: pages
 *	that came as deltas.
 * @xbzrle_cache_miss: source: pages that were not in the cache.
 * @xbzrle_cache_miss_rate: source: their share of the pages handled in the last period of at least
 *	one second, 0 to 1.
 * @xbzrle_encoding_rate: source: in the same period, the bytes of pages that were found over those
 *	that were sent for them; 0 if none were.
 * @xbzrle_overflow: source: pages that were found, but had changed so much that they went in full.
 * @compress_pages: pages sent or received compressed.
 * @compress_busy: source: pages that went in full because no thread was free to compress them.
 * @compress_busy_rate: source: their share of the pages handled in the last period, 0 to 1.
 * @compress_bytes: of records of compressed pages, without the first 8 of each.
 * @compress_rate: source: in the last period in which there were any, the bytes of compressed
 *	pages over those that were sent for them.
 * @postcopy_requests: messages that asked for pages, heard or sent.
 * @postcopy_duplicates: ours, destination: pages that came twice in postcopy, and were dropped.
 * @postcopy_blocktime_ns: ours, destination: time in which every registered vCPU waited for a page.
 * @postcopy_latency_ns: destination: how long a fault waited for its page, on average.
 */
struct rs_stats {
	size_t size;
	uint64_t transferred;
	uint64_t remaining;
	uint64_t total;
	uint64_t duplicate;
	uint64_t normal;
	uint64_t normal_bytes;
	uint64_t dirty_sync_count;
	uint64_t dirty_pages_rate;
	uint64_t page_size;
	double mbps;
	uint64_t pages_per_second;
	uint64_t setup_time_ms;
	uint64_t downtime_ms;
	uint64_t expected_downtime_ms;
	uint64_t total_time_ms;
	uint64_t downtime_ns;
	uint64_t wire_bytes;
	uint64_t zero_run_pages;
	uint64_t stop_ns;
	uint64_t final_sync_ns;
	uint64_t last_ram_ns;
	uint64_t device_ns;
	uint64_t handover_ns;
	uint64_t resume_ns;
	uint64_t dirty_log_ns;
	uint64_t guest_stall_ns;
	uint64_t xbzrle_cache_size;
	uint64_t xbzrle_bytes;
	uint64_t xbzrle_pages;
	uint64_t xbzrle_cache_miss;
	double xbzrle_cache_miss_rate;
	double xbzrle_encoding_rate;
	uint64_t xbzrle_overflow;
	uint64_t compress_pages;
	uint64_t compress_busy;
	double compress_busy_rate;
	uint64_t compress_bytes;
	double compress_rate;
	uint64_t postcopy_requests;
	uint64_t postcopy_duplicates;
	uint64_t postcopy_blocktime_ns;
	uint64_t postcopy_latency_ns;
};

/**
 * rs_stats_get() - read the counters.
 * @state: the state.
 * @stats: receives them; its size field says how much of it is filled.
 *
 * Each value is exact as of some moment during the call; together they may be a few pages apart
 * while a migration runs.
 *
 * Return: 0; -EINVAL if size is 0.
 * Context: any thread; never blocks.
 */
RS_API int rs_stats_get(const struct rs_state *state, struct rs_stats *stats);

/**
 * struct rs_stat_info - a row of the table of statistics.
 * @name: QEMU's name, for instance "dirty-pages-rate".
 * @unit: "bytes", "pages", "pages/s", "Mbit/s", "ms", "ns" or "".
 * @is_double: the field is a double, else a uint64_t.
 * @offset: of the field in struct rs_stats, bytes.
 */
struct rs_stat_info {
	const char *name;
	const char *unit;
	int is_double;
	size_t offset;
};

/**
 * rs_stat_next() - walk the table of statistics, to print them all by name.
 * @previous: a row, or NULL for the first one.
 *
 * A later library may have rows for fields that the caller's struct rs_stats does not have yet:
 * skip those whose offset lies beyond it.
 *
 * Return: the row after @previous; NULL after the last.
 */
RS_API const struct rs_stat_info *rs_stat_next(const struct rs_stat_info *previous);

RS_END_DECLS
#endif
