/* SPDX-License-Identifier: MIT */
#include "support/shadow_log.h"

#include <ramsync/region.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t word_count(const struct shadow_log *log)
{
	return (log->bits + 63) / 64;
}

int shadow_log_init(struct shadow_log *log, uint64_t region_bytes, uint64_t granule_bytes)
{
	*log = (struct shadow_log){ .granule_bytes = granule_bytes };
	log->bits = (region_bytes + granule_bytes - 1) / granule_bytes;
	log->words = calloc(word_count(log), sizeof(*log->words));
	log->copy = calloc(word_count(log), sizeof(*log->copy));
	log->cleared = calloc(word_count(log), sizeof(*log->cleared));
	if (log->words != NULL && log->copy != NULL && log->cleared != NULL)
		return 0;
	shadow_log_fini(log);
	return -ENOMEM;
}

void shadow_log_fini(struct shadow_log *log)
{
	free(log->words);
	free(log->copy);
	free(log->cleared);
	*log = (struct shadow_log){ 0 };
}

void shadow_log_set(struct shadow_log *log, uint64_t offset, uint64_t bytes)
{
	uint64_t last = (offset + bytes - 1) / log->granule_bytes;

	/* An unconditional read-modify-write: what came before it is seen by whoever clears it. */
	for (uint64_t bit = offset / log->granule_bytes; bit <= last; bit++)
		atomic_fetch_or(&log->words[bit / 64], 1ull << bit % 64);
}

static void find_fault(struct shadow_log *log, bool wrong, const char *what)
{
	if (wrong && log->fault == NULL)
		log->fault = what;
}

/* ---- what the library calls ---------------------------------------------------------------- */

static int shadow_start(void *opaque, struct rs_region *region, void **cookie,
			struct rs_error *error)
{
	struct shadow_log *log = opaque;

	(void)region;
	(void)error;
	find_fault(log, log->started, "started twice");
	log->started = true;
	for (uint64_t i = 0; i < word_count(log); i++)
		atomic_exchange(&log->words[i], 0);
	memset(log->copy, 0, word_count(log) * sizeof(*log->copy));
	*cookie = log;
	return 0;
}

static void report(const struct shadow_log *log, struct rs_dirty_sink *sink)
{
	if (!log->ranges) {
		rs_dirty_report_bitmap(sink, 0, log->copy, log->bits, log->granule_bytes);
		return;
	}
	for (uint64_t bit = 0; bit < log->bits; bit++)
		if (log->copy[bit / 64] >> bit % 64 & 1)
			rs_dirty_report_range(sink, bit * log->granule_bytes, log->granule_bytes);
}

static int sync_log(struct shadow_log *log, void *cookie, struct rs_dirty_sink *sink, bool take)
{
	find_fault(log, !log->started || cookie != log, "synced without a start");
	for (uint64_t i = 0; i < word_count(log); i++)
		log->copy[i] =
		    take ? atomic_exchange(&log->words[i], 0) : atomic_load(&log->words[i]);
	memset(log->cleared, 0, word_count(log) * sizeof(*log->cleared));
	report(log, sink);
	return 0;
}

static int shadow_sync(void *opaque, struct rs_region *region, void *cookie,
		       struct rs_dirty_sink *sink, struct rs_error *error)
{
	(void)region;
	(void)error;
	return sync_log(opaque, cookie, sink, true);
}

static int shadow_sync_keeping(void *opaque, struct rs_region *region, void *cookie,
			       struct rs_dirty_sink *sink, struct rs_error *error)
{
	(void)region;
	(void)error;
	return sync_log(opaque, cookie, sink, false);
}

static void clear_granule(struct shadow_log *log, uint64_t bit)
{
	uint64_t mask = 1ull << bit % 64;

	find_fault(log, log->cleared[bit / 64] & mask, "a page was cleared twice after one sync");
	log->cleared[bit / 64] |= mask;
	if ((log->copy[bit / 64] & mask) == 0)
		return;
	log->copy[bit / 64] &= ~mask;
	atomic_fetch_and(&log->words[bit / 64], ~mask);
}

static int shadow_clear(void *opaque, struct rs_region *region, void *cookie, uint64_t offset,
			uint64_t bytes, struct rs_error *error)
{
	struct shadow_log *log = opaque;
	uint64_t page = rs_state_page_bytes(rs_region_state(region));
	uint64_t used = rs_region_used_bytes(region);
	uint64_t end = offset + bytes;

	(void)error;
	find_fault(log, !log->started || cookie != log, "cleared without a start");
	find_fault(log, offset % page != 0 || bytes % page != 0 || bytes == 0 || end > used,
		   "cleared a range that is not whole pages of the region");
	/* Whole granules only: a part of one may leave out pages that are not read yet. */
	if (end == used)
		end = log->bits * log->granule_bytes;
	for (uint64_t bit = (offset + log->granule_bytes - 1) / log->granule_bytes;
	     (bit + 1) * log->granule_bytes <= end && bit < log->bits; bit++)
		clear_granule(log, bit);
	return 0;
}

static void shadow_stop(void *opaque, struct rs_region *region, void *cookie)
{
	struct shadow_log *log = opaque;

	(void)region;
	find_fault(log, !log->started || cookie != log, "stopped without a start");
	log->started = false;
}

const struct rs_dirty_log_ops shadow_log_ops = {
	.size = sizeof(shadow_log_ops),
	.start = shadow_start,
	.sync = shadow_sync,
	.stop = shadow_stop,
};

const struct rs_dirty_log_ops shadow_log_clear_ops = {
	.size = sizeof(shadow_log_clear_ops),
	.start = shadow_start,
	.sync = shadow_sync_keeping,
	.clear = shadow_clear,
	.stop = shadow_stop,
};
