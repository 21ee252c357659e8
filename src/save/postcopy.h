/* SPDX-License-Identifier: MIT */
/* Inside postcopy at the source: what is sent next. See postcopy_save.h. */
#ifndef RS_SAVE_POSTCOPY_H
#define RS_SAVE_POSTCOPY_H

#include "postcopy/request_queue.h"
#include "save/urgent.h"
#include "save/waker.h"

struct rs_save;

struct rs_postcopy {
	/* atomic: set by the thread that saves when it begins, and never cleared */
	_Atomic bool on;

	/* with locks of their own */
	struct rs_request_queue queue;
	struct rs_waker waker;
	struct rs_urgent urgent;

	/* guarded by lock: where the background is to go on; the region is NULL if anywhere */
	pthread_mutex_t lock;
	struct rs_region *next_region;
	uint64_t next_page;

	/* the thread that hears requests: the region of the last one, or NULL */
	struct rs_region *named;

	/* the thread that saves */
	struct rs_bitmap told;      /* discards; each region begins with a new word */
	struct rs_page_run serving; /* what is left of a request; its count may be 0 */
};

void rs_postcopy_init(struct rs_postcopy *postcopy);
/* No request may come any more. Also for one that was not initialized. */
void rs_postcopy_fini(struct rs_postcopy *postcopy);

/* A new connection, and a new count of what is left. No request may come meanwhile. */
void rs_postcopy_restart(struct rs_save *save);

/* The background goes on there, unless it has to go elsewhere already. */
void rs_postcopy_go_on_at(struct rs_postcopy *postcopy, struct rs_region *region, uint64_t page);

/* Whether something was asked for that the thread that saves has to send. */
bool rs_postcopy_is_asked(struct rs_postcopy *postcopy);

/*
 * Write what was asked for, and nothing else (serve); or the background too, until the body's limits are
 * reached. 1: no page is left. 0: some are. The session's error.
 */
int rs_postcopy_serve(struct rs_save *save);
int rs_postcopy_send(struct rs_save *save);

/* The same, until nothing is left, nor under way on the urgent stream. */
int rs_postcopy_send_all(struct rs_save *save);

#endif
