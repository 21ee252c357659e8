/* SPDX-License-Identifier: MIT */
#include "ram/dirty_sync.h"

#include "base/checked.h"
#include "base/clock.h"

/* What a log's sync callback reports to. */
struct rs_dirty_sink {
	struct rs_region *region;
	uint64_t newly_dirty;
};

static unsigned chunk_shift(const struct rs_state *state)
{
	return (unsigned)rs_params_number(&state->params, RS_PARAM_X_CLEAR_BITMAP_SHIFT);
}

static uint64_t chunk_count(const struct rs_region *region)
{
	uint64_t pages = region->max_bytes >> region->state->page_shift;

	return ((pages - 1) >> chunk_shift(region->state)) + 1;
}

static bool has_clear(const struct rs_region *region)
{
	for (const struct rs_region_log *log = region->logs; log != NULL; log = log->next)
		if (log->ops.clear != NULL)
			return true;
	return false;
}

/* The text that a log gave, or the errno's, behind the region's name. */
static int fail_log(struct rs_region *region, const char *verb, int code,
		    const struct rs_error *error)
{
	return rs_session_fail(region->state, code, "region %s: cannot %s its dirty log: %s",
			       region->name, verb,
			       error->text[0] != '\0' ? error->text : rs_errno_text(code));
}

/* What the logs cost the guest while it runs. */
static void count_time(struct rs_state *state, uint64_t since)
{
	if (rs_counter_get(state->counters.downtime_start_ns) == 0)
		rs_counter_add(state->counters.dirty_log_ns, rs_clock_ns() - since);
}

static int start_logs_of(struct rs_region *region)
{
	uint64_t pages = rs_region_pages(region);

	if (rs_bitmap_init(&region->dirty, region->max_bytes >> region->state->page_shift) != 0 ||
	    (has_clear(region) && rs_bitmap_init(&region->clear_chunk, chunk_count(region)) != 0))
		return rs_session_fail(region->state, -ENOMEM,
				       "region %s: no memory for its dirty bitmap", region->name);
	/* A guest that runs here writes it: a later load must not take it for zero. */
	atomic_fetch_and_explicit(&region->flags, ~(uint32_t)RS_REGION_FRESH, memory_order_relaxed);
	rs_marks_start(&region->marks);
	for (struct rs_region_log *log = region->logs; log != NULL; log = log->next) {
		struct rs_error error = { 0 };
		int result = log->ops.start(log->opaque, region, &log->cookie, &error);

		if (result < 0)
			return fail_log(region, "start", result, &error);
		log->started = true;
	}
	rs_bitmap_set_range(&region->dirty, 0, pages);
	atomic_fetch_add_explicit(&region->state->dirty_pages, pages, memory_order_relaxed);
	return 0;
}

int rs_dirty_logs_start(struct rs_state *state)
{
	uint64_t since = rs_clock_ns();
	struct rs_region *region;

	atomic_store_explicit(&state->dirty_pages, 0, memory_order_relaxed);
	rs_region_for_each (state, region) {
		if (rs_region_has(region, RS_REGION_IGNORED) || start_logs_of(region) == 0)
			continue;
		rs_region_unpin(region);
		break;
	}
	count_time(state, since);
	return rs_session_code(state);
}

void rs_dirty_logs_stop(struct rs_state *state)
{
	/* A region that is removed meanwhile stops its logs by itself. */
	rs_region_visit_all(state, rs_region_stop_logs);
	atomic_store_explicit(&state->dirty_pages, 0, memory_order_relaxed);
}

static int sync_region(struct rs_region *region, uint64_t *newly_dirty)
{
	struct rs_dirty_sink sink = { .region = region };

	sink.newly_dirty = rs_marks_harvest(&region->marks, &region->dirty);
	for (struct rs_region_log *log = region->logs; log != NULL; log = log->next) {
		struct rs_error error = { 0 };
		int result = log->ops.sync(log->opaque, region, log->cookie, &sink, &error);

		if (result < 0)
			return fail_log(region, "sync", result, &error);
	}
	/* What a log reported may have been cleared with less than a fence: pages are read after.
	 */
	atomic_thread_fence(memory_order_seq_cst);
	if (region->clear_chunk.words != NULL)
		rs_bitmap_set_range(&region->clear_chunk, 0, region->clear_chunk.bits);
	/* Marks that were made while the region was longer count for nothing. */
	uint64_t pages = rs_region_pages(region);

	sink.newly_dirty -=
	    rs_bitmap_clear_range(&region->dirty, pages, region->dirty.bits - pages);
	*newly_dirty += sink.newly_dirty;
	return 0;
}

int rs_dirty_sync(struct rs_state *state, uint64_t *newly_dirty)
{
	uint64_t since = rs_clock_ns();
	struct rs_region *region;

	*newly_dirty = 0;
	rs_region_for_each (state, region) {
		if (region->dirty.words == NULL || sync_region(region, newly_dirty) == 0)
			continue;
		rs_region_unpin(region);
		break;
	}
	atomic_fetch_add_explicit(&state->dirty_pages, *newly_dirty, memory_order_relaxed);
	rs_counter_add(state->counters.dirty_sync_count, 1);
	count_time(state, since);
	return rs_session_code(state);
}

static int clear_chunk(struct rs_region *region, uint64_t chunk)
{
	unsigned shift = chunk_shift(region->state) + region->state->page_shift;
	uint64_t offset = chunk << shift, used = rs_region_used_bytes(region);

	/* Cut off meanwhile: the session has failed. */
	if (offset >= used)
		return rs_session_code(region->state);
	uint64_t bytes = rs_min_u64(1ull << shift, used - offset), since = rs_clock_ns();

	rs_bitmap_clear_range(&region->clear_chunk, chunk, 1);
	for (struct rs_region_log *log = region->logs; log != NULL; log = log->next) {
		struct rs_error error = { 0 };

		if (log->ops.clear == NULL)
			continue;
		int result =
		    log->ops.clear(log->opaque, region, log->cookie, offset, bytes, &error);

		if (result < 0)
			return fail_log(region, "clear", result, &error);
	}
	atomic_thread_fence(memory_order_seq_cst);
	count_time(region->state, since);
	return 0;
}

int rs_dirty_logs_clear(struct rs_region *region, uint64_t first, uint64_t count)
{
	unsigned shift = chunk_shift(region->state);

	if (region->clear_chunk.words == NULL)
		return 0;
	uint64_t end = ((first + count - 1) >> shift) + 1;
	uint64_t chunk = rs_bitmap_find_set(&region->clear_chunk, first >> shift, end);

	for (; chunk < end; chunk = rs_bitmap_find_set(&region->clear_chunk, chunk + 1, end)) {
		int result = clear_chunk(region, chunk);

		if (result != 0)
			return result;
	}
	return 0;
}

/* ---- what logs report ---------------------------------------------------------------------- */

void rs_dirty_report_range(struct rs_dirty_sink *sink, uint64_t offset, uint64_t bytes)
{
	struct rs_region *region = sink->region;
	uint64_t used = rs_region_used_bytes(region);
	unsigned shift = region->state->page_shift;

	if (bytes == 0 || offset >= used)
		return;
	uint64_t last = (offset + rs_min_u64(bytes, used - offset) - 1) >> shift;

	offset >>= shift;
	sink->newly_dirty += rs_bitmap_set_range(&region->dirty, offset, last - offset + 1);
}

/* A bit for each target page, and none of them past the end: whole words can be ORed. */
static bool report_words(struct rs_dirty_sink *sink, uint64_t offset, const uint64_t *bitmap,
			 uint64_t bits, uint64_t granule_bytes)
{
	struct rs_region *region = sink->region;
	uint64_t page = offset >> region->state->page_shift;

	if (granule_bytes != region->state->page_bytes || page % RS_BITS_PER_WORD != 0 ||
	    !rs_range_inside(page, bits, rs_region_pages(region)))
		return false;
	for (uint64_t i = 0; i < rs_bitmap_word_count(bits); i++) {
		uint64_t left = bits - i * RS_BITS_PER_WORD;
		uint64_t word = bitmap[i];

		if (left < RS_BITS_PER_WORD)
			word &= rs_bitmap_mask(0, (unsigned)left - 1);
		if (word != 0)
			sink->newly_dirty +=
			    rs_bitmap_or_word(&region->dirty, page / RS_BITS_PER_WORD + i, word);
	}
	return true;
}

void rs_dirty_report_bitmap(struct rs_dirty_sink *sink, uint64_t offset, const uint64_t *bitmap,
			    uint64_t bits, uint64_t granule_bytes)
{
	if (report_words(sink, offset, bitmap, bits, granule_bytes))
		return;
	for (uint64_t i = 0; i < rs_bitmap_word_count(bits); i++) {
		uint64_t word = bitmap[i];

		while (word != 0) {
			uint64_t bit = i * RS_BITS_PER_WORD + (uint64_t)__builtin_ctzll(word);

			word &= word - 1;
			if (bit < bits)
				rs_dirty_report_range(sink, offset + bit * granule_bytes,
						      granule_bytes);
		}
	}
}
