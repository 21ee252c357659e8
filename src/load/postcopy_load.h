/* SPDX-License-Identifier: MIT */
/*
 * The destination in postcopy: records become host pages, which are placed whole. Pages that came already
 * are read and forgotten. Two threads may load at once: one from the main stream, with rs_ram_load(), and
 * one what was asked for, from a stream of its own.
 */
#ifndef RS_LOAD_POSTCOPY_LOAD_H
#define RS_LOAD_POSTCOPY_LOAD_H

#include "load/load.h"
#include "postcopy/faults.h"
#include "wire/postcopy.h"

/* Before pages come: whether the regions can do it, by what the source says of its page sizes; then they are
 * emptied. The session's error. */
int rs_ram_load_advise(struct rs_state *state, const struct rs_postcopy_advice *advice);

/* A discard of the source's, checked. The session's error. */
int rs_ram_load_discard(struct rs_state *state, const struct rs_discard *discard);

/*
 * From now on rs_ram_load() places pages through faults, and XBZRLE and lists of regions are errors. NULL: the
 * guest does not run before all is there (a recorded stream): pages are placed as in precopy.
 */
int rs_ram_load_begin_postcopy(struct rs_state *state, struct rs_faults *faults);

/* After a break: nothing is known of the region of the last record, and what was half there is forgotten. */
void rs_ram_load_resume(struct rs_state *state);

/*
 * Load the records of the urgent stream up to its end (or an EOS record) in the thread that calls. 0 at its
 * end between two records; a negative errno with a text: the session does not fail by it.
 */
int rs_ram_load_urgent(struct rs_state *state, struct rs_stream *stream, struct rs_error *error);

/* Whether a host page is only in part here. */
bool rs_ram_load_is_between_pages(const struct rs_state *state);

#endif
