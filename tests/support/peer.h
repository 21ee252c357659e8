/* SPDX-License-Identifier: MIT */
/* The other end of a stream, played by a piece of memory: what is read comes from there,
 * what is written is looked at and forgotten. */
#ifndef RS_TESTS_PEER_H
#define RS_TESTS_PEER_H

#include <ramsync/stream.h>

#define PEER_SESSION_BYTES 16

/* Where that memory has these bytes, the session id that the other end has offered is read:
 * nobody could guess it. */
#define PEER_SESSION_MARK "0123456789abcdef"

struct peer {
	uint8_t *input; /* a copy */
	size_t bytes;
	size_t at;
	size_t max_read; /* most bytes that one read gives; 0 for any */
	size_t written;
	uint8_t head[256]; /* the first bytes written */
	uint8_t tail[8];   /* the last ones */
	uint8_t session[PEER_SESSION_BYTES];
	int has_session;
};

void peer_init(struct peer *peer, const uint8_t *input, size_t bytes, size_t max_read);
void peer_fini(struct peer *peer);

/* A stream to it, to be closed before peer_fini(). Later ones go on where at stands. */
struct rs_stream *peer_connect(struct peer *peer, unsigned flags);

#endif
