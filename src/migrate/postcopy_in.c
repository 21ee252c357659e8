/* SPDX-License-Identifier: MIT */
#include "migrate/postcopy_in.h"

#include "base/bytes.h"
#include "base/thread.h"
#include "load/postcopy_load.h"
#include "migrate/handshake.h"
#include "migrate/package.h"
#include "migrate/postcopy_pages.h"
#include "postcopy/faults.h"
#include "transport/stream.h"

#include <stdlib.h>
#include <string.h>

static int out_of_place(struct rs_incoming *in, const char *command)
{
	return rs_session_fail(in->state, -EPROTO, "%s is out of place here", command);
}

/* ---- the promise --------------------------------------------------------------------------- */

static int check_wanted(struct rs_incoming *in)
{
	bool agreed =
	    !in->migration->native || rs_migration_has(in->migration, RS_FEATURE_POSTCOPY);

	if (in->recording)
		return 0;
	if (!rs_migration_may_postcopy(in->migration))
		return rs_session_fail(in->state, -EOPNOTSUPP,
				       "the source may use postcopy, and the parameter "
				       "postcopy-ram is off here");
	return agreed ? 0 : out_of_place(in, "POSTCOPY_ADVISE");
}

int rs_postcopy_in_probe(struct rs_incoming *in)
{
	struct rs_error error = { 0 };

	if (in->recording)
		return 0;
	return rs_faults_probe(in->state, in->state->userfaultfd, &error) == 0
		   ? 0
		   : rs_session_fail_with(in->state, &error);
}

/* A name from the stream is not terminated. */
void rs_postcopy_in_observe(struct rs_incoming *in, const struct rs_message *message,
			    const char *name, uint8_t name_bytes, struct rs_byte_range range)
{
	char text[256];

	memcpy(text, name, name_bytes);
	text[name_bytes] = '\0';
	rs_migration_observe(in->migration, (struct rs_observation){ .type = RS_OBSERVED_OPERAND,
								     .offset = in->record_at,
								     .number = message->type,
								     .name = text,
								     .address = range.start,
								     .bytes = range.bytes });
}

int rs_postcopy_in_advise(struct rs_incoming *in, const struct rs_message *message)
{
	struct rs_postcopy_advice advice;
	struct rs_error error = { 0 };
	int result = check_wanted(in);

	if (result == 0 && (in->postcopy != NULL || in->progress != RS_RAM_AWAITED))
		result = out_of_place(in, "POSTCOPY_ADVISE");
	if (result == 0 &&
	    rs_postcopy_advice_parse(message->payload, message->bytes, &advice, &error) != 0)
		result = rs_session_fail_with(in->state, &error);
	if (result == 0) {
		rs_postcopy_in_observe(in, message, "", 0,
				       (struct rs_byte_range){ .bytes = advice.target_page_bytes });
		result = rs_postcopy_in_probe(in);
	}
	if (result == 0)
		result = rs_ram_load_advise(in->state, &advice);
	if (result != 0)
		return result;
	in->postcopy = rs_postcopy_in_new(in);
	return in->postcopy != NULL ? 0
				    : rs_session_fail(in->state, -ENOMEM, "no memory for postcopy");
}

int rs_postcopy_in_discard(struct rs_incoming *in, const struct rs_message *message)
{
	struct rs_discard discard;
	struct rs_error error = { 0 };

	if (in->postcopy == NULL || in->progress != RS_RAM_STARTED ||
	    in->postcopy->phase > RS_POSTCOPY_DISCARDED)
		return out_of_place(in, "POSTCOPY_RAM_DISCARD");
	in->postcopy->phase = RS_POSTCOPY_DISCARDED;
	if (rs_discard_parse(message->payload, message->bytes, &discard, &error) != 0)
		return rs_session_fail_with(in->state, &error);
	for (size_t i = 0; i < discard.count; i++)
		rs_postcopy_in_observe(in, message, discard.name, discard.name_bytes,
				       rs_discard_range(&discard, i));
	return rs_ram_load_discard(in->state, &discard);
}

/* ---- the package --------------------------------------------------------------------------- */

static void request_pages(void *opaque, struct rs_region *region, uint64_t offset, uint64_t bytes)
{
	struct rs_incoming *in = opaque;

	rs_counter_add(in->state->counters.postcopy_requests, 1);
	rs_answers_request(in->answers, region, offset, bytes);
}

int rs_postcopy_in_listen(struct rs_incoming *in, const struct rs_message *message)
{
	struct rs_postcopy_in *postcopy = in->postcopy;
	struct rs_state *state = in->state;
	const struct rs_fault_ops ops = { .request = request_pages, .opaque = &postcopy->pages };
	struct rs_error error = { 0 };

	(void)message;
	if (postcopy->phase > RS_POSTCOPY_DISCARDED)
		return out_of_place(in, "POSTCOPY_LISTEN");
	postcopy->phase = RS_POSTCOPY_LISTENING;
	if (!in->recording &&
	    rs_faults_create(state, state->userfaultfd, &ops, &postcopy->faults, &error) != 0)
		return rs_session_fail_with(state, &error);
	int result = rs_ram_load_begin_postcopy(state, postcopy->faults);

	return result != 0 || in->recording ? result : rs_postcopy_pages_start(postcopy);
}

static int take_over(struct rs_incoming *in)
{
	int result = rs_migration_take_over(in->migration);

	if (result != 0)
		return result;
	in->postcopy->phase = RS_POSTCOPY_RUNNING;
	rs_migration_set_status(in->migration, RS_STATUS_POSTCOPY_ACTIVE);
	return 0;
}

int rs_postcopy_in_run(struct rs_incoming *in, const struct rs_message *message)
{
	(void)message;
	if (in->postcopy->phase != RS_POSTCOPY_LISTENING)
		return out_of_place(in, "POSTCOPY_RUN");
	in->ended = true;
	if (in->recording)
		return 0;
	/* What the devices touched after that was zeros. */
	if (rs_postcopy_pages_were_given_up(in->postcopy))
		return rs_session_fail(in->state, -ECANCELED, "postcopy was given up");
	return take_over(in);
}

int rs_postcopy_in_check(struct rs_incoming *in, const struct rs_message *message)
{
	struct rs_postcopy_in *postcopy = in->postcopy;

	(void)message;
	if (postcopy->phase != RS_POSTCOPY_LISTENING)
		return out_of_place(in, "CHECK");
	in->ended = true;
	rs_postcopy_pages_set_ready(postcopy);
	rs_answers_put(in->answers, RS_RETURN_READY, NULL, 0);
	if (rs_postcopy_pages_wait_commit(postcopy) != 0)
		return rs_session_code(in->state);
	int result = take_over(in);

	if (result == 0)
		rs_answers_put(in->answers, RS_RETURN_RUNNING, NULL, 0);
	return result;
}

/* The guest does not run here, and will not. */
static void tell_failure(struct rs_incoming *in)
{
	struct rs_error error;

	rs_error_get(in->state, RS_ERROR_OF_MIGRATION, &error);
	if (in->migration->native)
		rs_answers_put_text(in->answers, RS_RETURN_FAILED, error.text);
	else
		rs_answers_put_number(in->answers, RS_RETURN_SHUT, 1);
}

/* In QEMU's form the source has let go of its guest when it has sent the package. */
static int commit_early(struct rs_incoming *in)
{
	if (in->migration->native || in->recording || rs_migration_commit(in->migration))
		return 0;
	return rs_session_code(in->state);
}

static int finish(struct rs_incoming *in, int result)
{
	struct rs_postcopy_in *postcopy = in->postcopy;

	if (result != 0) {
		/* Of the device state, or of the VMM. */
		tell_failure(in);
		rs_postcopy_pages_give_up(postcopy);
	}
	int pages = rs_postcopy_pages_wait(postcopy);

	rs_postcopy_pages_go_back(postcopy, in);
	if (result == 0)
		result = pages;
	if (result == 0)
		rs_answers_put_number(in->answers, RS_RETURN_SHUT, 0);
	return result;
}

int rs_postcopy_in_package(struct rs_incoming *in, const struct rs_message *message)
{
	struct rs_postcopy_in *postcopy = in->postcopy;

	if (postcopy == NULL || in->progress != RS_RAM_STARTED ||
	    postcopy->phase > RS_POSTCOPY_DISCARDED)
		return out_of_place(in, "PACKAGED");
	int result = commit_early(in);
	uint32_t bytes = rs_get_be32(message->payload);

	rs_postcopy_in_observe(in, message, "", 0, (struct rs_byte_range){ .bytes = bytes });
	postcopy->pages = *in;
	if (result == 0)
		result = rs_package_load(in, bytes);
	if (result == 0 &&
	    postcopy->phase < (in->recording ? RS_POSTCOPY_LISTENING : RS_POSTCOPY_RUNNING))
		result = rs_incoming_fail(in, "the package does not say that the guest is to run");
	/* Nobody else tells the source what is wrong with a package that did not even begin it. */
	in->ended = result == 0 || postcopy->started;
	in->handed_over = !in->recording && postcopy->phase == RS_POSTCOPY_RUNNING;
	if (in->recording)
		return result != 0 ? result : rs_postcopy_pages_read(postcopy, in);
	return postcopy->started ? finish(in, result) : result;
}

bool rs_postcopy_in_is_committed(const struct rs_incoming *in)
{
	return in->postcopy != NULL && in->postcopy->phase == RS_POSTCOPY_RUNNING;
}
