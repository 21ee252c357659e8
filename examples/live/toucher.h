/* SPDX-License-Identifier: MIT */
/* Stands in for a guest that nobody can run here: reads its memory at random while it arrives by postcopy. */
#ifndef EXAMPLES_TOUCHER_H
#define EXAMPLES_TOUCHER_H

#include "guest/memory.h"

#include <pthread.h>
#include <stdatomic.h>

struct toucher {
	const struct memory *memory;
	struct rs_state *state;
	uint64_t rate; /* pages a second */
	bool started;
	pthread_t thread;
	_Atomic bool over;
};

/* Begin, as vCPU 0 of @state. Nothing happens at a rate of 0. Blocks must not be added any more. */
int toucher_start(struct toucher *toucher, const struct memory *memory, struct rs_state *state,
		  uint64_t rate);

/* Nobody waits for a page any more. Again is allowed. */
void toucher_stop(struct toucher *toucher);

#endif
