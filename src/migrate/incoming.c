/* SPDX-License-Identifier: MIT */
/* The destination's side of a whole migration: the records of the outer stream, one by one. */
#include "base/bytes.h"
#include "base/clock.h"
#include "load/load.h"
#include "migrate/device_state.h"
#include "migrate/handover.h"
#include "migrate/handshake.h"
#include "transport/stream.h"

#include <string.h>

/* How far the "ram" section has come. */
enum ram_progress {
	RAM_AWAITED,
	RAM_STARTED,
	RAM_ENDED,
};

struct incoming {
	struct rs_migration *migration;
	struct rs_state *state;
	struct rs_stream *stream;
	struct rs_section ram;
	enum ram_progress progress;
	bool devices;     /* a device section has come */
	bool return_path; /* QEMU's form: the source opened one */
	bool handed_over;
	uint64_t start_bytes; /* that others had got from the stream */
};

static int fail(struct incoming *in, const char *what)
{
	return rs_session_fail(in->state, -EINVAL, "%s", what);
}

/* ---- sections ------------------------------------------------------------------------------ */

static int load_ram(struct incoming *in, const struct rs_section *section)
{
	int result = rs_ram_load(in->state, in->stream, in->ram.version);

	return result != 0 ? result : rs_outer_get_footer(in->migration, section);
}

static int start_ram(struct incoming *in, const struct rs_section *section)
{
	if (in->progress != RAM_AWAITED)
		return fail(in, "section ram starts twice");
	if (section->instance != 0)
		return rs_session_fail(in->state, -EINVAL, "section ram: instance %u instead of 0",
				       section->instance);
	in->ram = *section;
	in->progress = RAM_STARTED;
	return load_ram(in, section);
}

static int get_start(struct incoming *in, enum rs_outer_record record)
{
	struct rs_section section;
	int result = rs_outer_get_section(in->migration, record, &section);

	if (result != 0)
		return result;
	if (record == RS_OUTER_SECTION_START) {
		if (strcmp(section.name, RS_RAM_SECTION_NAME) == 0)
			return start_ram(in, &section);
		return rs_session_fail(in->state, -EOPNOTSUPP,
				       "section %s comes in several parts, which only ram may here",
				       section.name);
	}
	if (strcmp(section.name, RS_RAM_SECTION_NAME) == 0)
		return fail(in, "section ram comes in one piece");
	if (in->progress == RAM_AWAITED && !in->migration->native)
		return rs_session_fail(in->state, -EOPNOTSUPP,
				       "device section %s comes before RAM, and only its device "
				       "could say where it ends",
				       section.name);
	in->devices = true;
	result = rs_device_state_load(in->migration, &section);
	return result != 0 ? result : rs_outer_get_footer(in->migration, &section);
}

static int get_part(struct incoming *in, enum rs_outer_record record)
{
	struct rs_section section;
	int result = rs_outer_get_section(in->migration, record, &section);

	if (result != 0)
		return result;
	if (in->progress != RAM_STARTED || section.id != in->ram.id)
		return rs_session_fail(in->state, -EINVAL,
				       "a part of section %u, which is not open", section.id);
	if (record == RS_OUTER_SECTION_END)
		in->progress = RAM_ENDED;
	return load_ram(in, &in->ram);
}

/* ---- commands ------------------------------------------------------------------------------ */

static int answer_ping(struct incoming *in, const struct rs_message *message)
{
	if (message->bytes != 4)
		return fail(in, "PING without its 4 bytes");
	if (!in->return_path)
		return fail(in, "PING without a return path");
	rs_outer_put_return(in->stream, RS_RETURN_PONG, message->payload, 4);
	rs_stream_flush(in->stream);
	return rs_migration_fail_stream(in->migration);
}

static int open_return_path(struct incoming *in, const struct rs_message *message)
{
	if (message->bytes != 0)
		return fail(in, "OPEN_RETURN_PATH with a payload");
	if (!(rs_stream_flags(in->stream) & RS_STREAM_WRITE))
		return fail(in, "the source opens a return path, and the stream is one-way here");
	in->return_path = true;
	return 0;
}

/* All must be there before READY is said. */
static int check_complete(struct incoming *in)
{
	if (in->progress == RAM_ENDED)
		return 0;
	if (in->progress == RAM_AWAITED)
		return fail(in, "the stream holds no RAM");
	/* A background snapshot of QEMU's has no end of RAM: all its pages went out before. */
	if (in->devices && !in->migration->native) {
		rs_migration_warn(in->migration,
				  "the end of RAM is missing, as in a background snapshot");
		return 0;
	}
	return fail(in, "the end of RAM is missing");
}

static int hand_over(struct incoming *in, const struct rs_message *message)
{
	int result = check_complete(in);

	if (message->bytes != 0)
		return fail(in, "CHECK with a payload");
	if (result != 0)
		return result;
	rs_session_ignore_regions(in->state);
	if (!rs_migration_commit(in->migration))
		return rs_session_code(in->state);
	in->handed_over = true;
	return rs_handover_in(in->migration);
}

static int get_command(struct incoming *in)
{
	struct rs_message message;
	int result = rs_outer_get_message(in->migration, RS_COMMAND_MAX_BYTES, &message);

	if (result != 0)
		return result;
	if (in->migration->native && in->migration->two_way && message.type == RS_COMMAND_CHECK)
		return hand_over(in, &message);
	if (!in->migration->native && message.type == RS_COMMAND_OPEN_RETURN_PATH)
		return open_return_path(in, &message);
	if (!in->migration->native && message.type == RS_COMMAND_PING)
		return answer_ping(in, &message);
	if (!in->migration->native && message.type == RS_COMMAND_SWITCHOVER_START)
		return message.bytes == 0 ? 0 : fail(in, "SWITCHOVER_START with a payload");
	return rs_session_fail(in->state, -EOPNOTSUPP,
			       "command %u (0x%x) is unknown, or not supported here", message.type,
			       message.type);
}

/* ---- the whole stream ---------------------------------------------------------------------- */

/* Read up to the hand-over (native, two-way) or the end mark. */
static int get_records(struct incoming *in)
{
	for (;;) {
		uint8_t record = rs_stream_get_u8(in->stream);
		int result = rs_migration_fail_stream(in->migration);

		if (result != 0)
			return result;
		switch (record) {
		case RS_OUTER_EOF:
			return 0;
		case RS_OUTER_SECTION_START:
		case RS_OUTER_SECTION_FULL:
			result = get_start(in, (enum rs_outer_record)record);
			break;
		case RS_OUTER_SECTION_PART:
		case RS_OUTER_SECTION_END:
			result = get_part(in, (enum rs_outer_record)record);
			break;
		case RS_OUTER_COMMAND:
			result = get_command(in);
			break;
		default:
			result = rs_session_fail(in->state, -EINVAL,
						 "0x%02x begins no record of a stream", record);
		}
		rs_counter_set(in->state->counters.wire_bytes,
			       rs_stream_bytes_read(in->stream) - in->start_bytes);
		if (result != 0 || in->handed_over)
			return result;
		if (rs_session_code(in->state) != 0)
			return rs_session_code(in->state);
	}
}

/* The last word on a return path of QEMU's: whether all went well. */
static void send_shut(struct incoming *in, uint32_t value)
{
	uint8_t payload[4];

	if (!in->return_path)
		return;
	rs_put_be32(payload, value);
	rs_outer_put_return(in->stream, RS_RETURN_SHUT, payload, sizeof(payload));
	rs_stream_flush(in->stream);
}

/* QEMU's description of the devices, behind the end mark. Nothing here needs it. */
static void skip_description(struct incoming *in)
{
	const uint8_t *data;

	if (rs_stream_peek(in->stream, &data, 5) == 5 && data[0] == RS_OUTER_VMDESCRIPTION) {
		uint32_t bytes = rs_get_be32(data + 1);

		rs_stream_skip(in->stream, 5ull + bytes);
	}
}

/* Nobody is asked: the guest is ours because the stream is whole. */
static int run_without_asking(struct incoming *in)
{
	struct rs_migration *migration = in->migration;
	int result = check_complete(in);

	if (result != 0)
		return result;
	if (migration->two_way)
		return fail(in, "the stream ends without a hand-over");
	if (in->return_path) {
		/*
		 * QEMU is the source, and waits for SHUT. One that comes while it is still writing
		 * makes it close the connection under its own feet, call that a failure, and run
		 * the guest. For the same reason what breaks off here has failed at both ends.
		 */
		skip_description(in);
		result = rs_migration_fail_stream(migration);
		if (result != 0)
			return result;
	}
	rs_session_ignore_regions(in->state);
	if (!rs_migration_commit(migration))
		return rs_session_code(in->state);
	result = migration->vm.resume(migration->opaque);
	if (result < 0)
		return rs_session_fail(in->state, result, "the VMM failed to resume the guest");
	send_shut(in, 0);
	/* Without a return path it may never come: the guest runs already. */
	if (!migration->native && !in->return_path)
		skip_description(in);
	return 0;
}

static int load_ops_announced(void *opaque, const char *name, uint64_t used_bytes)
{
	struct rs_migration *migration = opaque;

	return migration->vm.region_announced(migration->opaque, name, used_bytes);
}

static int load_ops_resized(void *opaque, struct rs_region *region, uint64_t used_bytes)
{
	struct rs_migration *migration = opaque;

	return migration->vm.region_resized(migration->opaque, region, used_bytes);
}

static int setup(struct incoming *in)
{
	struct rs_migration *migration = in->migration;
	const struct rs_load_ops ops = {
		.size = sizeof(ops),
		.region_announced =
		    migration->vm.region_announced != NULL ? load_ops_announced : NULL,
		.region_resized = migration->vm.region_resized != NULL ? load_ops_resized : NULL,
	};
	int result = rs_ram_load_setup(in->state, &ops, migration);

	if (result == 0)
		result = rs_handshake_in(migration);
	if (result == 0 && rs_migration_has(migration, RS_FEATURE_RUNS))
		rs_ram_load_allow_runs(in->state);
	rs_counter_set(in->state->counters.setup_end_ns, rs_clock_ns());
	return result;
}

static void give_up(struct incoming *in)
{
	if (!in->handed_over)
		rs_handover_tell_failure(in->migration);
	send_shut(in, 1);
	/* Nothing more is read, not even by a caller that has not noticed yet. */
	rs_stream_shutdown(in->stream);
}

int rs_migration_run_in(struct rs_migration *migration, struct rs_stream *stream)
{
	struct incoming in = { .migration = migration,
			       .state = migration->state,
			       .stream = stream,
			       .start_bytes = rs_stream_bytes_read(stream) };

	migration->stream = stream;
	rs_migration_tell_begin(migration);
	int result = setup(&in);

	if (result == 0) {
		rs_migration_set_status(migration, RS_STATUS_ACTIVE);
		result = get_records(&in);
	}
	if (result == 0 && !in.handed_over)
		result = run_without_asking(&in);
	rs_ram_load_cleanup(in.state);
	rs_counters_end(&in.state->counters, rs_stream_bytes_read(stream) - in.start_bytes);
	if (result != 0 && result != RS_ERROR_IN_DOUBT)
		give_up(&in);
	rs_migration_set_ended(migration, result);
	return result;
}
