/* SPDX-License-Identifier: MIT */
/*
 * How long vCPUs waited for pages, and how long pages took. vCPUs are known by the ids of their threads,
 * which the embedder registers; they stay registered from one migration to the next.
 *
 * begin is called by the fault thread, end by whoever places a page; both are cheap where nobody waits.
 */
#ifndef RS_POSTCOPY_BLOCKTIME_H
#define RS_POSTCOPY_BLOCKTIME_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* N-th: faults that took [2^N, 2^(N+1)) microseconds; the first takes all shorter, the last all longer. */
#define RS_LATENCY_BUCKETS 24u
#define RS_BLOCKTIME_MAX_VCPUS 1024u

struct rs_blocktime;

/* 0 or -ENOMEM. */
int rs_blocktime_create(struct rs_blocktime **blocktime);
void rs_blocktime_destroy(struct rs_blocktime *blocktime);

/* Any thread. -EINVAL if the index is too large. thread_id: of gettid(2); 0 forgets the vCPU. */
int rs_blocktime_register(struct rs_blocktime *blocktime, unsigned vcpu, pid_t thread_id);

/* A migration begins: all times are zero. */
void rs_blocktime_reset(struct rs_blocktime *blocktime);

/* A thread waits for the page at address from now on; thread_id 0 if it is unknown. */
void rs_blocktime_begin(struct rs_blocktime *blocktime, pid_t thread_id, uintptr_t address,
			uint64_t now_ns);

/* The pages in [start, end) are there. */
void rs_blocktime_end(struct rs_blocktime *blocktime, uintptr_t start, uintptr_t end,
		      uint64_t now_ns);

struct rs_blocktime_summary {
	uint64_t all_blocked_ns; /* in which every vCPU that is registered was blocked */
	uint64_t faults;         /* that ended */
	uint64_t latency_ns;     /* of all of them */
	uint64_t latency_max_ns; /* of the longest */
	uint64_t latency[RS_LATENCY_BUCKETS];
};

/* Any thread. */
void rs_blocktime_read(struct rs_blocktime *blocktime, struct rs_blocktime_summary *summary);

/* How long a vCPU was blocked so far; 0 for one that is not registered. */
uint64_t rs_blocktime_of_vcpu(struct rs_blocktime *blocktime, unsigned vcpu);

#endif
