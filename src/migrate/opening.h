/* SPDX-License-Identifier: MIT */
/*
 * What a migration runs over: a stream that is there, or one that is opened when it begins; and with
 * postcopy-preempt a second one to the same peer, its channel.
 */
#ifndef RS_MIGRATE_OPENING_H
#define RS_MIGRATE_OPENING_H

#include "ram/state.h"

struct rs_opening {
	struct rs_stream *stream;
	const char *address;          /* to be connected to; somebody else's */
	struct rs_listener *listener; /* to be accepted from */
	unsigned timeout_ms;
	bool owns_stream;          /* else it is the embedder's */
	bool needs_channel;        /* the listener is needed until there is one */
	struct rs_stream *channel; /* ours, or NULL */
};

/* Does the library open the stream, and close it again? */
bool rs_opening_is_ours(const struct rs_opening *opening);

/* Open one that is ours. 0 or the session's error: the session's failure ends the wait. */
int rs_opening_open(struct rs_opening *opening, struct rs_state *state);

struct rs_migration;

/*
 * Open the channel: as the stream was opened, or by the VMM. The session must be attached; its failure ends
 * the wait. 0 or the session's error.
 */
int rs_opening_open_channel(struct rs_opening *opening, struct rs_migration *migration);

/* Close all that is ours. As rs_stream_close(). */
int rs_opening_close(struct rs_opening *opening, struct rs_error *error);

#endif
