/* SPDX-License-Identifier: MIT */
/* Commands of the source's, and what is said on the return path of a QEMU. */
#include "migrate/handover.h"
#include "migrate/incoming.h"
#include "migrate/postcopy_in.h"

/* ---- the return path ----------------------------------------------------------------------- */

void rs_incoming_shut(struct rs_incoming *in, bool good)
{
	if (in->return_path)
		rs_answers_put_number(in->answers, RS_RETURN_SHUT, good ? 0 : 1);
}

static int answer_ping(struct rs_incoming *in, const struct rs_message *message)
{
	if (in->recording)
		return 0;
	if (!in->return_path && !(in->migration->native && in->migration->two_way))
		return rs_incoming_fail(in, "PING without a return path");
	rs_answers_put(in->answers, RS_RETURN_PONG, message->payload, 4);
	/* Whether it is heard does not concern a package, which is here as a whole. */
	return in->part == RS_PART_PACKAGE ? 0 : rs_session_check_stream(in->state, in->stream);
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
	(void)message;
	if (!(rs_stream_flags(in->stream) & RS_STREAM_WRITE))
		return read_recording(in);
	if (in->return_path)
		return rs_incoming_fail(in, "the source opens a return path twice");
	in->return_path = true;
	/* No device here delays the switchover, so nothing has to be waited for. */
	if (rs_params_number(&in->state->params, RS_PARAM_SWITCHOVER_ACK) != 0)
		rs_answers_put(in->answers, RS_RETURN_SWITCHOVER_ACK, NULL, 0);
	return rs_migration_fail_stream(in->migration);
}

/* ---- the hand-over, native ----------------------------------------------------------------- */

static int hand_over(struct rs_incoming *in, const struct rs_message *message)
{
	if (in->part == RS_PART_PACKAGE)
		return rs_postcopy_in_check(in, message);
	int result = rs_incoming_check_complete(in);

	if (result != 0)
		return result;
	rs_session_ignore_regions(in->state);
	if (!rs_migration_commit(in->migration))
		return rs_session_code(in->state);
	in->handed_over = true;
	in->ended = true;
	return rs_handover_in(in->migration);
}

/* ---- all of them --------------------------------------------------------------------------- */

static int begin_switchover(struct rs_incoming *in, const struct rs_message *message)
{
	/* For devices that want to know; there are none here. */
	(void)in;
	(void)message;
	return 0;
}

enum {
	ANY_LENGTH = -1,
	IN_QEMU = 1,
	IN_NATIVE = 2,
	IN_BOTH = 3,
};

static const struct command {
	const char *name;
	uint16_t number;
	int bytes; /* of its payload */
	unsigned forms;
	unsigned parts; /* enum rs_incoming_part, ORed: where it may stand */
	int (*obey)(struct rs_incoming *in, const struct rs_message *message);
} commands[] = {
	{ "OPEN_RETURN_PATH", RS_COMMAND_OPEN_RETURN_PATH, 0, IN_QEMU, RS_PART_WHOLE,
	  open_return_path },
	{ "PING", RS_COMMAND_PING, 4, IN_BOTH, RS_PART_WHOLE | RS_PART_PACKAGE | RS_PART_PAGES,
	  answer_ping },
	{ "POSTCOPY_ADVISE", RS_COMMAND_POSTCOPY_ADVISE, ANY_LENGTH, IN_BOTH, RS_PART_WHOLE,
	  rs_postcopy_in_advise },
	{ "POSTCOPY_LISTEN", RS_COMMAND_POSTCOPY_LISTEN, 0, IN_BOTH, RS_PART_PACKAGE,
	  rs_postcopy_in_listen },
	{ "POSTCOPY_RUN", RS_COMMAND_POSTCOPY_RUN, 0, IN_QEMU, RS_PART_PACKAGE,
	  rs_postcopy_in_run },
	{ "POSTCOPY_RAM_DISCARD", RS_COMMAND_POSTCOPY_RAM_DISCARD, ANY_LENGTH, IN_BOTH,
	  RS_PART_WHOLE, rs_postcopy_in_discard },
	{ "PACKAGED", RS_COMMAND_PACKAGED, 4, IN_BOTH, RS_PART_WHOLE, rs_postcopy_in_package },
	{ "ENABLE_COLO", RS_COMMAND_ENABLE_COLO, 0, 0, 0, NULL },
	{ "POSTCOPY_RESUME", RS_COMMAND_POSTCOPY_RESUME, 0, IN_BOTH, RS_PART_RECOVERY,
	  rs_postcopy_in_resume },
	{ "RECV_BITMAP", RS_COMMAND_RECV_BITMAP, ANY_LENGTH, IN_BOTH, RS_PART_RECOVERY,
	  rs_postcopy_in_send_bitmap },
	{ "SWITCHOVER_START", RS_COMMAND_SWITCHOVER_START, 0, IN_QEMU, RS_PART_WHOLE,
	  begin_switchover },
	{ "OFFER", RS_COMMAND_OFFER, ANY_LENGTH, 0, 0, NULL },
	{ "CHECK", RS_COMMAND_CHECK, 0, IN_NATIVE, RS_PART_WHOLE | RS_PART_PACKAGE, hand_over },
	{ "COMMIT", RS_COMMAND_COMMIT, 0, IN_NATIVE, RS_PART_PAGES, rs_postcopy_in_commit },
	{ "RESOLVE", RS_COMMAND_RESOLVE, ANY_LENGTH, 0, 0, NULL },
	{ "RECOVER", RS_COMMAND_RECOVER, ANY_LENGTH, 0, 0, NULL },
	{ "CHANNEL", RS_COMMAND_CHANNEL, ANY_LENGTH, 0, 0, NULL },
};

static const struct command *find_command(unsigned number)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (commands[i].number == number)
			return &commands[i];
	return NULL;
}

static int check(struct rs_incoming *in, const struct command *command, unsigned number,
		 unsigned bytes)
{
	bool native = in->migration->native;

	if (command == NULL)
		return rs_session_fail(in->state, -EOPNOTSUPP, "command %u (0x%x) is unknown",
				       number, number);
	if ((command->forms & (native ? IN_NATIVE : IN_QEMU)) == 0 ||
	    (command->number == RS_COMMAND_CHECK && !in->migration->two_way))
		return rs_session_fail(in->state, -EOPNOTSUPP,
				       "command %u (%s) is not supported here", number,
				       command->name);
	if ((command->parts & in->part) == 0)
		return rs_session_fail(in->state, -EPROTO, "%s is out of place here",
				       command->name);
	if (command->bytes != ANY_LENGTH && (unsigned)command->bytes != bytes)
		return rs_session_fail(in->state, -EINVAL, "%s with %u bytes instead of %d",
				       command->name, bytes, command->bytes);
	return 0;
}

int rs_incoming_command(struct rs_incoming *in)
{
	struct rs_message message;
	int result = rs_outer_get_message(in->state, in->stream, RS_COMMAND_MAX_BYTES, &message);

	if (result != 0)
		return result;
	const struct command *command = find_command(message.type);

	rs_migration_observe(
	    in->migration, (struct rs_observation){ .type = RS_OBSERVED_COMMAND,
						    .offset = in->record_at,
						    .stream_bytes = 5u + message.bytes,
						    .number = message.type,
						    .name = command != NULL ? command->name : "" });
	result = check(in, command, message.type, message.bytes);
	return result != 0 ? result : command->obey(in, &message);
}
