/* SPDX-License-Identifier: MIT */
#include "save/postcopy_save.h"

#include "base/bytes.h"
#include "base/checked.h"
#include "base/clock.h"
#include "ram/page_claim.h"

int rs_ram_save_check_postcopy(struct rs_state *state)
{
	struct rs_region *region;

	if (rs_state_ignores_shared(state))
		return rs_session_fail(state, -EINVAL,
				       "postcopy and x-ignore-shared cannot be had together");
	rs_region_for_each (state, region) {
		uint64_t used = rs_region_used_bytes(region), unit = rs_placement_bytes(region);

		if (!rs_is_aligned(used, unit))
			rs_session_fail(state, -EINVAL,
					"region %s: its %llu bytes are no whole pages of %llu, as "
					"postcopy needs",
					region->name, (unsigned long long)used,
					(unsigned long long)unit);
	}
	return rs_session_code(state);
}

/* ---- discards ------------------------------------------------------------------------------ */

static uint64_t told_words(const struct rs_region *region)
{
	return rs_bitmap_word_count(region->dirty.bits);
}

/* Before the first discards: what lasts until the end of them, and of postcopy. */
static int prepare(struct rs_save *save)
{
	struct rs_postcopy *postcopy = &save->postcopy;
	struct rs_region *region;
	uint64_t words = 0;

	if (postcopy->told.words != NULL)
		return 0;
	rs_region_for_each (save->state, region)
		words += told_words(region);
	if (rs_bitmap_init(&postcopy->told, words * RS_BITS_PER_WORD) != 0 ||
	    rs_request_queue_init(&postcopy->queue, save->state) != 0)
		return rs_session_fail(save->state, -ENOMEM, "no memory to set postcopy up");
	return 0;
}

/* Returns how many pages became dirty by being in one unit with one that is. */
static uint64_t discard_of(struct rs_region *region, _Atomic uint64_t *told, rs_discard_emit *emit,
			   void *opaque)
{
	uint64_t set = rs_page_claim_make_whole(&region->dirty, rs_placement_pages(region),
						rs_region_pages(region));

	rs_discard_scan(region, told, emit, opaque);
	return set;
}

int rs_ram_save_discard(struct rs_state *state, bool last, rs_discard_emit *emit, void *opaque)
{
	struct rs_save *save = state->save;
	uint64_t since = rs_clock_ns(), word = 0, set = 0;
	struct rs_region *region;
	int result = rs_ram_save_sync(save);

	if (last)
		rs_counter_set(state->counters.final_sync_ns, rs_clock_ns() - since);
	if (result == 0)
		result = prepare(save);
	if (result != 0)
		return result;
	rs_region_for_each (state, region) {
		/* Without a bitmap it came just now, and the session has failed. */
		if (region->dirty.words == NULL)
			continue;
		set += discard_of(region, save->postcopy.told.words + word, emit, opaque);
		word += told_words(region);
	}
	atomic_fetch_add_explicit(&state->dirty_pages, set, memory_order_relaxed);
	return rs_session_code(state);
}

bool rs_ram_save_was_discarded(const struct rs_state *state)
{
	return state->save->postcopy.told.words != NULL;
}

bool rs_ram_save_in_postcopy(const struct rs_state *state)
{
	return atomic_load(&state->save->postcopy.on);
}

/* ---- beginning, and again ------------------------------------------------------------------ */

void rs_ram_save_begin_postcopy(struct rs_state *state)
{
	struct rs_save *save = state->save;

	rs_bitmap_fini(&save->postcopy.told);
	save->cursor.claims = true;
	save->writer.last_region = NULL;
	pthread_mutex_lock(&state->lock);
	atomic_store(&save->postcopy.on, true);
	pthread_mutex_unlock(&state->lock);
}

void rs_ram_save_set_urgent_stream(struct rs_state *state, struct rs_stream *stream)
{
	struct rs_save *save = state->save;

	rs_urgent_set_stream(&save->postcopy.urgent, state, stream, save->writer.runs);
}

int rs_ram_save_take_received(struct rs_state *state, struct rs_region *region,
			      const uint8_t *bitmap, uint64_t bytes)
{
	uint64_t pages = rs_region_pages(region), word = 0;

	if (bytes != rs_received_bitmap_bytes(pages))
		return rs_session_fail(state, -EINVAL,
				       "region %s: a received bitmap of %llu bytes, of %llu pages",
				       region->name, (unsigned long long)bytes,
				       (unsigned long long)pages);
	for (uint64_t page = 0; page < pages; page += RS_BITS_PER_WORD, word++) {
		uint64_t left = rs_min_u64(pages - page, RS_BITS_PER_WORD), received = 0;

		for (unsigned i = 0; i < 8; i++)
			received |= (uint64_t)bitmap[word * 8 + i] << 8 * i;
		atomic_store_explicit(&region->dirty.words[word],
				      ~received & rs_bitmap_mask(0, (unsigned)left - 1),
				      memory_order_relaxed);
	}
	rs_page_claim_make_whole(&region->dirty, rs_placement_pages(region), pages);
	return 0;
}

void rs_ram_save_resume(struct rs_state *state)
{
	struct rs_region *region;
	uint64_t left = 0;

	rs_postcopy_restart(state->save);
	rs_region_for_each (state, region)
		if (region->dirty.words != NULL)
			left += rs_bitmap_count(&region->dirty);
	atomic_store_explicit(&state->dirty_pages, left, memory_order_relaxed);
}

/* ---- requests ------------------------------------------------------------------------------ */

/* The region that is meant, pinned. 0 or a negative errno with a text. */
static int find_region(struct rs_save *save, const struct rs_page_request *request,
		       struct rs_region **region, struct rs_error *error)
{
	struct rs_postcopy *postcopy = &save->postcopy;

	if (request->name == NULL) {
		*region = postcopy->named;
		if (*region == NULL)
			return rs_error_setf(error, -EINVAL,
					     "pages at offset 0x%llx were asked for, of no region",
					     (unsigned long long)request->start);
		if (rs_region_pin(*region, save->state))
			return 0;
		return rs_error_setf(error, rs_session_code(save->state),
				     "the migration has failed");
	}
	*region = rs_region_find_pinned(save->state, request->name, request->name_bytes);
	if (*region == NULL)
		return rs_error_setf(error, -EINVAL,
				     "pages of region %.*s were asked for, which there is not",
				     request->name_bytes, request->name);
	postcopy->named = *region;
	return 0;
}

static int check_request(const struct rs_page_request *request, const struct rs_region *region,
			 struct rs_error *error)
{
	const char *fault = NULL;

	if (region->dirty.words == NULL)
		fault = "is not migrated";
	else if (request->bytes == 0 || !rs_is_aligned(request->start, region->host_page_bytes) ||
		 !rs_is_aligned(request->bytes, region->host_page_bytes))
		fault = "has other host pages";
	else if (!rs_range_inside(request->start, request->bytes, rs_region_used_bytes(region)))
		fault = "is shorter";
	if (fault == NULL)
		return 0;
	return rs_error_setf(error, -EINVAL,
			     "%u bytes at offset 0x%llx of region %s were asked for, which %s",
			     request->bytes, (unsigned long long)request->start, region->name,
			     fault);
}

static struct rs_page_run units_of(const struct rs_page_request *request, struct rs_region *region)
{
	uint64_t unit = rs_placement_pages(region);
	unsigned shift = region->state->page_shift;
	uint64_t first = rs_align_down(request->start >> shift, unit);
	uint64_t last = (request->start + request->bytes - 1) >> shift;

	return (struct rs_page_run){ region, first, rs_align_up(last + 1, unit) - first };
}

/* The thread that saves has something to do about it only if that was the last of all: woken for each page it would
 * take the processor from those that bring the next one. */
static int serve(struct rs_postcopy *postcopy, const struct rs_page_run *run,
		 struct rs_error *error)
{
	uint64_t sent;
	int result = rs_urgent_send(&postcopy->urgent, run, &sent, error);

	if (sent > 0)
		rs_postcopy_go_on_at(postcopy, run->region, run->first + run->count);
	if (atomic_load(&run->region->state->dirty_pages) == 0)
		rs_waker_call(&postcopy->waker);
	else
		rs_waker_call_unless_for_budget(&postcopy->waker);
	return result;
}

/* Of a pinned region. */
static int serve_or_queue(struct rs_postcopy *postcopy, const struct rs_page_run *run,
			  struct rs_error *error)
{
	if (atomic_load(&postcopy->urgent.on))
		return serve(postcopy, run, error);
	rs_request_queue_put(&postcopy->queue, run);
	rs_waker_call(&postcopy->waker);
	return 0;
}

int rs_ram_save_request(struct rs_state *state, const struct rs_page_request *request,
			struct rs_error *error)
{
	struct rs_postcopy *postcopy = &state->save->postcopy;
	struct rs_region *region;
	int result;

	if (!atomic_load(&postcopy->on))
		return rs_error_setf(error, -EINVAL, "pages were asked for before postcopy began");
	result = find_region(state->save, request, &region, error);
	if (result != 0)
		return result;
	result = check_request(request, region, error);
	if (result == 0) {
		const struct rs_page_run run = units_of(request, region);

		rs_counter_add(state->counters.postcopy_requests, 1);
		result = serve_or_queue(postcopy, &run, error);
	}
	rs_region_unpin(region);
	return result;
}
