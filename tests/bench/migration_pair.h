/* SPDX-License-Identifier: MIT */
/* One migration between two states of this process, over loopback TCP: the benchmark's subject. */
#ifndef RS_BENCH_MIGRATION_PAIR_H
#define RS_BENCH_MIGRATION_PAIR_H

#include <ramsync/ramsync.h>
#include <stdbool.h>

struct memory {
	unsigned char *data;
	size_t bytes;
};

struct migration_options {
	bool fresh;                 /* the destination's memory is untouched */
	bool log;                   /* track writes by userfaultfd; else nothing is tracked */
	const char *downtime_limit; /* ms */
};

struct migration_result {
	double seconds;        /* the whole of rs_migrate_out */
	double blackout_ms;    /* from the call of stop to the call of resume */
	struct rs_stats stats; /* the source's */
};

/* Connected TCP sockets, [0] to write. */
void make_tcp_pair(int sockets[2]);

/* Send from to to. Exits with a message if anything fails. */
struct migration_result migrate_memory(struct memory from, struct memory to,
				       const struct migration_options *options);

/* Field of /proc/self/status, in KiB, for instance "VmRSS:". */
long status_kib(const char *field);

/* Have VmHWM begin anew. */
void reset_peak(void);

#endif
