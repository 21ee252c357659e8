/* SPDX-License-Identifier: MIT */
/*
 * One postcopy over loopback TCP: the destination in this process, the source in a child, so that they share
 * processors but no memory.
 */
#ifndef RS_BENCH_POSTCOPY_PAIR_H
#define RS_BENCH_POSTCOPY_PAIR_H

#include <ramsync/ramsync.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct postcopy_plan {
	size_t bytes;
	size_t page_bytes; /* 4 KiB, or that of huge pages, of which there must be enough */
	bool preempt;
	const char *bandwidth; /* max-postcopy-bandwidth, until the guest has done its work */
	unsigned passes;       /* before the switch; 0: all goes by postcopy */
	size_t working_set;    /* the guest at the source writes these bytes, again and again */
	/* What the guest does at the destination, in a thread of its own; may be NULL. */
	void (*guest)(void *opaque, unsigned char *memory);
	void *opaque;
};

struct postcopy_outcome {
	double blackout_ms; /* from the call of stop to the return of resume */
	double seconds;     /* from there to the last page */
	double final_sync_ms;
	double early_ms; /* of the source, from the order to switch to the call of stop */
	struct rs_stats stats;
};

/* Memory as a guest has it: of small pages or huge ones, not touched. */
unsigned char *make_guest_memory(size_t bytes, size_t page_bytes);

/* Its first word tells which page it is. */
void fill_page(unsigned char *page, size_t page_bytes, size_t number);
bool is_page(const unsigned char *page, size_t number);

/* Run a function in a child, which ends with it. */
pid_t run_in_child(void (*run)(void *opaque), void *opaque);
void await_child(pid_t child);

/* Seconds of the processors' time that others than this process and its children used since the machine began. */
double seconds_of_others(void);

/* Exits with a message if anything fails, or a page is not what it was. */
struct postcopy_outcome run_postcopy(const struct postcopy_plan *plan);

#endif
