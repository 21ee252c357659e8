/* SPDX-License-Identifier: MIT */
/*
 * A migration as both programs run it: the stream of an address, waiting with an eye on signals,
 * and what is to be done if it ends in doubt.
 */
#ifndef EXAMPLES_SESSION_H
#define EXAMPLES_SESSION_H

#include "guest/guest.h"
#include "command/options.h"
#include "live/report.h"

#include <pthread.h>

struct session {
	const struct options *options;
	struct guest *guest;
	struct rs_listener *listener; /* ramsync-recv */
	struct rs_stream *stream;
	const char *address; /* of the present connection */
	int signal_fd;

	/* a postcopy that breaks; see postcopy.h */
	int pause_fd;
	bool broken;    /* it waits for a connection */
	bool given_up;  /* no other is to be brought */
	bool lost;      /* it was ended, with a part of the guest at each end */
	char told[512]; /* why it broke last, as the user knows */
	pthread_mutex_t lock;
	char why_paused[512]; /* guarded by lock */
};

/* Block SIGINT and SIGTERM, before any other thread is made, and get them from a descriptor. */
int session_init(struct session *session, const struct options *options, struct guest *guest,
		 struct rs_error *error);

/* Connect or accept. Until it returns SIGINT and SIGTERM end the program. */
int session_open(struct session *session, unsigned timeout_ms, struct rs_error *error);

/* Close the stream. An error if it was a command that failed. */
int session_close(struct session *session, struct rs_error *error);

/* Run the migration to its end. A signal cancels it. Fills in code, error and times. */
void session_migrate(struct session *session, struct result *result);

/* After session_migrate(): settle what is in doubt, as --on-doubt says. */
void session_settle(struct session *session, struct result *result);

/* Is the address one that can be opened a second time, with the same peer behind it? */
bool session_can_reconnect(const struct session *session);

void session_fini(struct session *session);

#endif
