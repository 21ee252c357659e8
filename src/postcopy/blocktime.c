/* SPDX-License-Identifier: MIT */
#include "postcopy/blocktime.h"

#include "base/checked.h"
#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>

/* Who waits at once, vCPUs and others. More are not measured. */
#define MAX_WAITS 2048u
#define NO_VCPU RS_BLOCKTIME_MAX_VCPUS

struct vcpu {
	pid_t thread_id; /* 0: not registered */
	bool blocked;
	uint64_t blocked_since_ns;
	uint64_t blocked_ns; /* that ended */
};

struct wait {
	pid_t thread_id;
	unsigned vcpu; /* or NO_VCPU */
	uintptr_t address;
	uint64_t since_ns;
};

struct rs_blocktime {
	/* Of waits: so that the end of none costs one load. Written under the lock. */
	_Atomic unsigned waiting;

	pthread_mutex_t lock;
	/* guarded by lock */
	unsigned vcpu_limit; /* no vCPU from here on is registered */
	unsigned registered, blocked;
	bool all_blocked;
	uint64_t all_since_ns;
	struct rs_blocktime_summary ended;
	struct vcpu vcpus[RS_BLOCKTIME_MAX_VCPUS];
	struct wait waits[MAX_WAITS];
};

int rs_blocktime_create(struct rs_blocktime **blocktime)
{
	struct rs_blocktime *made = calloc(1, sizeof(*made));

	if (made == NULL)
		return -ENOMEM;
	pthread_mutex_init(&made->lock, NULL);
	*blocktime = made;
	return 0;
}

void rs_blocktime_destroy(struct rs_blocktime *blocktime)
{
	if (blocktime == NULL)
		return;
	pthread_mutex_destroy(&blocktime->lock);
	free(blocktime);
}

/* ---- vCPUs ----------------------------------------------------------------------------------- */

/* Times are taken by several threads, so one may be a little behind another. */
static uint64_t elapsed(uint64_t since_ns, uint64_t now_ns)
{
	return now_ns > since_ns ? now_ns - since_ns : 0;
}

/* After any change of who is registered or blocked. */
static void judge_all_locked(struct rs_blocktime *blocktime, uint64_t now_ns)
{
	bool all = blocktime->registered > 0 && blocktime->blocked == blocktime->registered;

	if (all == blocktime->all_blocked)
		return;
	blocktime->all_blocked = all;
	if (all)
		blocktime->all_since_ns = now_ns;
	else
		blocktime->ended.all_blocked_ns += elapsed(blocktime->all_since_ns, now_ns);
}

static void block_locked(struct rs_blocktime *blocktime, unsigned vcpu, uint64_t now_ns)
{
	struct vcpu *at = &blocktime->vcpus[vcpu];

	if (at->blocked)
		return;
	at->blocked = true;
	at->blocked_since_ns = now_ns;
	blocktime->blocked++;
}

static void unblock_locked(struct rs_blocktime *blocktime, unsigned vcpu, uint64_t now_ns)
{
	struct vcpu *at = &blocktime->vcpus[vcpu];

	if (!at->blocked)
		return;
	at->blocked = false;
	at->blocked_ns += elapsed(at->blocked_since_ns, now_ns);
	blocktime->blocked--;
}

static unsigned find_vcpu_locked(const struct rs_blocktime *blocktime, pid_t thread_id)
{
	if (thread_id != 0)
		for (unsigned i = 0; i < blocktime->vcpu_limit; i++)
			if (blocktime->vcpus[i].thread_id == thread_id)
				return i;
	return NO_VCPU;
}

int rs_blocktime_register(struct rs_blocktime *blocktime, unsigned vcpu, pid_t thread_id)
{
	uint64_t now_ns = rs_clock_ns();

	if (vcpu >= RS_BLOCKTIME_MAX_VCPUS)
		return -EINVAL;
	pthread_mutex_lock(&blocktime->lock);
	struct vcpu *at = &blocktime->vcpus[vcpu];

	/* What its old thread waits for is no vCPU's wait any more. */
	unblock_locked(blocktime, vcpu, now_ns);
	for (unsigned i = 0; i < blocktime->waiting; i++)
		if (blocktime->waits[i].vcpu == vcpu)
			blocktime->waits[i].vcpu = NO_VCPU;
	blocktime->registered += (thread_id != 0) - (unsigned)(at->thread_id != 0);
	*at = (struct vcpu){ .thread_id = thread_id };
	if (thread_id != 0 && vcpu >= blocktime->vcpu_limit)
		blocktime->vcpu_limit = vcpu + 1;
	judge_all_locked(blocktime, now_ns);
	pthread_mutex_unlock(&blocktime->lock);
	return 0;
}

void rs_blocktime_reset(struct rs_blocktime *blocktime)
{
	pthread_mutex_lock(&blocktime->lock);
	blocktime->waiting = 0;
	blocktime->blocked = 0;
	blocktime->all_blocked = false;
	blocktime->ended = (struct rs_blocktime_summary){ .faults = 0 };
	for (unsigned i = 0; i < blocktime->vcpu_limit; i++)
		blocktime->vcpus[i] = (struct vcpu){ .thread_id = blocktime->vcpus[i].thread_id };
	pthread_mutex_unlock(&blocktime->lock);
}

/* ---- waits ----------------------------------------------------------------------------------- */

static unsigned latency_bucket(uint64_t latency_ns)
{
	uint64_t us = latency_ns / 1000;
	unsigned bucket = us < 2 ? 0 : 63 - (unsigned)__builtin_clzll(us);

	return bucket < RS_LATENCY_BUCKETS ? bucket : RS_LATENCY_BUCKETS - 1;
}

/* The last one takes its place. */
static void end_wait_locked(struct rs_blocktime *blocktime, unsigned index, uint64_t now_ns)
{
	const struct wait *wait = &blocktime->waits[index];
	struct rs_blocktime_summary *ended = &blocktime->ended;
	uint64_t latency_ns = elapsed(wait->since_ns, now_ns);

	ended->faults++;
	ended->latency_ns += latency_ns;
	ended->latency_max_ns = rs_max_u64(ended->latency_max_ns, latency_ns);
	ended->latency[latency_bucket(latency_ns)]++;
	if (wait->vcpu != NO_VCPU)
		unblock_locked(blocktime, wait->vcpu, now_ns);
	unsigned last = --blocktime->waiting;

	blocktime->waits[index] = blocktime->waits[last];
}

/*
 * A thread waits for one page at a time. One that is said to wait for another page found what it waited for; for the
 * same page again: it was disturbed, by a signal say, and has waited all along.
 */
static bool is_new_locked(struct rs_blocktime *blocktime, pid_t thread_id, uintptr_t address,
			  uint64_t now_ns)
{
	for (unsigned i = 0; i < blocktime->waiting; i++) {
		const struct wait *wait = &blocktime->waits[i];

		if (wait->thread_id != thread_id)
			continue;
		if (wait->address == address)
			return false;
		if (thread_id == 0)
			continue;
		end_wait_locked(blocktime, i, now_ns);
		return true;
	}
	return true;
}

void rs_blocktime_begin(struct rs_blocktime *blocktime, pid_t thread_id, uintptr_t address,
			uint64_t now_ns)
{
	pthread_mutex_lock(&blocktime->lock);
	if (is_new_locked(blocktime, thread_id, address, now_ns) &&
	    blocktime->waiting < MAX_WAITS) {
		unsigned vcpu = find_vcpu_locked(blocktime, thread_id);

		blocktime->waits[blocktime->waiting] = (struct wait){
			.thread_id = thread_id,
			.vcpu = vcpu,
			.address = address,
			.since_ns = now_ns,
		};
		blocktime->waiting++;
		if (vcpu != NO_VCPU)
			block_locked(blocktime, vcpu, now_ns);
	}
	judge_all_locked(blocktime, now_ns);
	pthread_mutex_unlock(&blocktime->lock);
}

void rs_blocktime_end(struct rs_blocktime *blocktime, uintptr_t start, uintptr_t end,
		      uint64_t now_ns)
{
	/* Who places a page calls it received before this, and who begins a wait looks at that after it: so one
	 * of them sees the other (faults.c has the fences). */
	if (atomic_load_explicit(&blocktime->waiting, memory_order_seq_cst) == 0)
		return;
	pthread_mutex_lock(&blocktime->lock);
	for (unsigned i = 0; i < blocktime->waiting;) {
		uintptr_t address = blocktime->waits[i].address;

		if (address >= start && address < end)
			end_wait_locked(blocktime, i, now_ns);
		else
			i++;
	}
	judge_all_locked(blocktime, now_ns);
	pthread_mutex_unlock(&blocktime->lock);
}

/* ---- results --------------------------------------------------------------------------------- */

void rs_blocktime_read(struct rs_blocktime *blocktime, struct rs_blocktime_summary *summary)
{
	pthread_mutex_lock(&blocktime->lock);
	*summary = blocktime->ended;
	if (blocktime->all_blocked)
		summary->all_blocked_ns += elapsed(blocktime->all_since_ns, rs_clock_ns());
	pthread_mutex_unlock(&blocktime->lock);
}

uint64_t rs_blocktime_of_vcpu(struct rs_blocktime *blocktime, unsigned vcpu)
{
	uint64_t blocked_ns = 0;

	if (vcpu >= RS_BLOCKTIME_MAX_VCPUS)
		return 0;
	pthread_mutex_lock(&blocktime->lock);
	const struct vcpu *at = &blocktime->vcpus[vcpu];

	blocked_ns = at->blocked_ns;
	if (at->blocked)
		blocked_ns += elapsed(at->blocked_since_ns, rs_clock_ns());
	pthread_mutex_unlock(&blocktime->lock);
	return blocked_ns;
}
