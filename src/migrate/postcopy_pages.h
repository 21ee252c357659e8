/* SPDX-License-Identifier: MIT */
/* The page thread at the destination of postcopy, which owns the connection; see postcopy_in.h. */
#ifndef RS_MIGRATE_POSTCOPY_PAGES_H
#define RS_MIGRATE_POSTCOPY_PAGES_H

#include "migrate/incoming.h"

enum rs_postcopy_phase {
	RS_POSTCOPY_ADVISED,
	RS_POSTCOPY_DISCARDED,
	RS_POSTCOPY_LISTENING,
	RS_POSTCOPY_RUNNING,
};

struct rs_faults;

struct rs_postcopy_in {
	/* the migrating thread */
	enum rs_postcopy_phase phase;
	bool started; /* the page thread was */
	pthread_t thread;

	/* the page thread, once it is started */
	struct rs_incoming pages;
	struct rs_faults *faults;
	bool urgent_started;
	pthread_t urgent_thread;

	pthread_mutex_t lock;
	pthread_cond_t news;
	/* guarded by lock */
	bool ready;        /* READY was said: the guest may be ours */
	bool committed;    /* it is */
	bool urgent_ended; /* the urgent thread needs just be joined */
	bool ended;        /* the page thread needs just be joined */
	int result;        /* of all: 0, 1 ended by decree, the session's error */
};

/* One for the migration that in reads. NULL without memory. */
struct rs_postcopy_in *rs_postcopy_in_new(const struct rs_incoming *in);

/* Set one of its flags, and look at it. */
void rs_postcopy_in_tell(struct rs_postcopy_in *postcopy, bool *flag);
bool rs_postcopy_in_look(struct rs_postcopy_in *postcopy, const bool *flag);

/* Begin to read pages from the stream, in the thread. 0 or the session's error. */
int rs_postcopy_pages_start(struct rs_postcopy_in *postcopy);

/* The same for a recording, in the calling thread, to the end. */
int rs_postcopy_pages_read(struct rs_postcopy_in *postcopy, struct rs_incoming *in);

/* The migrating thread: READY is about to be said; wait for COMMIT. The second returns 0 or the session's error. */
void rs_postcopy_pages_set_ready(struct rs_postcopy_in *postcopy);
int rs_postcopy_pages_wait_commit(struct rs_postcopy_in *postcopy);

/* Whether the page thread has ended, and not with all there is. */
bool rs_postcopy_pages_were_given_up(struct rs_postcopy_in *postcopy);

/* The guest does not run here: whatever the page thread does, it ends. */
void rs_postcopy_pages_give_up(struct rs_postcopy_in *postcopy);

/* What was read meanwhile counts for the whole stream. */
void rs_postcopy_pages_go_back(const struct rs_postcopy_in *postcopy, struct rs_incoming *in);

/* Wait for the page thread's end. 0 or the session's error. */
int rs_postcopy_pages_wait(struct rs_postcopy_in *postcopy);

#endif
