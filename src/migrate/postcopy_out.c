/* SPDX-License-Identifier: MIT */
#include "migrate/postcopy_out.h"

#include "base/clock.h"
#include "base/thread.h"
#include "migrate/handshake.h"
#include "migrate/postcopy_channel.h"
#include "migrate/postcopy_switch.h"
#include "migrate/recovery.h"
#include "migrate/return_path.h"
#include "save/postcopy_save.h"
#include "transport/stream.h"

static uint64_t stall_timeout_ms(const struct rs_outgoing *out)
{
	return rs_params_number(&out->state->params, RS_PARAM_STALL_TIMEOUT);
}

/* ---- pages --------------------------------------------------------------------------------- */

static int end_pages(struct rs_outgoing *out)
{
	rs_return_path_expect(out->return_path, RS_HEARD_SHUT);
	int result = rs_outgoing_put_body(out, RS_OUTER_SECTION_END, rs_ram_save_complete);

	if (result < 0)
		return result;
	rs_postcopy_end_channel(out);
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

	/* A page that is on its way when somebody comes to wait for it is not asked for again. */
	rs_stream_queue_little(out->stream);
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
	rs_return_path_expect(out->return_path, RS_HEARD_BITMAP);
	int result = rs_migration_flush(out->migration);

	return result != 0 ? result : rs_return_path_hear(out->return_path, RS_HEARD_BITMAP);
}

static int ask_for_bitmaps(struct rs_outgoing *out)
{
	struct rs_region *region;

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
	bool at_once = rs_postcopy_wants_channel_at_once(migration);
	/* Where it is wanted at once, nothing is read before it is there. */
	int result = preempts && at_once ? rs_postcopy_open_channel(out) : 0;

	if (result == 0)
		result = ask_for_bitmaps(out);
	if (result != 0)
		return result;
	rs_ram_save_resume(out->state);
	if (preempts && !at_once)
		result = rs_postcopy_open_channel(out);
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
	rs_postcopy_use_channel(out);
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

/*
 * The destination took the guest, and could not run it after all: it is ours again. Only the destination
 * knows: who says that before it has agreed to go on may be another one, while the guest runs where it belongs.
 */
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
	bool agreed = true;

	while (result < 0) {
		if (agreed && was_refused(out)) {
			out->went_by_postcopy = false;
			return result;
		}
		result = wait_for_connection(out);
		if (result != 0)
			return result;
		result = resume(out);
		agreed = result == 0;
		if (agreed)
			result = send_pages(out);
	}
	return result;
}

int rs_postcopy_out_run(struct rs_outgoing *out)
{
	int result = rs_postcopy_prepare_switch(out);

	if (result == 0)
		result = rs_outgoing_stop_vm(out);
	if (result == 0)
		result = rs_postcopy_switch_over(out);
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
