/* SPDX-License-Identifier: MIT */
/*
 * Pages that are asked for, on a connection of their own: the thread that hears a request sends them
 * there at once, beside the one that saves.
 */
#ifndef RS_SAVE_URGENT_H
#define RS_SAVE_URGENT_H

#include "save/whole_pages.h"

struct rs_urgent {
	/* the thread that hears requests; set while there are none */
	struct rs_record_writer writer;
	struct rs_population_slot population;
	/* What it counts; each counter of the state has one writer, the thread that saves. */
	struct rs_counters counters;

	/* atomic */
	_Atomic bool on;   /* there is a stream */
	_Atomic bool busy; /* pages were taken, or will be, and are not in the stream yet */

	/* the thread that saves: which of the counts it has */
	struct rs_counters known;
};

/* stream: NULL for none. Not while requests come. */
void rs_urgent_set_stream(struct rs_urgent *urgent, struct rs_state *state,
			  struct rs_stream *stream, bool runs);

/* Send what is left of those pages of a pinned region. *sent receives how many that were. The stream's
 * error. */
int rs_urgent_send(struct rs_urgent *urgent, const struct rs_page_run *run, uint64_t *sent,
		   struct rs_error *error);

/* The thread that saves: add what was counted to the state's counters. */
void rs_urgent_fold(struct rs_urgent *urgent, struct rs_counters *counters);

#endif
