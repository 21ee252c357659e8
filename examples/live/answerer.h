/* SPDX-License-Identifier: MIT */
/*
 * A receiver that has the guest may be asked for it by a sender that never heard so: RUNNING was
 * the message that was lost. As long as the receiver lives, a thread answers.
 */
#ifndef EXAMPLES_ANSWERER_H
#define EXAMPLES_ANSWERER_H

#include "live/session.h"

#include <pthread.h>

struct answerer {
	struct session *session;
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	struct rs_stream *stream; /* guarded by lock; the one being answered */
	bool over;                /* guarded by lock */
};

/* Begin to answer on the session's listener, if it has one that can accept again. */
void answerer_start(struct answerer *answerer, struct session *session);

/* End it; the listener accepts nobody any more. */
void answerer_stop(struct answerer *answerer);

#endif
