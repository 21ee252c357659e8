/* SPDX-License-Identifier: MIT */
/*
 * What the destination says in postcopy, at the source: a thread hears it while another one saves. Requests for
 * pages are passed on to the saver at once; all else is noted, for the saving thread to wait for.
 * Only what is due is taken; anything else ends the connection.
 */
#ifndef RS_MIGRATE_RETURN_PATH_H
#define RS_MIGRATE_RETURN_PATH_H

#include "migrate/outer_io.h"

enum rs_heard {
	RS_HEARD_PONG = 1 << 0,
	RS_HEARD_READY = 1 << 1,
	RS_HEARD_RUNNING = 1 << 2,
	RS_HEARD_REQUESTS = 1 << 3, /* only ever due, never noted */
	RS_HEARD_BITMAP = 1 << 4,
	RS_HEARD_RESUME_ACK = 1 << 5,
	RS_HEARD_SHUT = 1 << 6,
	RS_HEARD_FAILED = 1 << 7, /* the destination's own word, with a text; always due */
};

struct rs_return_path {
	/* immutable */
	struct rs_state *state;

	/* whoever hears: the thread, or the saving thread while there is none */
	struct rs_stream *stream;
	struct rs_region *bitmap_of; /* whose received bitmap is due */

	/* the saving thread */
	pthread_t thread;
	bool started;

	pthread_mutex_t lock;
	pthread_cond_t news;
	/* guarded by lock */
	unsigned due;   /* enum rs_heard, ORed */
	unsigned heard; /* the same */
	bool ended;     /* nothing more will be heard; the session has failed unless SHUT was */
};

/* 0 or -ENOMEM. */
int rs_return_path_init(struct rs_return_path *path, struct rs_state *state);
void rs_return_path_fini(struct rs_return_path *path);

/* A new connection: nothing was heard, and nothing is due. */
void rs_return_path_reset(struct rs_return_path *path, struct rs_stream *stream);

/* More is due: once, if it is no request, PONG or FAILED. */
void rs_return_path_expect(struct rs_return_path *path, unsigned more);
bool rs_return_path_has_heard(struct rs_return_path *path, enum rs_heard what);

/* Hear in this thread until that has come, once: it may come again. 0 or the session's error. */
int rs_return_path_hear(struct rs_return_path *path, enum rs_heard what);

/* Hear in a thread of its own, to the end. 0 or the session's error. */
int rs_return_path_start(struct rs_return_path *path);

/* Wait for what the thread hears, for so long (0: for ever). 0 or the session's error: -ETIMEDOUT. */
int rs_return_path_wait(struct rs_return_path *path, enum rs_heard what, uint64_t timeout_ms);

/* Wait for the thread's end, which a shutdown of the stream brings about. */
void rs_return_path_stop(struct rs_return_path *path);

#endif
