/* SPDX-License-Identifier: MIT */
/* The source's side of the "ram" section: what the public handlers and the driver both call. */
#ifndef RS_SAVE_SAVE_H
#define RS_SAVE_SAVE_H

#include "ram/page_cursor.h"
#include "ram/population.h"
#include "save/compressor.h"
#include "save/convergence.h"
#include "save/deltas.h"
#include "save/postcopy.h"
#include "save/record_writer.h"

#include <ramsync/handlers.h>

/* All of it but what postcopy says belongs to the thread that saves. */
struct rs_save {
	struct rs_state *state;
	struct rs_page_cursor cursor;
	struct rs_record_writer writer;
	struct rs_population_slot population;
	struct rs_deltas deltas;
	struct rs_compressor compressor;
	struct rs_period period;
	struct rs_postcopy postcopy;
	/* of the body that is being written */
	bool limited;
	uint64_t body_start_ns;
};

/*
 * As the public handlers of the same name, without checks of the phase, in a session that is open
 * and attached. runs: native mode's records may be used. All but the clean-up return the session's
 * error, which they have set.
 */
int rs_ram_save_setup(struct rs_state *state, struct rs_stream *stream, bool runs);
int rs_ram_save_pending(struct rs_state *state, enum rs_pending how, uint64_t *bytes);
int rs_ram_save_iterate(struct rs_state *state, struct rs_stream *stream);
int rs_ram_save_throttle(struct rs_state *state, struct rs_stream *stream);
int rs_ram_save_complete(struct rs_state *state, struct rs_stream *stream);
/* Whether there may be pages that were never sent. */
bool rs_ram_save_in_first_pass(const struct rs_state *state);
/* max-bandwidth or max-postcopy-bandwidth has changed: the stream that is attached follows it, if it is limited now. */
void rs_ram_save_apply_limit_locked(struct rs_state *state);
/* Sync the logs, and keep count of how fast pages get dirty. The session's error. */
int rs_ram_save_sync(struct rs_save *save);
void rs_ram_save_cleanup(struct rs_state *state);

#endif
