/* SPDX-License-Identifier: MIT */
/* What was asked for comes over a connection of its own, with postcopy-preempt, to a thread of its own; all of it is
 * the page thread's. */
#ifndef RS_MIGRATE_POSTCOPY_URGENT_H
#define RS_MIGRATE_POSTCOPY_URGENT_H

#include "migrate/postcopy_pages.h"

/* Open the channel of the present connection, if there is to be one, and read it. 0 or the session's error. */
int rs_postcopy_urgent_open(struct rs_postcopy_in *postcopy);

/* Hang it up, and wait for the thread. */
void rs_postcopy_urgent_close(struct rs_postcopy_in *postcopy);

/* The last pages that were asked for may still be under way when the stream has ended: wait for them, or a
 * failure: nothing comes for as long as the stall time-out. 0 or the session's error. */
int rs_postcopy_urgent_await(struct rs_postcopy_in *postcopy);

#endif
