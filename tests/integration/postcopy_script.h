/* SPDX-License-Identifier: MIT */
/*
 * One end of a postcopy migration whose other end is the test: how far it gets, and what it says when it pauses.
 * The region is a scripted peer's. Native or in QEMU's form. For cmocka tests.
 */
#ifndef RS_TESTS_POSTCOPY_SCRIPT_H
#define RS_TESTS_POSTCOPY_SCRIPT_H

#include "support/scripted_peer.h"

#include <pthread.h>

/* Commands, and what a source writes besides. */
#define PS_PING(n) "8:8 16:2 16:4 32:" #n " "
#define PS_ADVISE "8:8 16:3 16:10 64:1000 64:1000 "
#define PS_LIST "8:1 32:2 s:ram 32:0 32:4 64:2004 s:r 64:2000 64:10 8:7e 32:2 "
#define PS_LISTEN "8:8 16:4 16:0 "
#define PS_RUN "8:8 16:5 16:0 "
#define PS_PACKAGED "8:8 16:7 16:4 "
#define PS_ASK_BITMAP "8:8 16:a 16:2 s:r "
#define PS_RESUME "8:8 16:9 16:0 "
#define PS_PAGE_0 "8:2 32:2 64:2 s:r 8:0 64:10 8:7e 32:2 "
#define PS_PAGE_1 "8:2 32:2 64:1008 s:r p:55 64:10 8:7e 32:2 "
#define PS_END "8:3 32:2 64:10 8:7e 32:2 8:0 "
/* Return messages. */
#define PS_PONG(n) "16:2 16:4 32:" #n " "
#define PS_BITMAP(bits) "16:5 16:2 s:r 64:8 8:" #bits " z:7 64:123456789abcdef "
#define PS_ACK "16:6 16:4 32:1 "
#define PS_SHUT(n) "16:1 16:4 32:" #n " "

struct postcopy_script {
	struct scripted_peer peer;
	bool native;
	bool source;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* guarded by lock */
	bool moved;
	unsigned pauses;
	char why[RS_ERROR_TEXT_BYTES]; /* of the last one */
};

void postcopy_script_open(struct postcopy_script *script, bool native, bool source);
void postcopy_script_close(struct postcopy_script *script);

/* Read until that comes. */
void postcopy_script_await(struct postcopy_script *script, const char *text);
void postcopy_script_say(struct postcopy_script *script, const char *text);

/* Whether the next bytes that come are these, before the stream ends. */
bool postcopy_script_hears(struct postcopy_script *script, const char *text);

/* Up to the point that the name says; the other side of it is the script's. */
void postcopy_script_begin(struct postcopy_script *script); /* what was promised is said */
void postcopy_script_arrive(
    struct postcopy_script *script); /* source: all is there that was sent */
void postcopy_script_switch(struct postcopy_script *script); /* the package is there */
void postcopy_script_move(struct postcopy_script *script);   /* the guest is handed over */

/* That many pauses were told; the last one for a reason that says so. */
void postcopy_script_paused(struct postcopy_script *script, unsigned pauses, const char *says);

/* A new connection, with its header; then all that is left, as it should be. */
void postcopy_script_reconnect(struct postcopy_script *script);
void postcopy_script_finish(struct postcopy_script *script);

#endif
