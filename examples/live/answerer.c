/* SPDX-License-Identifier: MIT */
#include "live/answerer.h"

#include <stdio.h>

/* Have answerer_stop() find the stream. False if it is too late. */
static bool take_stream(struct answerer *answerer, struct rs_stream *stream)
{
	bool taken;

	pthread_mutex_lock(&answerer->lock);
	taken = !answerer->over;
	answerer->stream = taken ? stream : NULL;
	pthread_mutex_unlock(&answerer->lock);
	return taken;
}

static void *answerer_thread(void *opaque)
{
	struct answerer *answerer = opaque;
	struct session *session = answerer->session;
	struct rs_stream *stream;

	while (!rs_listener_accept(session->listener, 0, &stream, NULL)) {
		if (take_stream(answerer, stream) &&
		    !rs_migrate_reconnect_in(session->guest->state, stream))
			fprintf(stderr, "%s: told the sender that the guest runs here\n",
				session->options->program_name);
		take_stream(answerer, NULL);
		rs_stream_close(stream, NULL);
	}
	return NULL;
}

void answerer_start(struct answerer *answerer, struct session *session)
{
	*answerer = (struct answerer){ .session = session };
	pthread_mutex_init(&answerer->lock, NULL);
	if (session->listener && session_can_reconnect(session))
		answerer->started =
		    !pthread_create(&answerer->thread, NULL, answerer_thread, answerer);
}

void answerer_stop(struct answerer *answerer)
{
	if (answerer->started) {
		pthread_mutex_lock(&answerer->lock);
		answerer->over = true;
		if (answerer->stream)
			rs_stream_shutdown(answerer->stream);
		pthread_mutex_unlock(&answerer->lock);
		rs_listener_shutdown(answerer->session->listener);
		pthread_join(answerer->thread, NULL);
	}
	pthread_mutex_destroy(&answerer->lock);
}
