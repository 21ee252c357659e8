/* SPDX-License-Identifier: MIT */
/*
 * The destination in postcopy: records become host pages, which are placed whole. Pages that came already
 * are read and forgotten. Two threads may load at once: one from the main stream, with rs_ram_load(), and
 * one what was asked for, from a stream of its own.
 */
#ifndef RS_LOAD_POSTCOPY_LOAD_H
#define RS_LOAD_POSTCOPY_LOAD_H

#include "load/load.h"
#include "load/postcopy_placer.h"
#include "wire/postcopy.h"

struct rs_postcopy_load {
	struct rs_faults *faults; /* immutable. NULL: a recording; then there is nothing else */
	pthread_mutex_t lock;     /* of the placers, for what they have in hand */
	struct rs_placer main;    /* with the load's reader */
	struct rs_placer urgent;
	struct rs_page_reader urgent_reader;
	struct rs_error urgent_error;
};

/* ---- what the driver calls ------------------------------------------------------------------ */

/* Before pages come: whether the regions can do it, by what the source says of its page sizes; then they are
 * emptied. Both is done when they are listed. The session's error. */
int rs_ram_load_advise(struct rs_state *state, const struct rs_postcopy_advice *advice);

/* A discard of the source's, checked. The session's error. */
int rs_ram_load_discard(struct rs_state *state, const struct rs_discard *discard);

/*
 * From now on rs_ram_load() places pages through faults, and XBZRLE and lists of regions are errors. NULL: the
 * guest does not run before all is there (a recorded stream): pages are placed as in precopy, each once. faults
 * must stay as long as pages are loaded. The session's error.
 */
int rs_ram_load_begin_postcopy(struct rs_state *state, struct rs_faults *faults);

/* After a break, when both threads are back: nothing is known of the region of the last record, and what was half there is forgotten. */
void rs_ram_load_resume(struct rs_state *state);

/*
 * Load the records of the urgent stream up to its end (or an EOS record) in the thread that calls. 0 at its
 * end between two host pages; a negative errno with a text: the session does not fail by it, and what was half
 * there is forgotten.
 */
int rs_ram_load_urgent(struct rs_state *state, struct rs_stream *stream, struct rs_error *error);

/* Whether no host page is only in part here. Any thread. */
bool rs_ram_load_is_between_pages(const struct rs_state *state);

/* ---- what the rest of the load calls -------------------------------------------------------- */

/* A region was listed for the first time, after rs_ram_load_advise(). The session's error. */
int rs_load_empty_region(struct rs_load *load, struct rs_region *region);

/* All were. The session's error. */
int rs_load_check_host_pages(struct rs_load *load);

/* Whether such a record may come in postcopy: 0 or the reader's failure. */
int rs_load_check_postcopy(struct rs_page_reader *reader, const struct rs_record *record);

/* Harmless if it did not begin. */
void rs_load_end_postcopy(struct rs_load *load);

#endif
