/* SPDX-License-Identifier: MIT */
/*
 * One end of a migration whose other end is the test itself, which says what it likes. The region
 * is "r": a zero page, then one full of 0x55 at the source. The migration runs in a thread of the
 * library's.
 */
#ifndef RS_TESTS_SCRIPTED_PEER_H
#define RS_TESTS_SCRIPTED_PEER_H

#include "support/assemble.h"
#include "support/journal_vm.h"

#define PEER_PAGES 2u

/* What a native source writes for that, as assemble() takes it: header without the session... */
#define PEER_HEADER "t:QEVM 32:3 8:7 32:7 t:ramsync "
#define PEER_OFFER "8:8 16:5253 "
#define PEER_SETUP "8:1 32:2 s:ram 32:0 32:4 64:2004 s:r 64:2000 64:10 8:7e 32:2 "
#define PEER_PART "8:2 32:2 64:2 s:r 8:0 64:1028 p:55 64:10 8:7e 32:2 "
#define PEER_END "8:3 32:2 64:10 8:7e 32:2 "
#define PEER_PING "8:8 16:2 16:4 32:0 "
#define PEER_CHECK "8:8 16:5254 16:0 "
#define PEER_COMMIT "8:8 16:5255 16:0 "
/* ... and the answers. */
#define PEER_PONG "16:2 16:4 32:0 "
#define PEER_READY "16:5254 16:0 "
#define PEER_RUNNING "16:5255 16:0 "
#define PEER_FAILED "16:5256 16:4 t:full "

struct scripted_peer {
	struct rs_state *state;
	struct rs_stream *stream; /* the migration's */
	struct rs_stream *peer;   /* ours */
	struct rs_region *region;
	uint8_t *memory;
	struct journal_vm vm;
	uint8_t session[16];
};

void scripted_peer_open(struct scripted_peer *peer);
void scripted_peer_close(struct scripted_peer *peer);

/* A new connection in place of the last. */
void scripted_peer_connect(struct scripted_peer *peer);
/* Close our end: the migration sees the end of its input. */
void scripted_peer_hang_up(struct scripted_peer *peer);

void scripted_peer_start_out(struct scripted_peer *peer);
void scripted_peer_start_in(struct scripted_peer *peer);

/* Write; read exactly that and assert it. */
void scripted_peer_say(struct scripted_peer *peer, const char *text);
void scripted_peer_expect(struct scripted_peer *peer, const char *text);

/* Feature lists, behind their command or message: take one with all features (compress, postcopy and preempt if
 * the parameter is on), keeping its session; write one with the named ones of "slrhcpe" (session,
 * device-lengths, runs, handover, compress, postcopy, preempt). */
void scripted_peer_expect_features(struct scripted_peer *peer);
void scripted_peer_say_features(struct scripted_peer *peer, const char *which);

#endif
