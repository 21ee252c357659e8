/* SPDX-License-Identifier: MIT */
#include "save/deltas.h"

#include "codec/live_memory.h"
#include "codec/xbzrle.h"

#include <stdlib.h>
#include <string.h>

static uint64_t wanted_bytes(const struct rs_state *state)
{
	return rs_params_number(&state->params, RS_PARAM_XBZRLE_CACHE_SIZE);
}

static uint64_t generation(const struct rs_state *state)
{
	return rs_counter_get(state->counters.dirty_sync_count);
}

/* ---- life ---------------------------------------------------------------------------------- */

static int no_memory(struct rs_state *state, uint64_t bytes)
{
	return rs_session_fail(state, -ENOMEM,
			       "parameter xbzrle-cache-size: no memory for %llu bytes",
			       (unsigned long long)bytes);
}

int rs_deltas_init(struct rs_deltas *deltas, struct rs_state *state)
{
	uint64_t bytes = wanted_bytes(state);

	if (rs_params_number(&state->params, RS_PARAM_XBZRLE) == 0)
		return 0;
	if (state->page_bytes > RS_XBZRLE_MAX_PAGE_BYTES)
		return rs_session_fail(state, -EINVAL,
				       "parameter xbzrle: pages of %u bytes are larger than the %u "
				       "that a delta can be about",
				       state->page_bytes, RS_XBZRLE_MAX_PAGE_BYTES);
	if (rs_page_cache_init(&deltas->cache, bytes, state->page_bytes) != 0)
		return no_memory(state, bytes);
	deltas->cache_bytes = bytes;
	deltas->snapshot = aligned_alloc(64, state->page_bytes);
	deltas->delta = malloc(state->page_bytes);
	if (deltas->snapshot == NULL || deltas->delta == NULL)
		return no_memory(state, bytes);
	rs_counter_set(state->counters.xbzrle_cache_size, bytes);
	return 0;
}

void rs_deltas_fini(struct rs_deltas *deltas)
{
	rs_page_cache_fini(&deltas->cache);
	free(deltas->snapshot);
	free(deltas->delta);
	*deltas = (struct rs_deltas){ .snapshot = NULL };
}

void rs_deltas_resize(struct rs_deltas *deltas, struct rs_state *state)
{
	uint64_t bytes = wanted_bytes(state);
	struct rs_page_cache resized;

	if (!rs_deltas_on(deltas) || deltas->last_stage || bytes == deltas->cache_bytes)
		return;
	deltas->cache_bytes = bytes;
	if (rs_page_cache_init(&resized, bytes, state->page_bytes) != 0) {
		rs_session_warn(state,
				"parameter xbzrle-cache-size: no memory for %llu bytes; the cache "
				"stays as it is",
				(unsigned long long)bytes);
		return;
	}
	rs_page_cache_fini(&deltas->cache);
	deltas->cache = resized;
	rs_counter_set(state->counters.xbzrle_cache_size, bytes);
}

void rs_deltas_count(struct rs_deltas *deltas, struct rs_state *state)
{
	struct rs_counters *counters = &state->counters;
	const struct rs_delta_counts now = {
		.handled = rs_counter_get(counters->handled),
		.misses = rs_counter_get(counters->xbzrle_cache_miss),
		.hits = rs_counter_get(counters->xbzrle_pages),
		.bytes = rs_counter_get(counters->xbzrle_bytes),
	};
	struct rs_delta_rates rates;

	if (!rs_deltas_on(deltas) ||
	    !rs_delta_rates(&deltas->counted, &now, state->page_bytes, &rates))
		return;
	rs_counter_set(counters->xbzrle_cache_miss_rate, rs_millionths(rates.misses));
	rs_counter_set(counters->xbzrle_encoding_rate, rs_millionths(rates.encoding));
	deltas->counted = now;
}

/* ---- pages --------------------------------------------------------------------------------- */

/* Pages that go in full, not written yet. They are adjacent, and so is what they are sent from: the
 * guest's memory, or the cache, whose slots are in the order of addresses. */
struct full_pages {
	uint64_t first;
	uint64_t count;
	const uint8_t *data;
};

static void write_full(struct rs_record_writer *writer, const struct rs_region *region,
		       struct full_pages *full)
{
	if (full->count > 0)
		rs_record_writer_copies(writer, region, full->first, full->count, full->data);
	full->count = 0;
}

static void add_full(struct rs_record_writer *writer, const struct rs_region *region,
		     struct full_pages *full, uint64_t page, const uint8_t *data)
{
	if (full->count == 0 || full->first + full->count != page ||
	    full->data + (full->count << writer->state->page_shift) != data) {
		write_full(writer, region, full);
		*full = (struct full_pages){ .first = page, .data = data };
	}
	full->count++;
}

/* A page that is not in the cache goes in full. From where: the cache, if it takes the page. */
static const uint8_t *miss(struct rs_deltas *deltas, struct rs_state *state, uint64_t address,
			   const uint8_t *live)
{
	uint8_t *copy = NULL;

	rs_counter_add(state->counters.xbzrle_cache_miss, 1);
	if (!deltas->last_stage)
		copy = rs_page_cache_insert(&deltas->cache, address, generation(state));
	if (copy == NULL)
		return live;
	rs_live_copy(copy, live, state->page_bytes);
	return copy;
}

/* Length of the delta, which is in deltas->delta; 0: nothing to send; or overflow: the page goes in
 * full. The cache has what the destination will have. */
static int hit(struct rs_deltas *deltas, struct rs_state *state, uint8_t *cached,
	       const uint8_t *live)
{
	rs_live_copy(deltas->snapshot, live, state->page_bytes);
	int bytes = rs_xbzrle_encode(cached, deltas->snapshot, state->page_bytes, deltas->delta,
				     state->page_bytes);

	if (bytes != 0)
		memcpy(cached, deltas->snapshot, state->page_bytes);
	rs_counter_add(state->counters.xbzrle_pages, 1);
	if (bytes == RS_XBZRLE_OVERFLOW) {
		rs_counter_add(state->counters.xbzrle_overflow, 1);
		rs_counter_add(state->counters.xbzrle_bytes, state->page_bytes);
	}
	return bytes;
}

void rs_deltas_send(struct rs_deltas *deltas, struct rs_record_writer *writer,
		    const struct rs_region *region, uint64_t first, uint64_t count)
{
	struct rs_state *state = writer->state;
	struct full_pages full = { .count = 0 };

	for (uint64_t page = first; page < first + count; page++) {
		uint64_t offset = page << state->page_shift;
		uint64_t address = region->ram_address + offset;
		const uint8_t *live = region->host + offset;
		uint8_t *cached = rs_page_cache_find(&deltas->cache, address, generation(state));

		if (cached == NULL) {
			add_full(writer, region, &full, page, miss(deltas, state, address, live));
			continue;
		}
		int bytes = hit(deltas, state, cached, live);

		if (bytes == RS_XBZRLE_OVERFLOW) {
			add_full(writer, region, &full, page, cached);
		} else if (bytes > 0) {
			write_full(writer, region, &full);
			rs_record_writer_delta(writer, region, page, deltas->delta, (size_t)bytes);
		}
	}
	write_full(writer, region, &full);
}

void rs_deltas_zero(struct rs_deltas *deltas, const struct rs_region *region, uint64_t first,
		    uint64_t count)
{
	const struct rs_state *state = region->state;

	if (deltas->last_stage)
		return;
	for (uint64_t page = first; page < first + count; page++) {
		uint64_t address = region->ram_address + (page << state->page_shift);
		uint8_t *copy = rs_page_cache_insert(&deltas->cache, address, generation(state));

		if (copy != NULL)
			memset(copy, 0, state->page_bytes);
	}
}
