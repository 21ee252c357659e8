/* SPDX-License-Identifier: MIT */
/* What a started migration runs over: a stream that is there, or one that is opened when it begins. */
#ifndef RS_API_OPENING_H
#define RS_API_OPENING_H

#include "ram/state.h"

struct rs_opening {
	struct rs_stream *stream;     /* the embedder's, if neither of the next two is set */
	const char *address;          /* to be connected to; somebody else's */
	struct rs_listener *listener; /* to be accepted from */
	unsigned timeout_ms;
};

/* Does the library open the stream, and close it again? */
bool rs_opening_is_ours(const struct rs_opening *opening);

/* Open one that is ours. 0 or the session's error: the session's failure ends the wait. */
int rs_opening_open(struct rs_opening *opening, struct rs_state *state);

/* Close all that is ours. As rs_stream_close(). */
int rs_opening_close(struct rs_opening *opening, struct rs_error *error);

#endif
