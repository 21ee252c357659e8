/* SPDX-License-Identifier: MIT */
/*
 * The other end of a postcopy, played by a piece of memory, over as many connections as it has words for. Two
 * threads may talk to it. What it says comes in pieces, and a thread other than the migrating one gets a piece not
 * before this end has said what the piece answers: a peer that knows the answers before the questions
 * tests nothing. It waits for a moment only, as the question may never come.
 *
 * A piece: a byte of enum gated_mark and the flags below, u16 length, the bytes.
 */
#ifndef RS_TESTS_GATED_PEER_H
#define RS_TESTS_GATED_PEER_H

#include <ramsync/stream.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define GATED_NEW 0x80     /* the connection ends here, and the next one begins */
#define GATED_CHANNEL 0x40 /* on the channel for preempt */
#define GATED_MARK 0x0f

/* What this end has said on the present connection. */
enum gated_mark {
	GATED_NOTHING,
	GATED_CHECK,
	GATED_PACKAGE, /* the PING behind it */
	GATED_COMMIT,
	GATED_END, /* of RAM, and of the stream */
	GATED_ASK_BITMAP,
	GATED_RESUME,
	GATED_READY,
	GATED_RUNNING,
	GATED_BITMAP,
	GATED_ACK,
	GATED_REQUEST,
	GATED_NEVER, /* the peer is silent until it is hung up on */
};

#define GATED_PIECES 24
#define GATED_CONNECTIONS 4
#define GATED_SESSION_BYTES 16
/* The first message may have these bytes for the session id that was offered: nobody could guess it. */
#define GATED_SESSION_MARK "0123456789abcdef"

struct gated_end {
	struct gated_peer *peer;
	int connection;
	bool channel;
	int piece; /* being read */
	size_t at; /* in it */
	bool opened;
	bool shut; /* guarded by the peer's lock */
};

struct gated_piece {
	uint8_t *data;
	size_t bytes;
	int connection;
	bool channel;
	enum gated_mark gate;
};

struct gated_peer {
	/* immutable */
	struct gated_piece pieces[GATED_PIECES];
	int piece_count;
	int connection_count;
	pthread_t migrating;
	uint8_t *input;

	struct gated_end ends[GATED_CONNECTIONS][2];
	int connection; /* the present one, from 0; -1: none yet */

	pthread_mutex_t lock;
	pthread_cond_t news;
	/* guarded by lock */
	unsigned said; /* 1 << enum gated_mark, ORed, on this connection */
	unsigned ever; /* on any */
	uint8_t head[256];
	size_t head_bytes;
	bool has_session; /* its bytes were put in place of the mark */
};

/* The thread that calls is the migrating one. */
void gated_peer_init(struct gated_peer *peer, const uint8_t *input, size_t bytes);
void gated_peer_fini(struct gated_peer *peer);

/* The next connection; NULL if there is none. To be closed before gated_peer_fini(). */
struct rs_stream *gated_peer_connect(struct gated_peer *peer, unsigned flags);

/* The channel for preempt of the present connection; NULL if it is open. */
struct rs_stream *gated_peer_open_channel(struct gated_peer *peer);

/* Whether this end has ever said that. */
bool gated_peer_was_told(struct gated_peer *peer, enum gated_mark mark);

/* Whether such bytes are anywhere in what the peer says. */
bool gated_peer_has(const struct gated_peer *peer, const void *bytes, size_t count);

#endif
