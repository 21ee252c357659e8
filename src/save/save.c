/* SPDX-License-Identifier: MIT */
#include "save/save.h"

#include "base/clock.h"
#include "ram/dirty_sync.h"
#include "save/page_pipeline.h"
#include "save/postcopy_save.h"
#include "transport/rate_limit.h"
#include "transport/stream.h"

#include <stdlib.h>

/* In a second: short ones, so that what is asked for in postcopy finds little before it. 5 ms. */
#define POSTCOPY_RATE_WINDOWS 200u

static uint64_t dirty_bytes(const struct rs_state *state)
{
	return atomic_load_explicit(&state->dirty_pages, memory_order_relaxed) << state->page_shift;
}

int rs_ram_save_sync(struct rs_save *save)
{
	uint64_t newly_dirty, pages_per_second;
	int result = rs_dirty_sync(save->state, &newly_dirty);

	if (rs_period_sync(&save->period, rs_clock_ns(), newly_dirty, &pages_per_second)) {
		rs_counter_set(save->state->counters.dirty_pages_rate, pages_per_second);
		rs_deltas_count(&save->deltas, save->state);
		rs_compressor_count(&save->compressor);
	}
	return result;
}

/* The stream's failure becomes the session's, unless something else failed first. */
static int flush(struct rs_save *save)
{
	rs_record_writer_flush(&save->writer);
	int result = rs_session_check_stream(save->state, save->writer.stream);

	return result != 0 ? result : rs_session_code(save->state);
}

static int flush_before_leaving(void *opaque)
{
	struct rs_save *save = opaque;

	rs_compressor_drain(&save->compressor);
	return flush(save);
}

/* A broken-off body must not look whole, nor wait for its peer, nor what is queued be read once it is
 * unpinned. */
static void shut_if_failed(struct rs_save *save)
{
	if (rs_session_code(save->state) != 0)
		rs_stream_shutdown(save->writer.stream);
}

/* Mark of the body's end; the call is over, its pins with it. */
static int end_body(struct rs_save *save)
{
	shut_if_failed(save);
	rs_compressor_drain(&save->compressor);
	shut_if_failed(save);
	rs_record_writer_end(&save->writer);
	int result = flush(save);

	rs_page_cursor_release(&save->cursor);
	return result;
}

/* ---- set-up -------------------------------------------------------------------------------- */

static int check_regions(struct rs_state *state)
{
	struct rs_region *first = rs_region_first(state);

	if (first == NULL)
		return rs_session_fail(state, -EINVAL, "there is no region to save");
	rs_region_unpin(first);
	return rs_regions_check_ignored(state);
}

static int setup_body(struct rs_save *save)
{
	struct rs_state *state = save->state;

	if (check_regions(state) != 0 || rs_dirty_logs_start(state) != 0)
		return rs_session_code(state);
	if (rs_ram_save_sync(save) != 0)
		return rs_session_code(state);
	rs_record_writer_list(&save->writer, rs_state_ignores_shared(state));
	return end_body(save);
}

int rs_ram_save_setup(struct rs_state *state, struct rs_stream *stream, bool runs)
{
	struct rs_save *save = calloc(1, sizeof(*save));

	if (save == NULL)
		return rs_session_fail(state, -ENOMEM, "no memory to set a migration up");
	rs_postcopy_init(&save->postcopy);
	pthread_mutex_lock(&state->lock);
	state->save = save;
	pthread_mutex_unlock(&state->lock);
	save->state = state;
	save->writer.state = state;
	save->writer.counters = &state->counters;
	save->writer.stream = stream;
	save->writer.runs = runs;
	rs_page_cursor_init(&save->cursor, state);
	if (rs_deltas_init(&save->deltas, state) != 0 ||
	    rs_compressor_init(&save->compressor, &save->writer) != 0)
		return rs_session_code(state);
	return setup_body(save);
}

/* ---- limits -------------------------------------------------------------------------------- */

static bool in_postcopy(const struct rs_state *state)
{
	return state->save != NULL && atomic_load(&state->save->postcopy.on);
}

void rs_ram_save_apply_limit_locked(struct rs_state *state)
{
	enum rs_param_id id =
	    in_postcopy(state) ? RS_PARAM_MAX_POSTCOPY_BANDWIDTH : RS_PARAM_MAX_BANDWIDTH;

	if (state->session.stream != NULL && state->session.limited)
		rs_stream_rate_set(state->session.stream, rs_params_number(&state->params, id));
}

static void set_limited(struct rs_save *save, bool limited)
{
	struct rs_state *state = save->state;

	save->limited = limited;
	rs_stream_rate_set_windows(save->writer.stream,
				   in_postcopy(state) ? POSTCOPY_RATE_WINDOWS : RS_RATE_WINDOWS);
	pthread_mutex_lock(&state->lock);
	state->session.limited = limited;
	if (limited)
		rs_ram_save_apply_limit_locked(state);
	else
		rs_stream_rate_set(state->session.stream, 0);
	pthread_mutex_unlock(&state->lock);
}

/* ---- iteration ----------------------------------------------------------------------------- */

/* Write runs until there are none (1) or the body's limits are reached (0). */
static int send_runs(struct rs_save *save)
{
	struct rs_page_run run;
	int result;

	for (;;) {
		result = rs_page_cursor_next(&save->cursor, RS_PIPELINE_RUN_PAGES,
					     flush_before_leaving, save, &run);
		if (result <= 0)
			return result == 0 ? 1 : result;
		if (rs_pipeline_send(save, &run) != 0)
			return 0;
		result = rs_session_check_stream(save->state, save->writer.stream);
		if (result != 0)
			return result;
	}
}

static int send_body(struct rs_save *save, struct rs_stream *stream, bool limited,
		     int (*send)(struct rs_save *save))
{
	save->writer.stream = stream;
	set_limited(save, limited);
	rs_deltas_resize(&save->deltas, save->state);
	save->body_start_ns = rs_clock_ns();
	int result = send(save);
	int ended = end_body(save);

	rs_urgent_fold(&save->postcopy.urgent, &save->state->counters);
	return ended != 0 ? ended : result;
}

int rs_ram_save_iterate(struct rs_state *state, struct rs_stream *stream)
{
	return send_body(state->save, stream, true,
			 in_postcopy(state) ? rs_postcopy_send : send_runs);
}

int rs_ram_save_serve(struct rs_state *state, struct rs_stream *stream)
{
	return send_body(state->save, stream, true, rs_postcopy_serve);
}

bool rs_ram_save_in_first_pass(const struct rs_state *state)
{
	return state->save->cursor.wraps == 0;
}

int rs_ram_save_throttle(struct rs_state *state, struct rs_stream *stream)
{
	if (in_postcopy(state))
		return rs_ram_save_wait(state, stream, true);
	/* The wait follows max-bandwidth as it is now, and as it may become meanwhile. */
	state->save->writer.stream = stream;
	set_limited(state->save, true);
	rs_stream_rate_wait(stream);
	return rs_session_check_stream(state, stream);
}

static bool is_asked(void *opaque)
{
	return rs_postcopy_is_asked(opaque);
}

int rs_ram_save_wait(struct rs_state *state, struct rs_stream *stream, bool background)
{
	struct rs_save *save = state->save;

	save->writer.stream = stream;
	set_limited(save, true);
	rs_waker_sleep(&save->postcopy.waker, stream, background, is_asked, &save->postcopy);
	rs_urgent_fold(&save->postcopy.urgent, &state->counters);
	int result = rs_session_check_stream(state, stream);

	return result != 0 ? result : rs_session_code(state);
}

void rs_ram_save_wake(struct rs_state *state)
{
	pthread_mutex_lock(&state->lock);
	if (state->save != NULL)
		rs_waker_wake(&state->save->postcopy.waker);
	pthread_mutex_unlock(&state->lock);
}

int rs_ram_save_pending(struct rs_state *state, enum rs_pending how, uint64_t *bytes)
{
	int result = 0;

	if (how == RS_PENDING_EXACT && !in_postcopy(state))
		result = rs_ram_save_sync(state->save);
	*bytes = dirty_bytes(state);
	return result;
}

int rs_ram_save_complete(struct rs_state *state, struct rs_stream *stream)
{
	uint64_t left, since = rs_clock_ns();

	if (in_postcopy(state)) {
		int sent = send_body(state->save, stream, false, rs_postcopy_send_all);

		return sent == 1 ? 0 : sent;
	}
	int result = rs_ram_save_pending(state, RS_PENDING_EXACT, &left);

	rs_counter_set(state->counters.final_sync_ns, rs_clock_ns() - since);
	if (result != 0)
		return result;
	state->save->deltas.last_stage = true;
	result = send_body(state->save, stream, false, send_runs);
	return result == 1 ? 0 : result;
}

void rs_ram_save_cleanup(struct rs_state *state)
{
	struct rs_save *save = state->save;

	if (save == NULL)
		return;
	/* Nobody works on the cursor's region any more when it is let go. */
	rs_compressor_fini(&save->compressor);
	rs_page_cursor_release(&save->cursor);
	rs_population_slot_clear(&save->population);
	rs_deltas_fini(&save->deltas);
	rs_dirty_logs_stop(state);
	rs_urgent_fold(&save->postcopy.urgent, &state->counters);
	/* Not before nobody finds it any more, to wake it. */
	pthread_mutex_lock(&state->lock);
	state->save = NULL;
	pthread_mutex_unlock(&state->lock);
	rs_postcopy_fini(&save->postcopy);
	free(save);
}
