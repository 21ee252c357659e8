/* SPDX-License-Identifier: MIT */
#include "save/postcopy.h"

#include "base/checked.h"
#include "base/clock.h"
#include "ram/page_claim.h"
#include "save/save.h"
#include "transport/stream.h"

/* Taken and flushed at once. What is asked for next waits behind it, and what is in it and asked for
 * by then came as late as its last page. */
#define PIECE_BYTES (64u << 10)

/* How long a body may get, so that its caller can look at the world. */
#define BODY_NS (50 * RS_NS_PER_MS)

void rs_postcopy_init(struct rs_postcopy *postcopy)
{
	pthread_mutex_init(&postcopy->lock, NULL);
	rs_waker_init(&postcopy->waker);
}

void rs_postcopy_fini(struct rs_postcopy *postcopy)
{
	rs_population_slot_clear(&postcopy->urgent.population);
	rs_request_queue_fini(&postcopy->queue);
	rs_bitmap_fini(&postcopy->told);
	rs_waker_fini(&postcopy->waker);
	pthread_mutex_destroy(&postcopy->lock);
}

void rs_postcopy_restart(struct rs_save *save)
{
	struct rs_postcopy *postcopy = &save->postcopy;
	struct rs_record_writer *writers[] = { &save->writer, &postcopy->urgent.writer };

	for (unsigned i = 0; i < 2; i++) {
		/* The reader does not know of a region, nor will it of zeros that were not written. */
		writers[i]->last_region = NULL;
		writers[i]->zero_count = 0;
	}
	rs_request_queue_clear(&postcopy->queue);
	postcopy->serving.count = 0;
	postcopy->named = NULL;
	postcopy->next_region = NULL;
	rs_page_cursor_release(&save->cursor);
	save->cursor.region = NULL;
}

/* ---- where the background goes on ------------------------------------------------------------ */

void rs_postcopy_go_on_at(struct rs_postcopy *postcopy, struct rs_region *region, uint64_t page)
{
	pthread_mutex_lock(&postcopy->lock);
	if (postcopy->next_region == NULL) {
		postcopy->next_region = region;
		postcopy->next_page = page;
	}
	pthread_mutex_unlock(&postcopy->lock);
}

/* Everything is flushed when it is written. */
static int before_leaving(void *opaque)
{
	const struct rs_save *save = opaque;

	return rs_session_code(save->state);
}

static int go_on(struct rs_save *save)
{
	struct rs_postcopy *postcopy = &save->postcopy;

	pthread_mutex_lock(&postcopy->lock);
	struct rs_region *region = postcopy->next_region;
	uint64_t page = postcopy->next_page;

	postcopy->next_region = NULL;
	pthread_mutex_unlock(&postcopy->lock);
	if (region == NULL)
		return 0;
	return rs_page_cursor_go_to(&save->cursor, region, page, before_leaving, save);
}

/* ---- what was asked for ---------------------------------------------------------------------- */

static uint64_t piece_pages(const struct rs_save *save)
{
	return rs_max_u64(PIECE_BYTES >> save->state->page_shift, 1);
}

static int write_run(struct rs_save *save, const struct rs_page_run *run)
{
	rs_whole_pages_write(&save->writer, &save->population, run);
	rs_record_writer_flush(&save->writer);
	int result = rs_session_check_stream(save->state, save->writer.stream);

	return result != 0 ? result : rs_session_code(save->state);
}

bool rs_postcopy_is_asked(struct rs_postcopy *postcopy)
{
	return postcopy->serving.count != 0 || !rs_request_queue_is_empty(&postcopy->queue);
}

/* A piece of what is being served, of a pinned region, if anything of it is left. */
static int serve_piece(struct rs_save *save)
{
	struct rs_page_run *serving = &save->postcopy.serving, run;
	uint64_t end = serving->first + serving->count;

	if (!rs_page_claim_run(serving->region, serving->first, end, piece_pages(save), &run)) {
		serving->count = 0;
		return 0;
	}
	serving->first = run.first + run.count;
	serving->count = end - serving->first;
	int result = write_run(save, &run);

	if (serving->count == 0)
		rs_postcopy_go_on_at(&save->postcopy, serving->region, serving->first);
	return result;
}

/* Serve the request that was begun. 1: the body is to end. */
static int serve_request(struct rs_save *save)
{
	struct rs_page_run *serving = &save->postcopy.serving;
	uint64_t before = rs_stream_bytes_written(save->writer.stream);
	int result = 0;

	if (!rs_region_pin(serving->region, save->state))
		return rs_session_code(save->state);
	while (result == 0 && serving->count != 0) {
		result = serve_piece(save);
		if (result == 0 && rs_waker_ends_body(&save->postcopy.waker))
			result = 1;
	}
	rs_region_unpin(serving->region);
	rs_stream_rate_forgive(save->writer.stream,
			       rs_stream_bytes_written(save->writer.stream) - before);
	return result;
}

/* 1: the body is to end. */
static int serve_requests(struct rs_save *save)
{
	struct rs_postcopy *postcopy = &save->postcopy;
	int result = 0;

	while (result == 0 && (postcopy->serving.count != 0 ||
			       rs_request_queue_take(&postcopy->queue, &postcopy->serving)))
		result = serve_request(save);
	return result;
}

static bool nothing_is_left(const struct rs_save *save)
{
	return atomic_load_explicit(&save->state->dirty_pages, memory_order_acquire) == 0;
}

int rs_postcopy_serve(struct rs_save *save)
{
	int result = serve_requests(save);

	return result < 0 ? result : nothing_is_left(save);
}

/* ---- the background -------------------------------------------------------------------------- */

static bool background_may_go_on(const struct rs_save *save)
{
	return !save->limited || (!rs_stream_rate_exceeded(save->writer.stream) &&
				  rs_clock_ns() - save->body_start_ns <= BODY_NS);
}

static uint64_t background_pages(const struct rs_save *save)
{
	uint64_t left = UINT64_MAX;

	if (save->limited)
		left = rs_stream_rate_left(save->writer.stream) >> save->state->page_shift;
	return rs_min_u64(piece_pages(save), rs_max_u64(left, 1));
}

/* 1: there was nothing to send. */
static int send_background(struct rs_save *save)
{
	struct rs_page_run run;
	int result = go_on(save);

	if (result == 0)
		result = rs_page_cursor_next(&save->cursor, background_pages(save), before_leaving,
					     save, &run);
	if (result <= 0)
		return result < 0 ? result : 1;
	return write_run(save, &run);
}

int rs_postcopy_send(struct rs_save *save)
{
	for (;;) {
		int result = serve_requests(save);

		if (result < 0)
			return result;
		if (nothing_is_left(save))
			return 1;
		if (result > 0 || !background_may_go_on(save))
			return 0;
		result = send_background(save);
		if (result != 0)
			return result;
		if (rs_waker_ends_body(&save->postcopy.waker))
			return 0;
	}
}

/* ---- the end --------------------------------------------------------------------------------- */

static bool urgent_is_idle(void *opaque)
{
	struct rs_postcopy *postcopy = opaque;

	return !atomic_load(&postcopy->urgent.busy);
}

/* The destination takes the end of the main stream for that of the urgent one. */
static int wait_for_urgent(struct rs_save *save)
{
	struct rs_postcopy *postcopy = &save->postcopy;
	int result = 0;

	while (result == 0 && !urgent_is_idle(postcopy)) {
		rs_waker_sleep(&postcopy->waker, save->writer.stream, false, urgent_is_idle,
			       postcopy);
		result = rs_session_check_stream(save->state, save->writer.stream);
		if (result == 0)
			result = rs_session_code(save->state);
	}
	return result;
}

int rs_postcopy_send_all(struct rs_save *save)
{
	int result;

	do
		result = rs_postcopy_send(save);
	while (result == 0);
	if (result < 0)
		return result;
	result = wait_for_urgent(save);
	return result != 0 ? result : 1;
}
