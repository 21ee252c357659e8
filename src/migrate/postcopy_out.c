/* SPDX-License-Identifier: MIT */
#include "migrate/postcopy_out.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/thread.h"
#include "migrate/device_state.h"
#include "migrate/handshake.h"
#include "migrate/recovery.h"
#include "migrate/return_path.h"
#include "save/postcopy_save.h"
#include "transport/stream.h"
#include "wire/ram_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static uint64_t stall_timeout_ms(const struct rs_outgoing *out)
{
	return rs_params_number(&out->state->params, RS_PARAM_STALL_TIMEOUT);
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

/*
 * A QEMU of 7.1 or 7.2, and later ones with such a machine, wait for the channel before they begin, and for its
 * end mark at the end; later machines take it when postcopy begins, and have no mark.
 */
static bool wants_channel_at_once(const struct rs_migration *migration)
{
	const char *dash = strrchr(migration->state->params.machine, '-');
	unsigned major, minor;

	if (migration->native || dash == NULL || sscanf(dash + 1, "%u.%u", &major, &minor) != 2)
		return false;
	return major < 7 || (major == 7 && minor <= 2);
}

/* Who is at the other end of a channel must be told which migration it belongs to. */
static int open_channel(struct rs_outgoing *out)
{
	struct rs_migration *migration = out->migration;

	/* It is closed with what a recovery brings, if there is nothing else to close it. */
	if (migration->opening == NULL)
		migration->opening = &migration->recovered;
	struct rs_opening *opening = migration->opening;
	int result = rs_opening_open_channel(opening, migration);

	if (result != 0)
		return result;
	if (migration->native) {
		rs_handshake_put_header(migration, opening->channel, RS_NATIVE_MACHINE);
		rs_outer_put_command(opening->channel, RS_COMMAND_CHANNEL,
				     migration->features.session, RS_SESSION_BYTES);
		rs_stream_flush(opening->channel);
	}
	return rs_session_check_stream(out->state, opening->channel);
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
	if (rs_migration_preempts(migration) && wants_channel_at_once(migration))
		return open_channel(out);
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

/*
 * All that takes time is done while the guest runs: the channel is opened, and what is dirty already is
 * discarded, for it goes after the switch in any case.
 */
static int prepare(struct rs_outgoing *out)
{
	struct rs_migration *migration = out->migration;
	int result = 0;

	rs_return_path_expect(out->return_path, RS_HEARD_PONG);
	if (!migration->native)
		result = rs_return_path_hear(out->return_path, RS_HEARD_PONG);
	if (result == 0 && rs_migration_preempts(migration) && !wants_channel_at_once(migration))
		result = open_channel(out);
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

static void use_channel(struct rs_outgoing *out)
{
	const struct rs_opening *opening = out->migration->opening;

	if (opening != NULL && opening->channel != NULL)
		rs_ram_save_set_urgent_stream(out->state, opening->channel);
}

/* The guest is stopped: what it needs to run goes, and the guest with it. */
static int switch_over(struct rs_outgoing *out)
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
	use_channel(out);
	result = rs_return_path_start(out->return_path);
	if (result != 0)
		return result;
	since = rs_clock_ns();
	result = out->migration->native ? hand_over_native(out) : hand_over_qemu(out);
	rs_counter_set(out->state->counters.handover_ns, rs_clock_ns() - since);
	return result;
}

/* ---- pages --------------------------------------------------------------------------------- */

/* All was sent, so nobody else writes to it any more. */
static void end_channel(struct rs_outgoing *out)
{
	const struct rs_opening *opening = out->migration->opening;

	if (opening == NULL || opening->channel == NULL || !wants_channel_at_once(out->migration))
		return;
	rs_stream_put_be64(opening->channel, RS_FLAG_EOS);
	rs_stream_flush(opening->channel);
}

static int end_pages(struct rs_outgoing *out)
{
	rs_return_path_expect(out->return_path, RS_HEARD_SHUT);
	int result = rs_outgoing_put_body(out, RS_OUTER_SECTION_END, rs_ram_save_complete);

	if (result < 0)
		return result;
	end_channel(out);
	rs_stream_put_u8(out->stream, RS_OUTER_EOF);
	if (result == 0)
		result = rs_migration_flush(out->migration);
	return result != 0
		   ? result
		   : rs_return_path_wait(out->return_path, RS_HEARD_SHUT, stall_timeout_ms(out));
}

static int send_pages(struct rs_outgoing *out)
{
	int result;

	rs_migration_set_status(out->migration, RS_STATUS_POSTCOPY_ACTIVE);
	uint64_t slice = rs_thread_set_slice(RS_SLICE_PATIENT_NS);

	do {
		result = rs_outgoing_put_body(out, RS_OUTER_SECTION_PART, rs_ram_save_iterate);
		if (result == 0)
			result = rs_ram_save_wait(out->state, out->stream, true);
		if (result == 0)
			result = rs_session_code(out->state);
		rs_outgoing_look_at_window(out);
	} while (result == 0);
	result = result < 0 ? result : end_pages(out);
	rs_thread_set_slice(slice);
	return result;
}

/* ---- after a break ------------------------------------------------------------------------- */

static int ask_for_bitmap(struct rs_outgoing *out, struct rs_region *region)
{
	uint8_t name[RS_BITMAP_NAME_MAX_BYTES];

	rs_outer_put_command(out->stream, RS_COMMAND_RECV_BITMAP, name,
			     rs_bitmap_name_write(name, region->name));
	out->return_path->bitmap_of = region;
	int result = rs_migration_flush(out->migration);

	return result != 0 ? result : rs_return_path_hear(out->return_path, RS_HEARD_BITMAP);
}

static int ask_for_bitmaps(struct rs_outgoing *out)
{
	struct rs_region *region;

	rs_return_path_expect(out->return_path, RS_HEARD_BITMAP);
	rs_region_for_each (out->state, region) {
		if (ask_for_bitmap(out, region) == 0)
			continue;
		rs_region_unpin(region);
		break;
	}
	return rs_session_code(out->state);
}

/* Agree on what is left, and go on. */
static int resume(struct rs_outgoing *out)
{
	struct rs_migration *migration = out->migration;

	if (migration->native) {
		rs_handshake_put_header(migration, out->stream, RS_NATIVE_MACHINE);
		rs_outer_put_command(out->stream, RS_COMMAND_RECOVER, migration->features.session,
				     RS_SESSION_BYTES);
	}
	bool preempts = rs_migration_preempts(migration);
	bool at_once = wants_channel_at_once(migration);
	/* Where it is wanted at once, nothing is read before it is there. */
	int result = preempts && at_once ? open_channel(out) : 0;

	if (result == 0)
		result = ask_for_bitmaps(out);
	if (result != 0)
		return result;
	rs_ram_save_resume(out->state);
	if (preempts && !at_once)
		result = open_channel(out);
	if (result != 0)
		return result;
	rs_return_path_expect(out->return_path, RS_HEARD_RESUME_ACK | RS_HEARD_REQUESTS |
						    RS_HEARD_RUNNING | RS_HEARD_PONG);
	rs_outer_put_command(out->stream, RS_COMMAND_POSTCOPY_RESUME, NULL, 0);
	result = rs_migration_flush(migration);
	if (result == 0)
		result = rs_return_path_hear(out->return_path, RS_HEARD_RESUME_ACK);
	if (result != 0)
		return result;
	use_channel(out);
	rs_stream_read_patiently(out->stream);
	return rs_return_path_start(out->return_path);
}

/* Nothing more is heard or said over the connection. */
static void hang_up(struct rs_outgoing *out)
{
	const struct rs_opening *opening = out->migration->opening;

	/* After SHUT there is nothing to wake. */
	if (out->stream != NULL && !rs_return_path_has_heard(out->return_path, RS_HEARD_SHUT))
		rs_stream_hang_up(out->stream);
	if (opening != NULL && opening->channel != NULL)
		rs_stream_hang_up(opening->channel);
	rs_return_path_stop(out->return_path);
	rs_ram_save_set_urgent_stream(out->state, NULL);
}

/* 0: there is a new one; else there is no going on, see rs_recovery_wait(). */
static int wait_for_connection(struct rs_outgoing *out)
{
	hang_up(out);
	out->broken_bytes = rs_outgoing_wire_bytes(out);
	int result = rs_recovery_wait(out->migration);

	out->stream = out->migration->stream;
	if (result != 0)
		return result;
	out->start_bytes = rs_stream_bytes_written(out->stream);
	rs_return_path_reset(out->return_path, out->stream);
	/* A window that had a break in it says nothing. */
	rs_window_start(&out->window, rs_clock_ns(), out->start_bytes,
			rs_counter_get(out->state->counters.handled));
	return 0;
}

/* ---- all of it ----------------------------------------------------------------------------- */

/* The destination took the guest, and could not run it after all: it is ours again. */
static bool was_refused(struct rs_outgoing *out)
{
	return out->migration->native &&
	       rs_return_path_has_heard(out->return_path, RS_HEARD_FAILED) &&
	       rs_counter_get(out->state->counters.downtime_end_ns) == 0;
}

/* The guest is the destination's. Until all is there, or there is no going on. */
static int finish(struct rs_outgoing *out)
{
	int result = send_pages(out);

	while (result < 0) {
		if (was_refused(out)) {
			out->went_by_postcopy = false;
			return result;
		}
		result = wait_for_connection(out);
		if (result != 0)
			return result;
		result = resume(out);
		if (result == 0)
			result = send_pages(out);
	}
	return result;
}

int rs_postcopy_out_run(struct rs_outgoing *out)
{
	int result = prepare(out);

	if (result == 0)
		result = rs_outgoing_stop_vm(out);
	if (result == 0)
		result = switch_over(out);
	out->went_by_postcopy = out->migration->committed;
	/* What breaks once the guest was handed over is mended. */
	if (result == 0 || out->went_by_postcopy)
		result = finish(out);
	hang_up(out);
	if (result <= 0 || out->migration->decree == RS_RESOLVE_DISCARD)
		return result;
	out->went_by_postcopy = false;
	return rs_session_fail(out->state, -ECANCELED,
			       "postcopy was given up, and the guest runs here");
}

int rs_postcopy_out_hear_shut(struct rs_outgoing *out)
{
	struct rs_return_path *path = out->return_path;

	rs_return_path_expect(path, RS_HEARD_PONG | RS_HEARD_SHUT);
	if (rs_return_path_hear(path, RS_HEARD_SHUT) == 0)
		return 0;
	return rs_return_path_has_heard(path, RS_HEARD_FAILED) ? rs_session_code(out->state)
							       : RS_ERROR_IN_DOUBT;
}
