/* SPDX-License-Identifier: MIT */
#include "migrate/postcopy_pages.h"

#include "base/thread.h"
#include "load/postcopy_load.h"
#include "migrate/handshake.h"
#include "migrate/postcopy_in.h"
#include "migrate/postcopy_urgent.h"
#include "migrate/recovery.h"
#include "transport/stream.h"

#include <stdlib.h>
#include <string.h>

struct rs_postcopy_in *rs_postcopy_in_new(const struct rs_incoming *in)
{
	struct rs_postcopy_in *postcopy = calloc(1, sizeof(*postcopy));

	if (postcopy == NULL)
		return NULL;
	if (pthread_mutex_init(&postcopy->lock, NULL) != 0 ||
	    pthread_cond_init(&postcopy->news, NULL) != 0) {
		free(postcopy);
		return NULL;
	}
	postcopy->pages = *in;
	postcopy->pages.postcopy = postcopy;
	return postcopy;
}

void rs_postcopy_in_destroy(struct rs_postcopy_in *postcopy)
{
	if (postcopy == NULL)
		return;
	rs_faults_destroy(postcopy->faults);
	pthread_cond_destroy(&postcopy->news);
	pthread_mutex_destroy(&postcopy->lock);
	free(postcopy);
}

void rs_postcopy_in_tell(struct rs_postcopy_in *postcopy, bool *flag)
{
	pthread_mutex_lock(&postcopy->lock);
	*flag = true;
	pthread_cond_broadcast(&postcopy->news);
	pthread_mutex_unlock(&postcopy->lock);
}

bool rs_postcopy_in_look(struct rs_postcopy_in *postcopy, const bool *flag)
{
	pthread_mutex_lock(&postcopy->lock);
	bool value = *flag;

	pthread_mutex_unlock(&postcopy->lock);
	return value;
}

/* ---- over one connection ------------------------------------------------------------------- */

static int load(struct rs_postcopy_in *postcopy)
{
	struct rs_incoming *pages = &postcopy->pages;

	pages->part = RS_PART_PAGES;
	pages->ended = false;
	rs_stream_queue_little(pages->stream);
	int result = rs_incoming_get_records(pages);

	if (result != 0)
		return result;
	result = rs_postcopy_urgent_await(postcopy);
	if (result == 0)
		result = rs_incoming_check_complete(pages);
	/* Being lax is for recordings: a guest that runs would find zeros where its memory was. */
	return result != 0 || pages->recording ? result
					       : rs_ram_load_check_received(pages->state, false);
}

/* ---- after a break ------------------------------------------------------------------------- */

static void hang_up(struct rs_postcopy_in *postcopy)
{
	struct rs_incoming *pages = &postcopy->pages;

	rs_stream_hang_up(pages->stream);
	rs_answers_use(pages->answers, NULL);
	rs_postcopy_urgent_close(postcopy);
	if (postcopy->faults != NULL)
		rs_faults_pause(postcopy->faults);
}

/* Native: the connection must be of the migration that was broken. */
static int check_session(struct rs_incoming *pages)
{
	struct rs_migration *migration = pages->migration;
	struct rs_message message;
	char machine[256];
	int result = rs_handshake_get_header(migration, pages->stream, machine);

	if (result != 0)
		return result;
	uint8_t record = rs_stream_get_u8(pages->stream);

	result = rs_outer_get_message(pages->state, pages->stream, RS_COMMAND_MAX_BYTES, &message);
	if (result != 0)
		return result;
	if (strcmp(machine, RS_NATIVE_MACHINE) != 0 || record != RS_OUTER_COMMAND ||
	    message.type != RS_COMMAND_RECOVER || message.bytes != RS_SESSION_BYTES)
		return rs_session_fail(pages->state, -EPROTO,
				       "this stream does not go on with a postcopy");
	if (memcmp(message.payload, migration->features.session, RS_SESSION_BYTES) != 0)
		return rs_session_fail(pages->state, -EPERM,
				       "this stream goes on with another migration");
	return 0;
}

/* Say what is here, until the source has all of it. */
static int agree(struct rs_postcopy_in *postcopy)
{
	struct rs_incoming *pages = &postcopy->pages;
	int result = 0;

	rs_answers_use(pages->answers, pages->recording ? NULL : pages->stream);
	if (pages->migration->native && !pages->recording) {
		result = check_session(pages);
		/* The source is told why; it may have the wrong destination. */
		if (result != 0 && rs_stream_error(pages->stream, NULL) == 0) {
			struct rs_error error;

			rs_error_get(pages->state, RS_ERROR_OF_MIGRATION, &error);
			rs_answers_put_text(pages->answers, RS_RETURN_FAILED, error.text);
		}
	}
	pages->state->load->record_at = 0;
	pages->part = RS_PART_RECOVERY;
	pages->ended = false;
	return result != 0 ? result : rs_incoming_get_records(pages);
}

int rs_postcopy_in_send_bitmap(struct rs_incoming *in, const struct rs_message *message)
{
	struct rs_error error = { 0 };
	const char *name;
	uint8_t bytes;

	if (rs_bitmap_name_parse(message->payload, message->bytes, &name, &bytes, &error) != 0)
		return rs_session_fail_with(in->state, &error);
	rs_postcopy_in_observe(in, message, name, bytes, (struct rs_byte_range){ 0 });
	struct rs_region *region = rs_region_find_pinned(in->state, name, bytes);

	if (region == NULL || region->received.words == NULL)
		rs_session_fail(in->state, -EINVAL,
				"the source wants to know what came of region %.*s, which is "
				"unknown here",
				bytes, name);
	else
		rs_answers_put_bitmap(in->answers, region);
	if (region != NULL)
		rs_region_unpin(region);
	return rs_session_code(in->state);
}

int rs_postcopy_in_resume(struct rs_incoming *in, const struct rs_message *message)
{
	(void)message;
	in->ended = true;
	/* It may have come, and pages not, or not all of it. */
	in->progress = RS_RAM_STARTED;
	rs_ram_load_resume(in->state);
	rs_answers_put_number(in->answers, RS_RETURN_RESUME_ACK, RS_RESUME_ACK_VALUE);
	return rs_migration_fail_stream(in->migration);
}

/* Over a new connection, if there is to be one. As rs_recovery_wait(). */
static int reconnect(struct rs_postcopy_in *postcopy)
{
	struct rs_incoming *pages = &postcopy->pages;
	int result;

	for (;;) {
		hang_up(postcopy);
		pages->broken_bytes = rs_incoming_wire_bytes(pages);
		pages->start_bytes = rs_stream_bytes_read(pages->stream);
		result = rs_recovery_wait(pages->migration);
		pages->stream = pages->migration->stream;
		if (result != 0)
			return result;
		pages->start_bytes = rs_stream_bytes_read(pages->stream);
		if (agree(postcopy) == 0)
			break;
	}
	/* Whoever says that it is to go on has handed the guest over. */
	rs_postcopy_in_tell(postcopy, &postcopy->committed);
	if (postcopy->faults != NULL)
		rs_faults_resume(postcopy->faults);
	rs_migration_set_status(pages->migration, RS_STATUS_POSTCOPY_ACTIVE);
	return 0;
}

static bool may_run_here(struct rs_postcopy_in *postcopy)
{
	return postcopy->pages.recording || rs_postcopy_in_look(postcopy, &postcopy->ready) ||
	       rs_postcopy_in_look(postcopy, &postcopy->committed);
}

/* To the end, over as many connections as it takes. */
static int read_pages(struct rs_postcopy_in *postcopy)
{
	for (;;) {
		int result = rs_postcopy_urgent_open(postcopy);

		if (result == 0)
			result = load(postcopy);
		if (result == 0 || !may_run_here(postcopy))
			return result;
		result = reconnect(postcopy);
		if (result != 0)
			return result;
	}
}

/* ---- the thread ---------------------------------------------------------------------------- */

static void *run(void *opaque)
{
	struct rs_postcopy_in *postcopy = opaque;

	rs_session_lend(postcopy->pages.state);
	rs_thread_set_slice(RS_SLICE_PATIENT_NS);
	postcopy->result = read_pages(postcopy);
	rs_postcopy_urgent_close(postcopy);
	/* Before the next: who is let go looks whether all came. */
	rs_postcopy_in_tell(postcopy, &postcopy->ended);
	/* A device that waits for a page which will not come is let go, too. */
	rs_faults_destroy(postcopy->faults);
	postcopy->faults = NULL;
	return NULL;
}

int rs_postcopy_pages_start(struct rs_postcopy_in *postcopy)
{
	struct rs_incoming *pages = &postcopy->pages;

	if (!pages->migration->native)
		postcopy->committed = true;
	/* Before the thread does: what fails here from now on is of the guest. */
	rs_session_lend(pages->state);
	int result = rs_thread_create(&postcopy->thread, run, postcopy);

	if (result != 0)
		return rs_session_fail(pages->state, result, "no thread for pages: %s",
				       rs_errno_text(result));
	postcopy->started = true;
	return 0;
}

int rs_postcopy_pages_read(struct rs_postcopy_in *postcopy, struct rs_incoming *in)
{
	int result = read_pages(postcopy);

	rs_postcopy_pages_go_back(postcopy, in);
	return result > 0 ? rs_session_fail(in->state, -ECANCELED, "postcopy was given up")
			  : result;
}

void rs_postcopy_pages_go_back(const struct rs_postcopy_in *postcopy, struct rs_incoming *in)
{
	in->progress = postcopy->pages.progress;
	in->record_at = postcopy->pages.record_at;
	in->stream = postcopy->pages.stream;
	in->start_bytes = postcopy->pages.start_bytes;
	in->broken_bytes = postcopy->pages.broken_bytes;
}

void rs_postcopy_pages_set_ready(struct rs_postcopy_in *postcopy)
{
	rs_postcopy_in_tell(postcopy, &postcopy->ready);
}

int rs_postcopy_in_commit(struct rs_incoming *in, const struct rs_message *message)
{
	struct rs_postcopy_in *postcopy = in->postcopy;

	(void)message;
	if (!rs_postcopy_in_look(postcopy, &postcopy->ready) ||
	    rs_postcopy_in_look(postcopy, &postcopy->committed))
		return rs_session_fail(in->state, -EPROTO, "COMMIT is out of place here");
	rs_postcopy_in_tell(postcopy, &postcopy->committed);
	return 0;
}

int rs_postcopy_pages_wait_commit(struct rs_postcopy_in *postcopy)
{
	struct rs_incoming *pages = &postcopy->pages;

	pthread_mutex_lock(&postcopy->lock);
	while (!postcopy->committed && !postcopy->ended)
		pthread_cond_wait(&postcopy->news, &postcopy->lock);
	/* Ended by decree since, it must not run on memory that was given back. */
	bool committed = postcopy->committed && (!postcopy->ended || postcopy->result == 0);

	pthread_mutex_unlock(&postcopy->lock);
	if (!committed)
		return rs_session_fail(pages->state, -ECANCELED, "postcopy was given up");
	return rs_migration_commit_unless_final(pages->migration) ? 0
								  : rs_session_code(pages->state);
}

bool rs_postcopy_pages_were_given_up(struct rs_postcopy_in *postcopy)
{
	return rs_postcopy_in_look(postcopy, &postcopy->ended) && postcopy->result != 0;
}

void rs_postcopy_pages_give_up(struct rs_postcopy_in *postcopy)
{
	rs_session_give_up(postcopy->pages.state);
}

int rs_postcopy_pages_wait(struct rs_postcopy_in *postcopy)
{
	pthread_join(postcopy->thread, NULL);
	if (postcopy->result > 0)
		return rs_session_fail(postcopy->pages.state, -ECANCELED, "postcopy was given up");
	return postcopy->result;
}
