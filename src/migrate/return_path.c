/* SPDX-License-Identifier: MIT */
#include "migrate/return_path.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/thread.h"
#include "postcopy/received_map.h"
#include "save/postcopy_save.h"
#include "transport/stream.h"

#include <stdlib.h>
#include <string.h>

int rs_return_path_init(struct rs_return_path *path, struct rs_state *state)
{
	pthread_condattr_t attributes;

	*path = (struct rs_return_path){ .state = state };
	if (pthread_condattr_init(&attributes) != 0)
		return -ENOMEM;
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	int failed = pthread_cond_init(&path->news, &attributes);

	pthread_condattr_destroy(&attributes);
	if (failed != 0)
		return -ENOMEM;
	if (pthread_mutex_init(&path->lock, NULL) != 0) {
		pthread_cond_destroy(&path->news);
		return -ENOMEM;
	}
	return 0;
}

void rs_return_path_fini(struct rs_return_path *path)
{
	pthread_mutex_destroy(&path->lock);
	pthread_cond_destroy(&path->news);
}

void rs_return_path_reset(struct rs_return_path *path, struct rs_stream *stream)
{
	path->stream = stream;
	path->due = RS_HEARD_FAILED;
	path->heard = 0;
	path->ended = false;
}

void rs_return_path_expect(struct rs_return_path *path, unsigned more)
{
	pthread_mutex_lock(&path->lock);
	path->due |= more;
	pthread_mutex_unlock(&path->lock);
}

bool rs_return_path_has_heard(struct rs_return_path *path, enum rs_heard what)
{
	pthread_mutex_lock(&path->lock);
	bool heard = (path->heard & what) != 0;

	pthread_mutex_unlock(&path->lock);
	return heard;
}

/* ---- one message --------------------------------------------------------------------------- */

/* What is said once, each time that it is expected. */
#define SAID_ONCE                                                                                  \
	(RS_HEARD_READY | RS_HEARD_RUNNING | RS_HEARD_BITMAP | RS_HEARD_RESUME_ACK | RS_HEARD_SHUT)

static void note(struct rs_return_path *path, enum rs_heard what)
{
	if (what == RS_HEARD_REQUESTS)
		return;
	pthread_mutex_lock(&path->lock);
	path->heard |= what;
	path->due &= ~(what & SAID_ONCE);
	pthread_cond_broadcast(&path->news);
	pthread_mutex_unlock(&path->lock);
	rs_ram_save_wake(path->state);
}

static int obey_nothing(struct rs_return_path *path, const struct rs_message *message,
			struct rs_error *error)
{
	(void)path;
	(void)message;
	(void)error;
	return 0;
}

/* The guest has moved, and may need nothing of us for a long time. */
static int take_running(struct rs_return_path *path, const struct rs_message *message,
			struct rs_error *error)
{
	struct rs_counters *counters = &path->state->counters;

	(void)message;
	(void)error;
	if (rs_counter_get(counters->downtime_end_ns) == 0)
		rs_counter_set(counters->downtime_end_ns, rs_clock_ns());
	rs_stream_read_patiently(path->stream);
	return 0;
}

static int take_request(struct rs_return_path *path, const struct rs_message *message,
			struct rs_error *error)
{
	bool with_name = message->type == RS_RETURN_REQ_PAGES_ID;
	struct rs_page_request request;
	int result =
	    rs_page_request_parse(with_name, message->payload, message->bytes, &request, error);

	return result != 0 ? result : rs_ram_save_request(path->state, &request, error);
}

static int check_bitmap_name(const struct rs_return_path *path, const struct rs_message *message,
			     struct rs_error *error)
{
	const struct rs_region *region = path->bitmap_of;
	const char *name;
	uint8_t bytes;
	int result = rs_bitmap_name_parse(message->payload, message->bytes, &name, &bytes, error);

	if (result != 0)
		return result;
	if (bytes == region->name_bytes && memcmp(name, region->name, bytes) == 0)
		return 0;
	return rs_error_setf(error, -EPROTO,
			     "the received bitmap of region %.*s came where that of %s is due",
			     bytes, name, region->name);
}

static int take_bitmap(struct rs_return_path *path, const struct rs_message *message,
		       struct rs_error *error)
{
	uint8_t *bitmap = NULL;
	uint64_t bytes;
	int result = check_bitmap_name(path, message, error);

	if (result == 0)
		result = rs_received_map_get(path->stream, path->bitmap_of, &bitmap, &bytes, error);
	if (result == 0 &&
	    rs_ram_save_take_received(path->state, path->bitmap_of, bitmap, bytes) != 0)
		result = rs_error_get(path->state, RS_ERROR_OF_MIGRATION, error);
	free(bitmap);
	return result;
}

static int take_ack(struct rs_return_path *path, const struct rs_message *message,
		    struct rs_error *error)
{
	uint32_t value = rs_get_be32(message->payload);

	(void)path;
	if (value == RS_RESUME_ACK_VALUE)
		return 0;
	return rs_error_setf(error, -EPROTO, "the destination answers %u where it is to go on",
			     value);
}

static int take_shut(struct rs_return_path *path, const struct rs_message *message,
		     struct rs_error *error)
{
	(void)path;
	if (rs_get_be32(message->payload) == 0)
		return 0;
	return rs_error_setf(error, -EREMOTEIO, "the destination says that it failed, and not why");
}

static int take_failure(struct rs_return_path *path, const struct rs_message *message,
			struct rs_error *error)
{
	note(path, RS_HEARD_FAILED);
	return rs_error_setf(error, -EREMOTEIO, "the destination failed: %.*s", message->bytes,
			     (const char *)message->payload);
}

#define ANY_LENGTH -1

static const struct hearing {
	uint16_t type;
	int bytes; /* of the payload */
	enum rs_heard what;
	int (*take)(struct rs_return_path *path, const struct rs_message *message,
		    struct rs_error *error);
} hearings[] = {
	{ RS_RETURN_PONG, 4, RS_HEARD_PONG, obey_nothing },
	{ RS_RETURN_READY, 0, RS_HEARD_READY, obey_nothing },
	{ RS_RETURN_RUNNING, 0, RS_HEARD_RUNNING, take_running },
	{ RS_RETURN_REQ_PAGES_ID, ANY_LENGTH, RS_HEARD_REQUESTS, take_request },
	{ RS_RETURN_REQ_PAGES, ANY_LENGTH, RS_HEARD_REQUESTS, take_request },
	{ RS_RETURN_RECV_BITMAP, ANY_LENGTH, RS_HEARD_BITMAP, take_bitmap },
	{ RS_RETURN_RESUME_ACK, 4, RS_HEARD_RESUME_ACK, take_ack },
	{ RS_RETURN_SHUT, 4, RS_HEARD_SHUT, take_shut },
	{ RS_RETURN_FAILED, ANY_LENGTH, RS_HEARD_FAILED, take_failure },
};

static const struct hearing *find_hearing(uint16_t type)
{
	for (size_t i = 0; i < sizeof(hearings) / sizeof(hearings[0]); i++)
		if (hearings[i].type == type)
			return &hearings[i];
	return NULL;
}

static int check_due(struct rs_return_path *path, const struct rs_message *message,
		     const struct hearing *hearing, struct rs_error *error)
{
	if (hearing == NULL)
		return rs_error_setf(error, -EPROTO, "the destination says 0x%x, which is unknown",
				     message->type);
	pthread_mutex_lock(&path->lock);
	bool due = (path->due & hearing->what) != 0;

	pthread_mutex_unlock(&path->lock);
	/* A last word that tells of a failure may come at any time. */
	if (message->type == RS_RETURN_SHUT && message->bytes == 4)
		due |= rs_get_be32(message->payload) != 0;
	if (!due)
		return rs_error_setf(error, -EPROTO,
				     "the destination says 0x%x, which is not due now",
				     message->type);
	if (hearing->bytes != ANY_LENGTH && hearing->bytes != message->bytes)
		return rs_error_setf(error, -EPROTO,
				     "the destination says 0x%x with %u bytes instead of %d",
				     message->type, message->bytes, hearing->bytes);
	return 0;
}

/* One message. What it was, or a negative errno with a text. */
static int hear_one(struct rs_return_path *path, struct rs_error *error)
{
	struct rs_message message;
	int result = rs_outer_hear_message(path->stream, RS_RETURN_MAX_BYTES, &message, error);

	if (result != 0)
		return result;
	const struct hearing *hearing = find_hearing(message.type);

	result = check_due(path, &message, hearing, error);
	if (result == 0)
		result = hearing->take(path, &message, error);
	if (result != 0)
		return result;
	note(path, hearing->what);
	return (int)hearing->what;
}

/* ---- in the saving thread ------------------------------------------------------------------ */

int rs_return_path_hear(struct rs_return_path *path, enum rs_heard what)
{
	struct rs_error error = { 0 };
	int heard;

	do
		heard = hear_one(path, &error);
	while (heard > 0 && heard != (int)what);
	return heard > 0 ? 0 : rs_session_fail_with(path->state, &error);
}

/* ---- in a thread --------------------------------------------------------------------------- */

static void *run(void *opaque)
{
	struct rs_return_path *path = opaque;
	struct rs_error error = { 0 };
	int heard;

	rs_thread_set_slice(RS_SLICE_PROMPT_NS);
	do
		heard = hear_one(path, &error);
	while (heard > 0 && heard != RS_HEARD_SHUT);
	/* What the destination says of itself is worth more than the broken pipe that it leaves. */
	if (heard < 0 && rs_return_path_has_heard(path, RS_HEARD_FAILED))
		rs_session_explain(path->state, error.code, "%s", error.text);
	else if (heard < 0)
		rs_session_fail_with(path->state, &error);
	pthread_mutex_lock(&path->lock);
	path->ended = true;
	pthread_cond_broadcast(&path->news);
	pthread_mutex_unlock(&path->lock);
	rs_ram_save_wake(path->state);
	return NULL;
}

int rs_return_path_start(struct rs_return_path *path)
{
	int result = rs_thread_create(&path->thread, run, path);

	if (result != 0)
		return rs_session_fail(path->state, result, "no thread to hear the destination: %s",
				       rs_errno_text(result));
	path->started = true;
	return 0;
}

int rs_return_path_wait(struct rs_return_path *path, enum rs_heard what, uint64_t timeout_ms)
{
	uint64_t until = rs_clock_ns() + timeout_ms * RS_NS_PER_MS;
	struct timespec deadline = { .tv_sec = (time_t)(until / RS_NS_PER_S),
				     .tv_nsec = (long)(until % RS_NS_PER_S) };
	int expired = 0;

	pthread_mutex_lock(&path->lock);
	while ((path->heard & what) == 0 && !path->ended && expired == 0) {
		if (timeout_ms == 0)
			pthread_cond_wait(&path->news, &path->lock);
		else
			expired = pthread_cond_timedwait(&path->news, &path->lock, &deadline);
	}
	bool heard = (path->heard & what) != 0;

	pthread_mutex_unlock(&path->lock);
	if (heard)
		return 0;
	if (expired != 0)
		return rs_session_fail(path->state, -ETIMEDOUT,
				       "the destination has said nothing for %llu ms",
				       (unsigned long long)timeout_ms);
	return rs_session_fail(path->state, -EPROTO,
			       "the destination has said its last word too "
			       "early");
}

void rs_return_path_stop(struct rs_return_path *path)
{
	if (path->started)
		pthread_join(path->thread, NULL);
	path->started = false;
}
