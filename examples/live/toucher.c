/* SPDX-License-Identifier: MIT */
#include "live/toucher.h"
#include "guest/mix64.h"

#include <time.h>
#include <unistd.h>

#define NSEC_PER_SEC 1000000000ull
#define PAGE_BYTES 4096u

/* Every page of every block is as likely as any other. */
static void touch(const struct memory *memory, uint64_t number)
{
	uint64_t offset = number % (memory->bytes / PAGE_BYTES) * PAGE_BYTES;
	unsigned i = 0;

	while (offset >= memory->block[i].bytes)
		offset -= memory->block[i++].bytes;
	(void)*(const volatile uint8_t *)(memory->block[i].host + offset);
}

static void *toucher_thread(void *opaque)
{
	struct toucher *toucher = opaque;
	const uint64_t pause_ns = NSEC_PER_SEC / toucher->rate;
	const struct timespec pause = { (time_t)(pause_ns / NSEC_PER_SEC),
					(long)(pause_ns % NSEC_PER_SEC) };

	rs_postcopy_register_vcpu(toucher->state, 0, gettid());
	for (uint64_t i = 1; !atomic_load(&toucher->over); i++) {
		touch(toucher->memory, mix64(i));
		nanosleep(&pause, NULL);
	}
	rs_postcopy_register_vcpu(toucher->state, 0, 0);
	return NULL;
}

int toucher_start(struct toucher *toucher, const struct memory *memory, struct rs_state *state,
		  uint64_t rate)
{
	int err;

	*toucher = (struct toucher){ .memory = memory, .state = state, .rate = rate };
	if (!rate || memory->bytes < PAGE_BYTES)
		return 0;
	err = pthread_create(&toucher->thread, NULL, toucher_thread, toucher);
	toucher->started = !err;
	return -err;
}

void toucher_stop(struct toucher *toucher)
{
	if (!toucher->started)
		return;
	atomic_store(&toucher->over, true);
	pthread_join(toucher->thread, NULL);
	toucher->started = false;
}
