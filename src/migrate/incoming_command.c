/* SPDX-License-Identifier: MIT */
/* Commands of the source's, and what is said on the return path of a QEMU. */
#include "base/bytes.h"
#include "migrate/handover.h"
#include "migrate/incoming.h"

static const char *name_of(unsigned command)
{
	static const struct {
		unsigned command;
		const char *name;
	} names[] = {
		{ RS_COMMAND_OPEN_RETURN_PATH, "OPEN_RETURN_PATH" },
		{ RS_COMMAND_PING, "PING" },
		{ RS_COMMAND_POSTCOPY_ADVISE, "POSTCOPY_ADVISE" },
		{ RS_COMMAND_POSTCOPY_LISTEN, "POSTCOPY_LISTEN" },
		{ RS_COMMAND_POSTCOPY_RUN, "POSTCOPY_RUN" },
		{ RS_COMMAND_POSTCOPY_RAM_DISCARD, "POSTCOPY_RAM_DISCARD" },
		{ RS_COMMAND_PACKAGED, "PACKAGED" },
		{ RS_COMMAND_ENABLE_COLO, "ENABLE_COLO" },
		{ RS_COMMAND_POSTCOPY_RESUME, "POSTCOPY_RESUME" },
		{ RS_COMMAND_RECV_BITMAP, "RECV_BITMAP" },
		{ RS_COMMAND_SWITCHOVER_START, "SWITCHOVER_START" },
		{ RS_COMMAND_OFFER, "OFFER" },
		{ RS_COMMAND_CHECK, "CHECK" },
		{ RS_COMMAND_COMMIT, "COMMIT" },
		{ RS_COMMAND_RESOLVE, "RESOLVE" },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].command == command)
			return names[i].name;
	return "";
}

/* ---- the return path ----------------------------------------------------------------------- */

static void put_return(struct rs_incoming *in, enum rs_return_message message, const void *payload,
		       size_t bytes)
{
	rs_outer_put_return(in->stream, message, payload, bytes);
	rs_stream_flush(in->stream);
}

void rs_incoming_shut(struct rs_incoming *in, bool good)
{
	uint8_t payload[4];

	if (!in->return_path)
		return;
	rs_put_be32(payload, good ? 0 : 1);
	put_return(in, RS_RETURN_SHUT, payload, sizeof(payload));
}

static int answer_ping(struct rs_incoming *in, const struct rs_message *message)
{
	if (message->bytes != 4)
		return rs_incoming_fail(in, "PING without its 4 bytes");
	if (in->recording)
		return 0;
	if (!in->return_path && !(in->migration->native && in->migration->two_way))
		return rs_incoming_fail(in, "PING without a return path");
	put_return(in, RS_RETURN_PONG, message->payload, 4);
	return rs_migration_fail_stream(in->migration);
}

/* Someone recorded a stream whose source waited for answers, and has had them. */
static int read_recording(struct rs_incoming *in)
{
	if (!rs_migration_is_lax(in->migration))
		return rs_incoming_fail(in, "the source opens a return path, and the stream is "
					    "one-way here (lax reads it as a recording)");
	in->recording = true;
	return 0;
}

static int open_return_path(struct rs_incoming *in, const struct rs_message *message)
{
	if (message->bytes != 0)
		return rs_incoming_fail(in, "OPEN_RETURN_PATH with a payload");
	if (!(rs_stream_flags(in->stream) & RS_STREAM_WRITE))
		return read_recording(in);
	if (in->return_path)
		return rs_incoming_fail(in, "the source opens a return path twice");
	in->return_path = true;
	/* No device here delays the switchover, so nothing has to be waited for. */
	if (rs_params_number(&in->state->params, RS_PARAM_SWITCHOVER_ACK) != 0)
		put_return(in, RS_RETURN_SWITCHOVER_ACK, NULL, 0);
	return rs_migration_fail_stream(in->migration);
}

/* ---- the hand-over, native ----------------------------------------------------------------- */

static int hand_over(struct rs_incoming *in, const struct rs_message *message)
{
	int result = rs_incoming_check_complete(in);

	if (message->bytes != 0)
		return rs_incoming_fail(in, "CHECK with a payload");
	if (result != 0)
		return result;
	rs_session_ignore_regions(in->state);
	if (!rs_migration_commit(in->migration))
		return rs_session_code(in->state);
	in->handed_over = true;
	return rs_handover_in(in->migration);
}

/* ---- all of them --------------------------------------------------------------------------- */

static int refuse(struct rs_incoming *in, unsigned command)
{
	const char *name = name_of(command);

	if (name[0] != '\0')
		return rs_session_fail(in->state, -EOPNOTSUPP,
				       "command %u (%s) is not supported here", command, name);
	return rs_session_fail(in->state, -EOPNOTSUPP, "command %u (0x%x) is unknown", command,
			       command);
}

static int obey_qemu(struct rs_incoming *in, const struct rs_message *message)
{
	switch (message->type) {
	case RS_COMMAND_OPEN_RETURN_PATH:
		return open_return_path(in, message);
	case RS_COMMAND_PING:
		return answer_ping(in, message);
	case RS_COMMAND_SWITCHOVER_START:
		return message->bytes == 0
			   ? 0
			   : rs_incoming_fail(in, "SWITCHOVER_START with a payload");
	default:
		return refuse(in, message->type);
	}
}

static int obey_native(struct rs_incoming *in, const struct rs_message *message)
{
	if (in->migration->two_way && message->type == RS_COMMAND_CHECK)
		return hand_over(in, message);
	if (message->type == RS_COMMAND_PING)
		return answer_ping(in, message);
	return refuse(in, message->type);
}

int rs_incoming_command(struct rs_incoming *in)
{
	struct rs_message message;
	int result = rs_outer_get_message(in->state, in->stream, RS_COMMAND_MAX_BYTES, &message);

	if (result != 0)
		return result;
	rs_migration_observe(in->migration,
			     (struct rs_observation){ .type = RS_OBSERVED_COMMAND,
						      .offset = in->record_at,
						      .stream_bytes = 5u + message.bytes,
						      .number = message.type,
						      .name = name_of(message.type) });
	return in->migration->native ? obey_native(in, &message) : obey_qemu(in, &message);
}
