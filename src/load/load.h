/* SPDX-License-Identifier: MIT */
/* The destination's side of the "ram" section: what the public handlers and the driver both call.
 */
#ifndef RS_LOAD_LOAD_H
#define RS_LOAD_LOAD_H

#include "codec/xbzrle.h"
#include "load/page_reader.h"
#include "ram/population.h"

#include <ramsync/handlers.h>

#define RS_ZERO_WINDOW_HOLES 256u

/* The holes of a stretch of a region: asked for once, then used for each zero page in it. The
 * answer does not age: only the loader writes, and it knows where. */
struct rs_zero_window {
	const struct rs_region *region;
	uint64_t first; /* pages */
	uint64_t end;
	size_t count;
	struct rs_extent holes[RS_ZERO_WINDOW_HOLES];
};

struct rs_faults;
struct rs_postcopy_load;

/* All of it belongs to the thread that loads; in postcopy another one reads what is immutable. */
struct rs_load {
	struct rs_state *state;
	struct rs_load_ops ops;
	void *opaque;
	struct rs_record_rules rules;
	struct rs_page_reader reader;
	bool lax;           /* take what may be damage, but QEMU takes */
	bool listed;        /* a list of regions has come */
	uint64_t record_at; /* offset in the stream of the record, or entry, that is being read */

	bool advised; /* postcopy is to come */
	uint64_t host_page_sizes;
	struct rs_postcopy_load *postcopy; /* NULL before it begins */
	struct rs_faults *faults;          /* of the public handlers, which destroy it */

	struct rs_population_slot population;
	struct rs_zero_window window;
	struct rs_decompressor decompressor;
	uint8_t delta[RS_XBZRLE_MAX_PAGE_BYTES]; /* the one that is being applied */
};

/* As the public handlers of the same name, without checks of the phase, in a session that is open
 * and attached. They return the session's error, which they have set. */
int rs_ram_load_setup(struct rs_state *state, const struct rs_load_ops *ops, void *opaque);
/* Native mode: records of runs were agreed on. */
void rs_ram_load_allow_runs(struct rs_state *state);
int rs_ram_load(struct rs_state *state, struct rs_stream *stream, uint32_t version);
void rs_ram_load_cleanup(struct rs_state *state);

/* When all bodies have come: fail if a page of a listed region did not, or if lax, just warn. A
 * stream whose pages travel elsewhere looks whole otherwise. The session's error. */
int rs_ram_load_check_received(struct rs_state *state, bool lax);

#endif
