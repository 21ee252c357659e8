/* SPDX-License-Identifier: MIT */
/* The source's side of a whole migration. */
#include "base/bytes.h"
#include "base/checked.h"
#include "base/clock.h"
#include "migrate/device_state.h"
#include "migrate/handover.h"
#include "migrate/handshake.h"
#include "migrate/postcopy_out.h"
#include "migrate/recovery.h"
#include "migrate/return_path.h"
#include "save/save.h"
#include "transport/stream.h"

#include <stdlib.h>
#include <string.h>

/* Bandwidth below which a window says nothing about the downtime to expect. */
#define QUIET_WINDOW_BYTES 10000u

static uint64_t downtime_limit_ms(const struct rs_outgoing *out)
{
	return rs_params_number(&out->state->params, RS_PARAM_DOWNTIME_LIMIT);
}

uint64_t rs_outgoing_wire_bytes(const struct rs_outgoing *out)
{
	if (out->stream == NULL)
		return out->broken_bytes;
	return out->broken_bytes + rs_stream_bytes_written(out->stream) - out->start_bytes;
}

int rs_outgoing_put_body(struct rs_outgoing *out, enum rs_outer_record record,
			 int (*handler)(struct rs_state *state, struct rs_stream *stream))
{
	rs_outer_put_section(out->stream, record, &out->ram);
	int result = handler(out->state, out->stream);

	rs_outer_put_footer(out->stream, out->ram.id);
	rs_counter_set(out->state->counters.wire_bytes, rs_outgoing_wire_bytes(out));
	return result;
}

static int setup_handler(struct rs_state *state, struct rs_stream *stream)
{
	return rs_ram_save_setup(state, stream,
				 rs_migration_has(state->migration, RS_FEATURE_RUNS));
}

static int setup(struct rs_outgoing *out)
{
	int result = rs_handshake_out(out->migration);

	if (result == 0)
		result = rs_postcopy_out_advise(out);
	if (result == 0)
		result = rs_outgoing_put_body(out, RS_OUTER_SECTION_START, setup_handler);
	rs_counter_set(out->state->counters.setup_end_ns, rs_clock_ns());
	rs_counter_set(out->state->counters.expected_downtime_ms, downtime_limit_ms(out));
	rs_window_start(&out->window, rs_clock_ns(), rs_stream_bytes_written(out->stream), 0);
	return result;
}

/* ---- while the guest runs ------------------------------------------------------------------ */

void rs_outgoing_look_at_window(struct rs_outgoing *out)
{
	struct rs_counters *counters = &out->state->counters;

	if (!rs_window_look(&out->window, rs_clock_ns(), rs_stream_bytes_written(out->stream),
			    rs_counter_get(counters->handled)))
		return;
	rs_counter_set(counters->bits_per_second, out->window.bytes_per_second * 8);
	rs_counter_set(counters->pages_per_second, out->window.pages_per_second);
	if (rs_counter_get(counters->dirty_pages_rate) > 0 &&
	    out->window.bytes > QUIET_WINDOW_BYTES)
		rs_counter_set(counters->expected_downtime_ms,
			       rs_window_ms_for(&out->window, out->left_at_sync));
}

/* Longest that a first pass whose rest fits the downtime limit goes on nevertheless. */
#define PATIENCE_MS 1000u

/*
 * QEMU's rule would stop the guest as soon as the rest fits the downtime limit: near the end of the
 * first pass, mostly, and with the whole limit spent on pages that have to go once in any case.
 * They can as well go while the guest runs, in about the time that the limit stands for. So the
 * pass is given twice that time, but no more: raising the limit still forces the switchover.
 */
static bool first_pass_goes_on(struct rs_outgoing *out, uint64_t left)
{
	uint64_t now = rs_clock_ns();

	if (left == 0 || !rs_ram_save_in_first_pass(out->state))
		return false;
	if (out->patience_ends_ns == 0)
		out->patience_ends_ns =
		    now + rs_min_u64(2 * downtime_limit_ms(out), PATIENCE_MS) * RS_NS_PER_MS;
	return now < out->patience_ends_ns;
}

/* 1: what is left fits the downtime limit, going by a sync made just now. 0: it does not. */
static int converged(struct rs_outgoing *out)
{
	uint64_t left, threshold = rs_window_threshold(&out->window, downtime_limit_ms(out));
	int result = rs_ram_save_pending(out->state, RS_PENDING_ESTIMATE, &left);

	if (result != 0 || left > threshold || first_pass_goes_on(out, left))
		return result;
	result = rs_ram_save_pending(out->state, RS_PENDING_EXACT, &left);
	rs_migration_tell_passes(out->migration);
	out->left_at_sync = left;
	return result != 0 ? result : left <= threshold;
}

/* Until what is left fits the downtime limit, or the guest is to be moved at once. */
static int iterate(struct rs_outgoing *out)
{
	while (!rs_postcopy_out_is_wanted(out)) {
		int result = converged(out);

		if (result != 0)
			return result < 0 ? result : 0;
		result = rs_outgoing_put_body(out, RS_OUTER_SECTION_PART, rs_ram_save_iterate);
		if (result < 0)
			return result;
		if (result == 0)
			rs_stream_rate_wait(out->stream);
		result = rs_migration_fail_stream(out->migration);
		if (result == 0)
			result = rs_session_code(out->state);
		if (result != 0)
			return result;
		rs_outgoing_look_at_window(out);
	}
	return 0;
}

/*
 * What is still under way would be waited for when the guest is stopped, and an idle guest's first pass
 * ends with the buffers full. So the destination first says that it has loaded all that was sent.
 * What gets dirty meanwhile is less, or the guest would not have been found to converge.
 */
int rs_outgoing_let_arrive(struct rs_outgoing *out)
{
	const uint8_t number[4] = { 0 };
	struct rs_message message;

	if (!out->migration->native || !out->migration->two_way)
		return 0;
	rs_outer_put_command(out->stream, RS_COMMAND_PING, number, sizeof(number));
	int result = rs_migration_flush(out->migration);

	return result != 0 ? result : rs_outer_get_answer(out->migration, RS_RETURN_PONG, &message);
}

/* ---- after it is stopped ------------------------------------------------------------------- */

int rs_outgoing_stop_vm(struct rs_outgoing *out)
{
	struct rs_migration *migration = out->migration;

	rs_migration_set_status(migration, RS_STATUS_DEVICE);
	rs_counter_set(out->state->counters.downtime_start_ns, rs_clock_ns());
	/* Even if it fails: what it began to stop has to run again. */
	migration->vm_stopped = true;
	int result = migration->vm.stop(migration->opaque);

	rs_counter_set(out->state->counters.stop_ns,
		       rs_clock_ns() - rs_counter_get(out->state->counters.downtime_start_ns));
	return result < 0 ? rs_session_fail(out->state, result, "the VMM failed to stop the guest")
			  : rs_session_code(out->state);
}

/* For whoever looks at the stream; a reader has what it needs without it. */
static void put_description(struct rs_outgoing *out, const char *description)
{
	if (description == NULL)
		return;
	rs_stream_put_u8(out->stream, RS_OUTER_VMDESCRIPTION);
	rs_stream_put_be32(out->stream, (uint32_t)strlen(description));
	rs_stream_put_bytes(out->stream, description, strlen(description));
	if (rs_stream_flush(out->stream) != 0)
		rs_migration_warn(out->migration, "the stream failed inside the description of the "
						  "devices, behind all that matters");
}

/*
 * Without anybody to answer, the end mark is the hand-over: once the stream has taken it the
 * guest is the reader's, whatever becomes of the bytes behind it.
 */
static int finish_one_way(struct rs_outgoing *out, const char *description)
{
	int result = rs_migration_flush(out->migration);

	if (result != 0)
		return result;
	if (!rs_migration_commit(out->migration))
		return rs_session_code(out->state);
	rs_stream_put_u8(out->stream, RS_OUTER_EOF);
	result = rs_migration_flush(out->migration);
	if (result != 0)
		return result;
	put_description(out, description);
	/* A QEMU whom postcopy was promised says whether it runs the guest. */
	return out->return_path != NULL ? rs_postcopy_out_hear_shut(out) : 0;
}

/* The pages that are left; the sync before them is counted by itself. */
static int send_last_ram(struct rs_outgoing *out)
{
	struct rs_counters *counters = &out->state->counters;
	uint64_t since = rs_clock_ns();
	int result = rs_outgoing_put_body(out, RS_OUTER_SECTION_END, rs_ram_save_complete);

	rs_counter_set(counters->last_ram_ns,
		       rs_clock_ns() - since - rs_counter_get(counters->final_sync_ns));
	return result;
}

static int hand_over(struct rs_outgoing *out, const char *description)
{
	struct rs_counters *counters = &out->state->counters;
	uint64_t since = rs_clock_ns();
	int result = out->migration->two_way ? rs_handover_out(out->migration)
					     : finish_one_way(out, description);
	uint64_t now = rs_clock_ns();

	rs_counter_set(counters->handover_ns, now - since);
	rs_counter_set(counters->downtime_end_ns, now);
	return result;
}

static int complete(struct rs_outgoing *out)
{
	char *description = NULL;
	int result = rs_outgoing_stop_vm(out);

	if (result == 0)
		result = send_last_ram(out);
	if (result != 0)
		return result;
	/* The regions' content is out; what the VMM does with them now is its own affair. */
	rs_session_ignore_regions(out->state);
	rs_migration_tell_passes(out->migration);
	uint64_t since = rs_clock_ns();

	result = rs_device_state_save(out->migration, out->stream, &description);
	rs_counter_set(out->state->counters.device_ns, rs_clock_ns() - since);
	if (result == 0)
		result = hand_over(out, description);
	free(description);
	return result;
}

/* ---- the end ------------------------------------------------------------------------------- */

/* A destination that gave up has said why; that is worth more than the broken pipe it left. */
static int hear_last_words(struct rs_outgoing *out, int result)
{
	uint8_t message[4 + RS_RETURN_MAX_BYTES];

	if (!out->migration->two_way || (result != -EPIPE && result != -ECONNRESET))
		return result;
	size_t bytes = rs_stream_last_words(out->stream, message, sizeof(message));

	if (bytes < 4 || rs_get_be16(message) != RS_RETURN_FAILED ||
	    rs_get_be16(message + 2) > bytes - 4)
		return result;
	return rs_session_explain(out->state, -EREMOTEIO, "the destination failed: %.*s",
				  rs_get_be16(message + 2), (const char *)message + 4);
}

/* The guest becomes the source's again; at once, before anything is cleaned up. */
static void take_back(struct rs_migration *migration)
{
	struct rs_counters *counters = &migration->state->counters;

	/* Nothing more is written, not even by a caller that has not noticed yet. */
	if (migration->stream != NULL)
		rs_stream_shutdown(migration->stream);
	if (rs_migration_resume_vm(migration) < 0)
		rs_migration_warn(migration,
				  "the VMM failed to resume the guest after the migration failed");
	if (rs_counter_get(counters->downtime_start_ns) != 0)
		rs_counter_set(counters->downtime_end_ns, rs_clock_ns());
}

static int complete_precopy(struct rs_outgoing *out)
{
	int result = rs_outgoing_let_arrive(out);

	return result != 0 ? result : complete(out);
}

/* What became of it is known. Returns it. */
static int end(struct rs_outgoing *out, int result)
{
	struct rs_migration *migration = out->migration;
	bool is_theirs = result == RS_ERROR_IN_DOUBT || out->went_by_postcopy;

	if (!out->went_by_postcopy)
		result = hear_last_words(out, result);
	if (result < 0 && !is_theirs)
		take_back(migration);
	rs_ram_save_cleanup(out->state);
	rs_counters_end(&out->state->counters, rs_outgoing_wire_bytes(out));
	if (out->return_path != NULL)
		rs_return_path_fini(out->return_path);
	free(out->return_path);
	rs_recovery_close(migration);
	/* The guest is stopped here, as whole as it was then; whose it is the embedder must say. */
	if (result < 0 && out->went_by_postcopy)
		result = RS_ERROR_IN_DOUBT;
	return result > 0 ? 0 : result;
}

int rs_migration_run_out(struct rs_migration *migration, struct rs_stream *stream)
{
	struct rs_state *state = migration->state;
	struct rs_outgoing out = {
		.migration = migration,
		.state = state,
		.stream = stream,
		.start_bytes = rs_stream_bytes_written(stream),
		.ram = { .id = 2, .version = RS_RAM_SECTION_VERSION, .name = RS_RAM_SECTION_NAME },
	};

	migration->stream = stream;
	migration->one_way = rs_stream_flags(stream) != RS_STREAM_TWO_WAY;
	migration->next_section_id = out.ram.id + 1;
	int result = setup(&out);

	if (result == 0) {
		rs_migration_set_status(migration, RS_STATUS_ACTIVE);
		rs_migration_tell_passes(migration);
		result = iterate(&out);
	}
	if (result == 0)
		result = rs_postcopy_out_is_wanted(&out) ? rs_postcopy_out_run(&out)
							 : complete_precopy(&out);
	return end(&out, result);
}
