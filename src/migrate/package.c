/* SPDX-License-Identifier: MIT */
#include "migrate/package.h"

#include "base/bytes.h"
#include "migrate/device_state.h"
#include "transport/stream.h"

#include <stdlib.h>
#include <string.h>

/* Of LISTEN, RUN and a PING, with the record's first byte. */
#define BARE_COMMAND_BYTES 5u
#define PING_BYTES 9u

static bool is_command(const uint8_t *at, unsigned command, unsigned payload_bytes)
{
	return at[0] == RS_OUTER_COMMAND && rs_get_be16(at + 1) == command &&
	       rs_get_be16(at + 3) == payload_bytes;
}

/*
 * Device state that nobody here understands ends where the commands behind it begin, which are found from the
 * end: RUN, and before it one PING or two. Returns where, or bytes if it does not end so.
 */
static size_t end_of_devices(const uint8_t *data, size_t bytes)
{
	size_t end = bytes;

	if (end < 2 * BARE_COMMAND_BYTES ||
	    !is_command(data + end - BARE_COMMAND_BYTES, RS_COMMAND_POSTCOPY_RUN, 0))
		return bytes;
	end -= BARE_COMMAND_BYTES;
	for (unsigned pings = 0; pings < 2; pings++)
		if (end >= BARE_COMMAND_BYTES + PING_BYTES &&
		    is_command(data + end - PING_BYTES, RS_COMMAND_PING, 4))
			end -= PING_BYTES;
	return end;
}

/* One command, as is_command() found it, and no more. */
static int get_command(struct rs_incoming *in)
{
	in->record_at = in->offset;
	rs_stream_skip(in->stream, 1);
	return rs_incoming_command(in);
}

static int run(struct rs_incoming *in, const uint8_t *data, size_t bytes, uint64_t start,
	       int (*get)(struct rs_incoming *in))
{
	struct rs_incoming package = *in;

	if (bytes == 0)
		return 0;
	if (rs_stream_from_memory(data, bytes, &package.stream) != 0)
		return rs_session_fail(in->state, -ENOMEM, "no memory for the package");
	package.part = RS_PART_PACKAGE;
	package.offset = start;
	package.ended = false;
	int result = get(&package);

	in->devices |= package.devices;
	rs_stream_close(package.stream, NULL);
	return result;
}

/* As a stream's tail, so that whoever keeps it can put it at the end of one. */
static int hand_devices_over(struct rs_incoming *in, const uint8_t *data, size_t bytes)
{
	struct rs_migration *migration = in->migration;
	const uint8_t end_mark = RS_OUTER_EOF;
	int result = 0;

	in->devices |= bytes > 0;
	if (bytes > 0)
		result = migration->vm.load_opaque(migration->opaque, data, bytes);
	if (result >= 0)
		result = migration->vm.load_opaque(migration->opaque, &end_mark, 1);
	return result < 0
		   ? rs_session_fail(in->state, result, "the VMM failed to take device state")
		   : 0;
}

static int run_opaque(struct rs_incoming *in, const uint8_t *data, size_t bytes, uint64_t start)
{
	size_t end = end_of_devices(data, bytes);

	if (end == bytes || !is_command(data, RS_COMMAND_POSTCOPY_LISTEN, 0))
		return rs_incoming_fail(in, "the package does not begin with LISTEN and end with "
					    "RUN, so nothing tells its device state apart");
	int result = run(in, data, BARE_COMMAND_BYTES, start, get_command);

	rs_migration_observe(in->migration,
			     (struct rs_observation){ .type = RS_OBSERVED_OPAQUE,
						      .offset = start + BARE_COMMAND_BYTES });
	if (result == 0)
		result = hand_devices_over(in, data + BARE_COMMAND_BYTES, end - BARE_COMMAND_BYTES);
	return result != 0 ? result
			   : run(in, data + end, bytes - end, start + end, rs_incoming_get_records);
}

int rs_package_load(struct rs_incoming *in, uint32_t bytes)
{
	uint64_t start = rs_stream_bytes_read(in->stream);
	uint8_t *data;
	int result =
	    rs_device_state_get_bytes(in->migration, in->stream, "the package", bytes, &data);

	if (result == 0)
		result = in->migration->vm.load_opaque != NULL && !in->migration->native
			     ? run_opaque(in, data, bytes, start)
			     : run(in, data, bytes, start, rs_incoming_get_records);
	free(data);
	return result;
}
