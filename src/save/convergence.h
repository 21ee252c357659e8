/* SPDX-License-Identifier: MIT */
/*
 * How fast pages get dirty, how fast they go out, and when the rest is small enough: QEMU's
 * periods, windows and completion rule. Pure arithmetic over counters and a time that the caller
 * gives, so that it can be tested with a clock of its own.
 */
#ifndef RS_SAVE_CONVERGENCE_H
#define RS_SAVE_CONVERGENCE_H

#include <stdbool.h>
#include <stdint.h>

/* Between dirty syncs: begins with the first sync, ends with the first one that comes more than
 * a second later. */
struct rs_period {
	uint64_t start_ns; /* 0: no sync yet */
	uint64_t newly_dirty;
};

/* A sync found newly_dirty pages. Whether that ended a period; *pages_per_second is its rate. */
bool rs_period_sync(struct rs_period *period, uint64_t now_ns, uint64_t newly_dirty,
		    uint64_t *pages_per_second);

/*
 * Counters of XBZRLE, as they were at the end of a period: what the next one's rates are made from.
 */
struct rs_delta_counts {
	uint64_t handled; /* pages of every kind */
	uint64_t misses;
	uint64_t hits;
	uint64_t bytes; /* that were sent for hits */
};

struct rs_delta_rates {
	double misses;   /* of the pages handled, 0 to 1 */
	double encoding; /* bytes of hits over bytes sent for them; 0 if none were */
};

/* What happened from one moment to another. False, and no rates, if no page was handled. */
bool rs_delta_rates(const struct rs_delta_counts *from, const struct rs_delta_counts *to,
		    uint32_t page_bytes, struct rs_delta_rates *rates);

/* The same of compressed pages. */
struct rs_compress_counts {
	uint64_t handled; /* pages of every kind */
	uint64_t busy;    /* that found no thread */
	uint64_t pages;   /* that were compressed */
	uint64_t bytes;   /* that were sent for them */
};

struct rs_compress_rates {
	double busy;        /* of the pages handled, 0 to 1 */
	double compression; /* bytes of pages over bytes sent for them; 0 if none were */
};

bool rs_compress_rates(const struct rs_compress_counts *from, const struct rs_compress_counts *to,
		       uint32_t page_bytes, struct rs_compress_rates *rates);

/* Between looks at the bandwidth: ends with the first look at least 100 ms after its start. */
struct rs_window {
	uint64_t start_ns;
	uint64_t start_bytes;
	uint64_t start_pages;
	/* of the last complete window; 0 before there was one */
	uint64_t bytes_per_second;
	uint64_t pages_per_second;
	uint64_t bytes; /* that went out in it */
};

void rs_window_start(struct rs_window *window, uint64_t now_ns, uint64_t bytes, uint64_t pages);

/* bytes and pages: sent so far. Whether a window ended. */
bool rs_window_look(struct rs_window *window, uint64_t now_ns, uint64_t bytes, uint64_t pages);

/* Bytes that can be sent within the downtime limit, as far as is known; 0 before the first
 * window, so that only a guest without dirty pages completes that early. */
uint64_t rs_window_threshold(const struct rs_window *window, uint64_t downtime_limit_ms);

/* Milliseconds that so many bytes would take; UINT64_MAX if nothing is known. */
uint64_t rs_window_ms_for(const struct rs_window *window, uint64_t bytes);

#endif
