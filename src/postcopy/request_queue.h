/* SPDX-License-Identifier: MIT */
/*
 * The pages that the destination waits for, in the order in which it asked. One thread puts, one takes.
 *
 * It takes no more memory however many requests come: what finds the queue full is noted in a bitmap of
 * all regions' pages, and so is what comes after it, until all of that is taken. Of that the order is
 * lost, but each page is reached in one sweep over the bitmap. An honest destination, which has a request
 * or a few for each vCPU, does not get there.
 */
#ifndef RS_POSTCOPY_REQUEST_QUEUE_H
#define RS_POSTCOPY_REQUEST_QUEUE_H

#include "ram/page_cursor.h"

#define RS_REQUEST_QUEUE_LENGTH 1024u

struct rs_request_queue {
	struct rs_state *state; /* immutable */

	pthread_mutex_t lock;
	/* guarded by lock */
	struct rs_page_run ring[RS_REQUEST_QUEUE_LENGTH];
	uint64_t head; /* counts what was taken, tail what was put: ever */
	uint64_t tail;
	struct rs_bitmap noted; /* by address in all RAM (ram_address) */
	uint64_t noted_pages;   /* its set bits */

	/* the thread that takes: where the sweep goes on */
	uint64_t sweep;
};

/* For regions that stay while the queue is used. 0 or -ENOMEM. */
int rs_request_queue_init(struct rs_request_queue *queue, struct rs_state *state);
/* Also for a queue that is all zero. */
void rs_request_queue_fini(struct rs_request_queue *queue);

/* Pages of a region, whole units, some of which may have been sent. Those are left out, or found out when
 * they are taken. */
void rs_request_queue_put(struct rs_request_queue *queue, const struct rs_page_run *run);

/* The next pages. False if there are none. The region is not pinned. */
bool rs_request_queue_take(struct rs_request_queue *queue, struct rs_page_run *run);

bool rs_request_queue_is_empty(struct rs_request_queue *queue);

/* Forget all. Not while another thread uses it. */
void rs_request_queue_clear(struct rs_request_queue *queue);

#endif
