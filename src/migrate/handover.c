/* SPDX-License-Identifier: MIT */
#include "migrate/handover.h"

#include "base/clock.h"
#include "migrate/handshake.h"

#include <string.h>

static int put_text(struct rs_migration *migration, enum rs_return_message message,
		    const char *text)
{
	size_t bytes = strlen(text);

	rs_outer_put_return(migration->stream, message, text,
			    bytes < RS_RETURN_MAX_BYTES ? bytes : RS_RETURN_MAX_BYTES);
	return rs_migration_flush(migration);
}

/* ---- source -------------------------------------------------------------------------------- */

int rs_handover_out(struct rs_migration *migration)
{
	struct rs_message message = { 0 };

	rs_outer_put_command(migration->stream, RS_COMMAND_CHECK, NULL, 0);
	int result = rs_migration_flush(migration);

	if (result == 0)
		result = rs_outer_get_answer(migration, RS_RETURN_READY, &message);
	if (result != 0)
		return result;
	if (!rs_migration_commit(migration))
		return rs_session_code(migration->state);

	/* Whatever happens from here on, the guest does not run here unless the other end says so.
	 */
	rs_outer_put_command(migration->stream, RS_COMMAND_COMMIT, NULL, 0);
	message.type = 0;
	result = rs_migration_flush(migration);
	if (result == 0)
		result = rs_outer_get_answer(migration, RS_RETURN_RUNNING, &message);
	if (result != 0)
		return message.type == RS_RETURN_FAILED ? result : RS_ERROR_IN_DOUBT;

	/* For whoever records the stream; the destination does not wait for it. */
	rs_stream_put_u8(migration->stream, RS_OUTER_EOF);
	rs_stream_flush(migration->stream);
	return 0;
}

/* ---- destination --------------------------------------------------------------------------- */

static int get_commit(struct rs_migration *migration)
{
	struct rs_message message;
	uint8_t record = rs_stream_get_u8(migration->stream);
	int result = rs_outer_get_message(migration->state, migration->stream, RS_COMMAND_MAX_BYTES,
					  &message);

	if (result == 0 && (record != RS_OUTER_COMMAND || message.type != RS_COMMAND_COMMIT))
		result =
		    rs_session_fail(migration->state, -EPROTO,
				    "0x%02x 0x%x stands where COMMIT should", record, message.type);
	return result;
}

void rs_handover_tell_failure(struct rs_migration *migration)
{
	struct rs_error error;

	if (!migration->two_way || rs_stream_error(migration->stream, NULL) != 0)
		return;
	rs_error_get(migration->state, RS_ERROR_OF_MIGRATION, &error);
	put_text(migration, RS_RETURN_FAILED, error.text);
}

/* Resume the guest, and say so. It runs even if nobody hears that. */
static int run_here(struct rs_migration *migration)
{
	int result = rs_migration_take_over(migration);

	if (result != 0) {
		rs_handover_tell_failure(migration);
		return result;
	}
	rs_outer_put_return(migration->stream, RS_RETURN_RUNNING, NULL, 0);
	rs_stream_flush(migration->stream);
	return 0;
}

int rs_handover_in(struct rs_migration *migration)
{
	rs_outer_put_return(migration->stream, RS_RETURN_READY, NULL, 0);
	if (rs_migration_flush(migration) != 0 || get_commit(migration) != 0)
		return RS_ERROR_IN_DOUBT;
	return run_here(migration);
}

/* ---- settling what is in doubt ------------------------------------------------------------- */

/* As a call of its own, which may fail for a reason of its own. The migration's error stays what put it
 * in doubt. */
static int resume_by_decree(struct rs_migration *migration)
{
	struct rs_state *state = migration->state;
	struct rs_error before, failure;

	rs_error_get(state, RS_ERROR_OF_MIGRATION, &before);
	rs_session_open_unheeding(state);
	rs_session_attach(state, NULL);
	migration->vm_stopped = true;
	int result = rs_migration_resume_vm(migration);

	if (result < 0)
		rs_session_fail(state, result, "the VMM failed to resume the guest");
	rs_session_detach(state);
	rs_error_get(state, RS_ERROR_OF_MIGRATION, &failure);
	rs_session_open_unheeding(state);
	rs_session_fail_with(state, &before);
	return result < 0 ? rs_state_refuse(state, result, "%s", failure.text) : 0;
}

int rs_handover_resolve(struct rs_migration *migration, enum rs_resolution resolution)
{
	bool runs_here = resolution == RS_RESOLVE_RUN;
	int result = runs_here ? resume_by_decree(migration) : 0;

	if (result != 0)
		return result;
	/* Completed is what leads to a guest at the destination. */
	rs_migration_set_status(migration, runs_here == migration->outgoing ? RS_STATUS_FAILED
									    : RS_STATUS_COMPLETED);
	return 0;
}

/* The destination's word on how it ended: 1 it runs there, 0 it does not, or an error. */
static int get_verdict(struct rs_migration *migration)
{
	struct rs_message message;
	int result = rs_outer_get_message(migration->state, migration->stream, RS_RETURN_MAX_BYTES,
					  &message);

	if (result != 0)
		return result;
	if (message.type != RS_RETURN_RUNNING && message.type != RS_RETURN_FAILED)
		return rs_session_fail(migration->state, -EPROTO,
				       "the destination says 0x%x where its verdict is due",
				       message.type);
	return message.type == RS_RETURN_RUNNING;
}

int rs_handover_reconnect_out(struct rs_migration *migration)
{
	bool in_doubt = rs_migrate_status(migration->state) == RS_STATUS_IN_DOUBT;
	uint8_t payload[RS_SESSION_BYTES + 1];

	memcpy(payload, migration->features.session, RS_SESSION_BYTES);
	payload[RS_SESSION_BYTES] = in_doubt ? RS_CLAIM_COMMITTED : RS_CLAIM_ABORTED;
	rs_handshake_put_header(migration, migration->stream, RS_NATIVE_MACHINE);
	rs_outer_put_command(migration->stream, RS_COMMAND_RESOLVE, payload, sizeof(payload));
	int result = rs_migration_flush(migration);

	if (result == 0)
		result = get_verdict(migration);
	if (result < 0)
		return result;
	if (!in_doubt)
		return result == 0 ? 0
				   : rs_session_fail(migration->state, -EEXIST,
						     "the guest runs at the destination, too");
	return rs_handover_resolve(migration, result == 1 ? RS_RESOLVE_DISCARD : RS_RESOLVE_RUN);
}

static int get_claim(struct rs_migration *migration, enum rs_resolve_claim *claim)
{
	struct rs_state *state = migration->state;
	struct rs_message message;
	char machine[256];
	int result = rs_handshake_get_header(migration, migration->stream, machine);

	if (result != 0)
		return result;
	uint8_t record = rs_stream_get_u8(migration->stream);

	result = rs_outer_get_message(migration->state, migration->stream, RS_COMMAND_MAX_BYTES,
				      &message);
	if (result != 0)
		return result;
	if (strcmp(machine, RS_NATIVE_MACHINE) != 0 || record != RS_OUTER_COMMAND ||
	    message.type != RS_COMMAND_RESOLVE || message.bytes != RS_SESSION_BYTES + 1)
		return rs_session_fail(state, -EPROTO, "this stream does not settle a migration");
	if (memcmp(message.payload, migration->features.session, RS_SESSION_BYTES) != 0)
		return rs_session_fail(state, -EPERM, "this stream settles another migration");
	*claim = (enum rs_resolve_claim)message.payload[RS_SESSION_BYTES];
	if (*claim != RS_CLAIM_COMMITTED && *claim != RS_CLAIM_ABORTED)
		return rs_session_fail(state, -EPROTO, "the source claims %d, which means nothing",
				       (int)*claim);
	return 0;
}

int rs_handover_reconnect_in(struct rs_migration *migration)
{
	struct rs_state *state = migration->state;
	enum rs_resolve_claim claim = RS_CLAIM_ABORTED;
	int result = get_claim(migration, &claim);

	if (result != 0)
		return result;
	if (rs_migrate_status(state) == RS_STATUS_IN_DOUBT) {
		result = rs_handover_resolve(
		    migration, claim == RS_CLAIM_COMMITTED ? RS_RESOLVE_RUN : RS_RESOLVE_DISCARD);
		if (result != 0)
			return result;
	}
	if (rs_migrate_status(state) != RS_STATUS_COMPLETED)
		return put_text(migration, RS_RETURN_FAILED, "the guest was discarded here");
	rs_outer_put_return(migration->stream, RS_RETURN_RUNNING, NULL, 0);
	return rs_migration_flush(migration);
}
