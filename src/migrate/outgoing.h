/* SPDX-License-Identifier: MIT */
/* An outgoing migration as its parts share it: precopy and the end (outgoing.c), postcopy (postcopy_out.c). All
 * of it belongs to the migration thread. */
#ifndef RS_MIGRATE_OUTGOING_H
#define RS_MIGRATE_OUTGOING_H

#include "migrate/outer_io.h"
#include "save/convergence.h"

struct rs_return_path;

struct rs_outgoing {
	struct rs_migration *migration;
	struct rs_state *state;
	struct rs_stream *stream; /* NULL: the connection broke, and no other came */
	struct rs_section ram;
	struct rs_window window;
	struct rs_return_path *return_path; /* NULL: answers are read where they are due */
	bool went_by_postcopy;              /* the guest is the destination's, whatever comes */
	uint64_t start_bytes;               /* that others had put into the stream */
	uint64_t broken_bytes;              /* put over connections that have broken */
	uint64_t left_at_sync;
	uint64_t patience_ends_ns; /* 0: the rest did not fit the downtime limit yet */
};

/* One body of RAM with its frame. What the handler returned. */
int rs_outgoing_put_body(struct rs_outgoing *out, enum rs_outer_record record,
			 int (*handler)(struct rs_state *state, struct rs_stream *stream));

/* Bytes of the migration so far. */
uint64_t rs_outgoing_wire_bytes(const struct rs_outgoing *out);

/* Look at the bandwidth of the last window, if one has passed. */
void rs_outgoing_look_at_window(struct rs_outgoing *out);

/* Stop the guest: the downtime begins. 0 or the session's error. */
int rs_outgoing_stop_vm(struct rs_outgoing *out);

/* Have the destination say that it has loaded all that was sent (PING, PONG). 0 or the session's error. */
int rs_outgoing_let_arrive(struct rs_outgoing *out);

#endif
