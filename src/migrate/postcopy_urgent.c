/* SPDX-License-Identifier: MIT */
#include "migrate/postcopy_urgent.h"

#include "base/clock.h"
#include "base/thread.h"
#include "load/postcopy_load.h"
#include "migrate/handshake.h"
#include "transport/stream.h"

#include <string.h>
#include <time.h>

static struct rs_stream *channel_of(const struct rs_postcopy_in *postcopy)
{
	const struct rs_opening *opening = postcopy->pages.migration->opening;

	return opening != NULL ? opening->channel : NULL;
}

static void *run_urgent(void *opaque)
{
	struct rs_postcopy_in *postcopy = opaque;
	struct rs_state *state = postcopy->pages.state;
	struct rs_stream *channel = channel_of(postcopy);
	struct rs_error error = { 0 };

	rs_thread_set_slice(RS_SLICE_PROMPT_NS);
	/* Only what is asked for comes here, maybe nothing for a long time. */
	rs_stream_read_patiently(channel);
	/* Shut by ourselves: nothing is missing, or the connection is gone already. */
	if (rs_ram_load_urgent(state, channel, &error) != 0 && error.code != -ECANCELED)
		rs_session_fail(state, error.code, "the channel for preempt: %s", error.text);
	rs_postcopy_in_tell(postcopy, &postcopy->urgent_ended);
	return NULL;
}

/* Whoever connects must belong to this migration. */
static int check_channel(struct rs_incoming *pages, struct rs_stream *channel)
{
	struct rs_migration *migration = pages->migration;
	struct rs_message message;
	char machine[256];
	int result = rs_handshake_get_header(migration, channel, machine);

	if (result != 0)
		return result;
	uint8_t record = rs_stream_get_u8(channel);

	result = rs_outer_get_message(pages->state, channel, RS_COMMAND_MAX_BYTES, &message);
	if (result != 0)
		return result;
	if (strcmp(machine, RS_NATIVE_MACHINE) != 0 || record != RS_OUTER_COMMAND ||
	    message.type != RS_COMMAND_CHANNEL || message.bytes != RS_SESSION_BYTES ||
	    memcmp(message.payload, migration->features.session, RS_SESSION_BYTES) != 0)
		return rs_session_fail(pages->state, -EPERM,
				       "the channel for preempt belongs to another migration");
	return 0;
}

int rs_postcopy_urgent_open(struct rs_postcopy_in *postcopy)
{
	struct rs_incoming *pages = &postcopy->pages;
	struct rs_migration *migration = pages->migration;
	bool preempts = migration->native ? rs_migration_has(migration, RS_FEATURE_PREEMPT)
					  : rs_migration_preempts(migration);

	if (!preempts || pages->recording)
		return 0;
	if (migration->opening == NULL)
		migration->opening = &migration->recovered;
	int result = rs_opening_open_channel(migration->opening, migration);

	if (result == 0 && migration->native) {
		/* Whoever ends the migration is not to wait for who connected, and says nothing. */
		rs_session_use_stream(pages->state, migration->opening->channel);
		result = check_channel(pages, migration->opening->channel);
		rs_session_use_stream(pages->state, pages->stream);
	}
	if (result != 0)
		return result;
	postcopy->urgent_ended = false;
	result = rs_thread_create(&postcopy->urgent_thread, run_urgent, postcopy);
	if (result != 0)
		return rs_session_fail(pages->state, result, "no thread for the channel: %s",
				       rs_errno_text(result));
	postcopy->urgent_started = true;
	return 0;
}

void rs_postcopy_urgent_close(struct rs_postcopy_in *postcopy)
{
	struct rs_stream *channel = channel_of(postcopy);

	if (channel != NULL)
		rs_stream_hang_up(channel);
	if (postcopy->urgent_started)
		pthread_join(postcopy->urgent_thread, NULL);
	postcopy->urgent_started = false;
}

static bool has_all(struct rs_state *state)
{
	struct rs_region *region;

	rs_region_for_each (state, region) {
		uint64_t pages = rs_region_pages(region);

		if (region->received.words == NULL ||
		    rs_bitmap_find_clear(&region->received, 0, pages) == pages)
			continue;
		rs_region_unpin(region);
		return false;
	}
	return true;
}

/* The channel is read patiently, but now something is due there. */
static int check_stall(struct rs_state *state, uint64_t since)
{
	uint64_t limit_ms = rs_params_number(&state->params, RS_PARAM_STALL_TIMEOUT);

	if (limit_ms == 0 || rs_clock_ns() - since < limit_ms * RS_NS_PER_MS)
		return 0;
	return rs_session_fail(state, -ETIMEDOUT,
			       "the channel for preempt stalled: pages are missing, and none came "
			       "in %llu ms",
			       (unsigned long long)limit_ms);
}

int rs_postcopy_urgent_await(struct rs_postcopy_in *postcopy)
{
	const struct timespec a_moment = { .tv_nsec = RS_NS_PER_MS };
	struct rs_state *state = postcopy->pages.state;
	uint64_t came = 0, since = rs_clock_ns();
	int result = rs_session_code(state);

	while (result == 0 && postcopy->urgent_started && !has_all(state) &&
	       !rs_postcopy_in_look(postcopy, &postcopy->urgent_ended)) {
		uint64_t now = rs_counter_get(state->counters.transferred);

		if (now != came)
			since = rs_clock_ns();
		came = now;
		nanosleep(&a_moment, NULL);
		/* It has ended, but may have been shut: by who pauses. */
		result = rs_session_check_stream(state, postcopy->pages.stream);
		if (result == 0)
			result = check_stall(state, since);
		if (result == 0)
			result = rs_session_code(state);
	}
	return result;
}
