/* SPDX-License-Identifier: MIT */
#include "api/phase.h"
#include "base/clock.h"
#include "base/versioned.h"
#include "load/load.h"
#include "postcopy/blocktime.h"
#include "postcopy/faults.h"
#include "save/save.h"
#include "transport/stream.h"

static void count_wire(struct rs_state *state, uint64_t bytes_before, uint64_t bytes_now)
{
	rs_counter_add(state->counters.wire_bytes, bytes_now - bytes_before);
}

/* ---- saving -------------------------------------------------------------------------------- */

static void save_close(struct rs_state *state)
{
	rs_ram_save_cleanup(state);
	rs_session_close(state);
	rs_counter_set(state->counters.end_ns, rs_clock_ns());
}

int rs_save_setup(struct rs_state *state, struct rs_stream *stream)
{
	int result = rs_phase_enter(state, RS_CALL_SAVE_SETUP);

	if (result != 0)
		return result;
	uint64_t before = rs_stream_bytes_written(stream);

	rs_counters_begin(&state->counters);
	rs_session_open(state);
	result = rs_session_attach(state, stream);
	if (result == 0)
		result = rs_ram_save_setup(state, stream, false);
	rs_session_detach(state);
	rs_counter_set(state->counters.setup_end_ns, rs_clock_ns());
	count_wire(state, before, rs_stream_bytes_written(stream));
	if (result != 0)
		save_close(state);
	rs_phase_leave(state, RS_CALL_SAVE_SETUP, result);
	return result;
}

int rs_save_pending(struct rs_state *state, enum rs_pending how, uint64_t *precopy_only,
		    uint64_t *postcopy_able)
{
	int result = rs_phase_enter(state, RS_CALL_SAVE_PENDING);
	uint64_t bytes = 0;

	if (result != 0)
		return result;
	result = rs_session_attach(state, NULL);
	if (result == 0)
		result = rs_ram_save_pending(state, how, &bytes);
	rs_session_detach(state);
	bool may_wait = rs_params_number(&state->params, RS_PARAM_POSTCOPY_RAM) != 0;

	if (precopy_only != NULL)
		*precopy_only = may_wait ? 0 : bytes;
	if (postcopy_able != NULL)
		*postcopy_able = may_wait ? bytes : 0;
	rs_phase_leave(state, RS_CALL_SAVE_PENDING, result);
	return result;
}

/* What iterate, throttle and complete have in common. */
static int save_call(struct rs_state *state, struct rs_stream *stream, enum rs_call call,
		     int (*work)(struct rs_state *state, struct rs_stream *stream))
{
	int result = rs_phase_enter(state, call);

	if (result != 0)
		return result;
	uint64_t before = rs_stream_bytes_written(stream);

	result = rs_session_attach(state, stream);
	if (result == 0)
		result = work(state, stream);
	rs_session_detach(state);
	count_wire(state, before, rs_stream_bytes_written(stream));
	rs_phase_leave(state, call, result);
	return result;
}

int rs_save_iterate(struct rs_state *state, struct rs_stream *stream)
{
	return save_call(state, stream, RS_CALL_SAVE_ITERATE, rs_ram_save_iterate);
}

int rs_save_throttle(struct rs_state *state, struct rs_stream *stream)
{
	return save_call(state, stream, RS_CALL_SAVE_THROTTLE, rs_ram_save_throttle);
}

int rs_save_complete(struct rs_state *state, struct rs_stream *stream)
{
	return save_call(state, stream, RS_CALL_SAVE_COMPLETE, rs_ram_save_complete);
}

void rs_save_cleanup(struct rs_state *state)
{
	if (rs_phase_enter(state, RS_CALL_SAVE_CLEANUP) != 0)
		return;
	if (state->save != NULL)
		save_close(state);
	rs_phase_leave(state, RS_CALL_SAVE_CLEANUP, 0);
}

/* ---- loading ------------------------------------------------------------------------------- */

int rs_load_setup(struct rs_state *state, const struct rs_load_ops *ops, void *opaque)
{
	struct rs_load_ops mine = { .size = sizeof(mine) };
	int result = rs_phase_enter(state, RS_CALL_LOAD_SETUP);

	if (result != 0)
		return result;
	if (ops != NULL && rs_versioned_copy(&mine, sizeof(mine), ops, ops->size) != 0) {
		rs_phase_leave(state, RS_CALL_LOAD_SETUP, -EINVAL);
		return rs_state_refuse(state, -EINVAL,
				       "rs_load_ops of %zu bytes has fields unknown to this "
				       "version",
				       ops->size);
	}
	rs_counters_begin(&state->counters);
	rs_blocktime_reset(state->blocktime);
	rs_session_open(state);
	result = rs_ram_load_setup(state, &mine, opaque);
	if (result != 0) {
		rs_ram_load_cleanup(state);
		rs_session_close(state);
	}
	rs_phase_leave(state, RS_CALL_LOAD_SETUP, result);
	return result;
}

int rs_load(struct rs_state *state, struct rs_stream *stream, int version)
{
	int result = rs_phase_enter(state, RS_CALL_LOAD);

	if (result != 0)
		return result;
	uint64_t before = rs_stream_bytes_read(stream);

	result = rs_session_attach(state, stream);
	if (result == 0)
		result = rs_ram_load(state, stream, (uint32_t)version);
	rs_session_detach(state);
	count_wire(state, before, rs_stream_bytes_read(stream));
	rs_phase_leave(state, RS_CALL_LOAD, result);
	return result;
}

int rs_load_cleanup(struct rs_state *state)
{
	int result = rs_phase_enter(state, RS_CALL_LOAD_CLEANUP);

	if (result != 0)
		return result;
	if (state->load != NULL) {
		/* The guest runs, and may fault up to here. */
		rs_faults_destroy(state->load->faults);
		rs_ram_load_cleanup(state);
		rs_session_close(state);
		rs_counter_set(state->counters.end_ns, rs_clock_ns());
	}
	rs_phase_leave(state, RS_CALL_LOAD_CLEANUP, 0);
	return 0;
}
