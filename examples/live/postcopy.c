/* SPDX-License-Identifier: MIT */
#include "live/postcopy.h"
#include "text/fail.h"
#include "text/utf8.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CHANNEL_MS 10000u
#define CONNECT_MS 1000u
/* Between two tries there is time to look at signals. */
#define TURN_MS 100u

/* ---- what the migration's threads call ------------------------------------------------------ */

static void take_pause(struct session *session, const char *why)
{
	uint64_t one = 1;

	pthread_mutex_lock(&session->lock);
	snprintf(session->why_paused, sizeof(session->why_paused), "%s", why);
	pthread_mutex_unlock(&session->lock);
	if (write(session->pause_fd, &one, sizeof(one)) < 0)
		return; /* it is readable already */
}

static void take_event(void *opaque, const struct rs_event *event)
{
	struct session *session = opaque;
	const struct options *options = session->options;
	bool sends = options->program == PROGRAM_SEND;

	/* The first sync stands before the first round. */
	if (event->type == RS_EVENT_PASS && sends && options->postcopy &&
	    event->pass > options->postcopy_after)
		rs_migrate_start_postcopy(session->guest->state);
	if (event->type != RS_EVENT_STATUS)
		return;
	if (event->status == RS_STATUS_POSTCOPY_PAUSED)
		take_pause(session, event->text);
	if (event->status == RS_STATUS_POSTCOPY_ACTIVE)
		fprintf(stderr, "%s: %s\n", options->program_name, rs_status_name(event->status));
}

static int open_channel(void *opaque, struct rs_stream **stream, struct rs_error *error)
{
	struct session *session = opaque;

	if (session->options->program == PROGRAM_SEND)
		return rs_stream_connect(session->address, CHANNEL_MS, stream, error);
	return rs_listener_accept(session->listener, CHANNEL_MS, stream, error);
}

const struct guest_link postcopy_link = { take_event, open_channel };

/* ---- mending -------------------------------------------------------------------------------- */

/* Once for each reason: a receiver that is not there yet is looked for many times. */
static void tell(struct session *session, const char *why)
{
	const char *program = session->options->program_name;

	if (strcmp(why, session->told)) {
		fprintf(stderr, "%s: %s: ", program, rs_status_name(RS_STATUS_POSTCOPY_PAUSED));
		utf8_print(stderr, why);
		fprintf(stderr, "\n");
	}
	snprintf(session->told, sizeof(session->told), "%s", why);
}

static void give_up(struct session *session)
{
	session->broken = false;
	/* The source could run what it has, but so may the destination. */
	session->lost = !rs_migrate_resolve(session->guest->state, RS_RESOLVE_DISCARD);
}

void postcopy_take_pause(struct session *session)
{
	char why[sizeof(session->why_paused)];
	uint64_t count;

	if (read(session->pause_fd, &count, sizeof(count)) < 0)
		return;
	pthread_mutex_lock(&session->lock);
	memcpy(why, session->why_paused, sizeof(why));
	pthread_mutex_unlock(&session->lock);
	tell(session, why);
	session->broken = true;
	if (!session->options->recover || session->given_up)
		give_up(session);
}

/* Maybe at the same address as before; and nobody is to come there any more. */
static int listen_again(struct session *session, struct rs_error *error)
{
	int ret;

	if (session->address == session->options->recover)
		return 0;
	rs_listener_close(session->listener);
	session->listener = NULL;
	ret = rs_stream_listen(session->options->recover, &session->listener, error);
	if (ret)
		return ret;
	session->address = session->options->recover;
	fprintf(stderr, "%s: listening on %s to recover\n", session->options->program_name,
		rs_listener_address(session->listener));
	return 0;
}

static int open_again(struct session *session, struct rs_stream **stream, struct rs_error *error)
{
	int ret;

	if (session->options->program == PROGRAM_SEND) {
		session->address = session->options->recover;
		return rs_stream_connect(session->address, CONNECT_MS, stream, error);
	}
	ret = listen_again(session, error);
	return ret ? ret : rs_listener_accept(session->listener, TURN_MS, stream, error);
}

/* Whoever is to come, or to be found, may still be on the way. */
static bool is_worth_another_try(const struct session *session, int ret)
{
	return session->options->program == PROGRAM_SEND || ret == -ETIMEDOUT;
}

void postcopy_mend(struct session *session)
{
	struct rs_stream *stream;
	struct rs_error error = { 0 };
	int ret = open_again(session, &stream, &error);

	if (!ret) {
		session->broken = false;
		ret = rs_migrate_recover(session->guest->state, stream);
		if (!ret)
			return;
		rs_stream_close(stream, NULL);
		rs_error_get(session->guest->state, RS_ERROR_OF_CALL, &error);
	} else if (is_worth_another_try(session, ret)) {
		if (ret != -ETIMEDOUT)
			poll(NULL, 0, TURN_MS);
		return;
	}
	utf8_report(session->options->program_name, "--recover", error.text);
	give_up(session);
}

bool postcopy_give_up(struct session *session)
{
	if (session->broken)
		give_up(session);
	else if (rs_migrate_status(session->guest->state) == RS_STATUS_POSTCOPY_RECOVER)
		session->given_up = true;
	else
		return false;
	return true;
}
