/* SPDX-License-Identifier: MIT */
#include "migrate/postcopy_switch.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "migrate/device_state.h"
#include "migrate/postcopy_channel.h"
#include "migrate/postcopy_out.h"
#include "migrate/return_path.h"
#include "save/postcopy_save.h"
#include "transport/stream.h"

#include <stdlib.h>

/* What a PING carries; QEMU sends these at these places, and a reader may show them. */
enum ping {
	PING_SETUP = 1,
	PING_DISCARDED,
	PING_LOADED,
	PING_PACKAGED,
	PING_ARRIVED,
};

static void put_ping(struct rs_stream *stream, enum ping number)
{
	uint8_t payload[4];

	rs_put_be32(payload, number);
	rs_outer_put_command(stream, RS_COMMAND_PING, payload, sizeof(payload));
}

/* ---- before -------------------------------------------------------------------------------- */

static uint64_t host_page_sizes(struct rs_state *state)
{
	struct rs_region *region;
	uint64_t sizes = 0;

	rs_region_for_each (state, region)
		sizes |= region->host_page_bytes;
	return sizes;
}

static void put_advice(struct rs_outgoing *out)
{
	const struct rs_postcopy_advice advice = { host_page_sizes(out->state),
						   out->state->page_bytes };
	uint8_t payload[RS_POSTCOPY_ADVICE_BYTES];

	if (!out->migration->native) {
		rs_outer_put_command(out->stream, RS_COMMAND_OPEN_RETURN_PATH, NULL, 0);
		put_ping(out->stream, PING_SETUP);
	}
	rs_postcopy_advice_write(payload, &advice);
	rs_outer_put_command(out->stream, RS_COMMAND_POSTCOPY_ADVISE, payload, sizeof(payload));
}

int rs_postcopy_out_advise(struct rs_outgoing *out)
{
	struct rs_migration *migration = out->migration;

	if (!rs_migration_may_postcopy(migration))
		return 0;
	if (!(rs_stream_flags(out->stream) & RS_STREAM_READ))
		return rs_session_fail(
		    out->state, -EINVAL,
		    "postcopy needs the destination's answers, and the stream is "
		    "one-way");
	int result = rs_ram_save_check_postcopy(out->state);

	if (result != 0)
		return result;
	out->return_path = calloc(1, sizeof(*out->return_path));
	if (out->return_path == NULL || rs_return_path_init(out->return_path, out->state) != 0)
		return rs_session_fail(out->state, -ENOMEM, "no memory to hear the destination");
	rs_return_path_reset(out->return_path, out->stream);
	put_advice(out);
	if (rs_migration_preempts(migration) && rs_postcopy_wants_channel_at_once(migration))
		return rs_postcopy_open_channel(out);
	return 0;
}

bool rs_postcopy_out_is_wanted(const struct rs_outgoing *out)
{
	return atomic_load_explicit(&out->migration->postcopy_wanted, memory_order_relaxed);
}

/* ---- while the guest still runs ------------------------------------------------------------ */

static void emit_discard(void *opaque, const struct rs_region *region,
			 const struct rs_byte_range *ranges, size_t count)
{
	struct rs_outgoing *out = opaque;
	uint8_t payload[RS_DISCARD_MAX_BYTES];

	rs_outer_put_command(out->stream, RS_COMMAND_POSTCOPY_RAM_DISCARD, payload,
			     rs_discard_write(payload, region->name, ranges, count));
}

static int ping_and_hear(struct rs_outgoing *out, enum ping number)
{
	put_ping(out->stream, number);
	int result = rs_migration_flush(out->migration);

	return result != 0 ? result : rs_return_path_hear(out->return_path, RS_HEARD_PONG);
}

int rs_postcopy_prepare_switch(struct rs_outgoing *out)
{
	struct rs_migration *migration = out->migration;
	int result = 0;

	rs_return_path_expect(out->return_path, RS_HEARD_PONG);
	if (!migration->native)
		result = rs_return_path_hear(out->return_path, RS_HEARD_PONG);
	if (result == 0 && rs_migration_preempts(migration) &&
	    !rs_postcopy_wants_channel_at_once(migration))
		result = rs_postcopy_open_channel(out);
	if (result == 0)
		result = rs_ram_save_discard(out->state, false, emit_discard, out);
	rs_migration_tell_passes(migration);
	return result != 0 ? result : ping_and_hear(out, PING_ARRIVED);
}

/* ---- the package --------------------------------------------------------------------------- */

static int fill_package(struct rs_outgoing *out, struct rs_stream *package)
{
	struct rs_migration *migration = out->migration;
	char *description;

	rs_outer_put_command(package, RS_COMMAND_POSTCOPY_LISTEN, NULL, 0);
	uint64_t since = rs_clock_ns();
	int result = rs_device_state_save(migration, package, &description);

	rs_counter_set(out->state->counters.device_ns, rs_clock_ns() - since);
	free(description);
	if (result != 0)
		return result;
	if (migration->native) {
		rs_outer_put_command(package, RS_COMMAND_CHECK, NULL, 0);
	} else {
		put_ping(package, PING_LOADED);
		rs_outer_put_command(package, RS_COMMAND_POSTCOPY_RUN, NULL, 0);
	}
	return rs_session_check_stream(out->state, package);
}

static int put_package(struct rs_outgoing *out)
{
	struct rs_stream *package;
	const void *data;
	uint8_t size[4];

	if (rs_stream_to_memory(UINT32_MAX, &package) != 0)
		return rs_session_fail(out->state, -ENOMEM, "no memory for the device state");
	int result = fill_package(out, package);
	ssize_t bytes = result == 0 ? rs_stream_memory(package, &data) : 0;

	if (bytes < 0)
		result = rs_session_check_stream(out->state, package);
	if (result == 0) {
		rs_put_be32(size, (uint32_t)bytes);
		rs_outer_put_command(out->stream, RS_COMMAND_PACKAGED, size, sizeof(size));
		rs_stream_put_bytes(out->stream, data, (size_t)bytes);
	}
	rs_stream_close(package, NULL);
	return result;
}

/* ---- handing over -------------------------------------------------------------------------- */

/* Serve what the destination needs to load its devices, until it has said that. */
static int serve_until(struct rs_outgoing *out, enum rs_heard what)
{
	for (;;) {
		int result = rs_session_code(out->state);
		if (result != 0 || rs_return_path_has_heard(out->return_path, what))
			return result;
		result = rs_ram_save_wait(out->state, out->stream, false);
		if (result != 0)
			return result;
		rs_outgoing_put_body(out, RS_OUTER_SECTION_PART, rs_ram_save_serve);
	}
}

static int commit(struct rs_outgoing *out)
{
	return rs_migration_commit(out->migration) ? 0 : rs_session_code(out->state);
}

/* Native: the guest stays ours until the destination has said that it can run it. */
static int hand_over_native(struct rs_outgoing *out)
{
	rs_return_path_expect(out->return_path, RS_HEARD_READY | RS_HEARD_REQUESTS);
	int result = rs_migration_flush(out->migration);

	if (result == 0)
		result = serve_until(out, RS_HEARD_READY);
	if (result == 0)
		result = commit(out);
	if (result != 0)
		return result;
	rs_return_path_expect(out->return_path, RS_HEARD_RUNNING);
	rs_outer_put_command(out->stream, RS_COMMAND_COMMIT, NULL, 0);
	return rs_migration_flush(out->migration);
}

/* QEMU's: once the package is on its way nobody knows whether the guest runs there. */
static int hand_over_qemu(struct rs_outgoing *out)
{
	int result = commit(out);

	if (result != 0)
		return result;
	rs_return_path_expect(out->return_path, RS_HEARD_REQUESTS);
	put_ping(out->stream, PING_PACKAGED);
	result = rs_migration_flush(out->migration);
	rs_counter_set(out->state->counters.downtime_end_ns, rs_clock_ns());
	rs_stream_read_patiently(out->stream);
	return result;
}

int rs_postcopy_switch_over(struct rs_outgoing *out)
{
	uint64_t since;
	int result = rs_ram_save_discard(out->state, true, emit_discard, out);

	if (result != 0)
		return result;
	rs_migration_tell_passes(out->migration);
	if (!out->migration->native)
		put_ping(out->stream, PING_DISCARDED);
	result = put_package(out);
	if (result != 0)
		return result;
	rs_ram_save_begin_postcopy(out->state);
	rs_postcopy_use_channel(out);
	result = rs_return_path_start(out->return_path);
	if (result != 0)
		return result;
	since = rs_clock_ns();
	result = out->migration->native ? hand_over_native(out) : hand_over_qemu(out);
	rs_counter_set(out->state->counters.handover_ns, rs_clock_ns() - since);
	return result;
}
