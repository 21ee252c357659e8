/* SPDX-License-Identifier: MIT */
#include "load/postcopy_load.h"

#include "base/checked.h"
#include "load/peek.h"
#include "postcopy/discard.h"

#include <stdlib.h>

/* The largest host page for which memory is found, twice. */
#define MAX_UNIT_BYTES (1ull << 30)

/* Ranges of a discard; there are seldom more in one. */
#define DISCARD_AT_ONCE 64u

/* ---- before pages are placed --------------------------------------------------------------- */

int rs_ram_load_advise(struct rs_state *state, const struct rs_postcopy_advice *advice)
{
	struct rs_load *load = state->load;

	if (load->listed || load->advised)
		return rs_session_fail(state, -EINVAL,
				       "POSTCOPY_ADVISE comes twice, or after the list of regions");
	if (rs_state_ignores_shared(state))
		return rs_session_fail(state, -EINVAL,
				       "POSTCOPY_ADVISE: x-ignore-shared is on, and they do not go "
				       "together");
	if (advice->target_page_bytes != state->page_bytes)
		return rs_session_fail(state, -EINVAL,
				       "POSTCOPY_ADVISE: pages of %llu bytes there and %u here",
				       (unsigned long long)advice->target_page_bytes,
				       state->page_bytes);
	load->advised = true;
	load->host_page_sizes = advice->host_page_sizes;
	return rs_session_code(state);
}

int rs_load_empty_region(struct rs_load *load, struct rs_region *region)
{
	struct rs_error error = { 0 };

	if (rs_discard_region(region, &error) != 0)
		return rs_session_fail_with(load->state, &error);
	return 0;
}

static uint64_t listed_host_page_sizes(struct rs_state *state)
{
	struct rs_region *region;
	uint64_t sizes = 0;

	rs_region_for_each (state, region)
		if (region->listed)
			sizes |= region->host_page_bytes;
	return sizes;
}

int rs_load_check_host_pages(struct rs_load *load)
{
	static const char text[] = "POSTCOPY_ADVISE: the sizes of host pages are 0x%llx there and "
				   "0x%llx here, all ORed";
	struct rs_state *state = load->state;
	unsigned long long there = load->host_page_sizes, here = listed_host_page_sizes(state);

	if (here == there)
		return rs_session_code(state);
	/* A recording can be read on other memory than it was made for. */
	if (!load->lax)
		return rs_session_fail(state, -EINVAL, text, there, here);
	rs_session_warn(state, text, there, here);
	return rs_session_code(state);
}

static int discard_ranges(struct rs_region *region, const struct rs_discard *discard,
			  struct rs_error *error)
{
	struct rs_byte_range ranges[DISCARD_AT_ONCE];
	int result = 0;

	for (size_t at = 0; at < discard->count && result == 0;) {
		size_t count = (size_t)rs_min_u64(discard->count - at, DISCARD_AT_ONCE);

		for (size_t i = 0; i < count; i++)
			ranges[i] = rs_discard_range(discard, at + i);
		result = rs_discard_ranges(region, ranges, count, error);
		at += count;
	}
	return result;
}

int rs_ram_load_discard(struct rs_state *state, const struct rs_discard *discard)
{
	struct rs_load *load = state->load;
	struct rs_error error = { 0 };

	if (!load->advised || load->postcopy != NULL)
		return rs_session_fail(state, -EINVAL,
				       "POSTCOPY_RAM_DISCARD without POSTCOPY_ADVISE, or after "
				       "POSTCOPY_LISTEN");
	struct rs_region *region = rs_region_find_pinned(state, discard->name, discard->name_bytes);

	if (region == NULL || region->received.words == NULL)
		rs_error_setf(
		    &error, -EINVAL,
		    "POSTCOPY_RAM_DISCARD: region %.*s is unknown here, or was not listed",
		    discard->name_bytes, discard->name);
	else
		discard_ranges(region, discard, &error);
	if (region != NULL)
		rs_region_unpin(region);
	return error.code != 0 ? rs_session_fail_with(state, &error) : rs_session_code(state);
}

/* ---- the beginning ------------------------------------------------------------------------- */

/*
 * A host page is here as a whole or not at all, or it could be neither placed nor left alone: the source has it
 * discarded otherwise.
 */
static int check_whole_pages(struct rs_state *state, const struct rs_region *region)
{
	unsigned shift = state->page_shift;
	uint64_t unit = rs_placement_bytes(region) >> shift, end = rs_region_pages(region);
	uint64_t page = 0;
	bool set = false;

	if (unit == 1)
		return 0;
	while (page < end && rs_is_aligned(page, unit)) {
		page = set ? rs_bitmap_find_clear(&region->received, page, end)
			   : rs_bitmap_find_set(&region->received, page, end);
		set = !set;
	}
	if (page >= end)
		return 0;
	return rs_session_fail(state, -EINVAL,
			       "region %s, offset 0x%llx: only a part of the host page there came "
			       "before postcopy, and it was not discarded",
			       region->name, (unsigned long long)page << shift);
}

static int check_regions(struct rs_state *state, uint64_t *largest)
{
	struct rs_region *region;

	*largest = 0;
	rs_region_for_each (state, region) {
		uint64_t unit = rs_placement_bytes(region);

		if (region->received.words == NULL)
			continue;
		if (unit > MAX_UNIT_BYTES)
			rs_session_fail(state, -EINVAL,
					"region %s: host pages of %llu bytes are too large for "
					"postcopy",
					region->name, (unsigned long long)unit);
		check_whole_pages(state, region);
		*largest = rs_max_u64(*largest, unit);
	}
	return rs_session_code(state);
}

static int init_placers(struct rs_load *load, struct rs_faults *faults, uint64_t largest)
{
	struct rs_postcopy_load *postcopy = load->postcopy;

	postcopy->urgent_reader = (struct rs_page_reader){
		.state = load->state,
		.rules = &load->rules,
		.error = &postcopy->urgent_error,
	};
	postcopy->main = (struct rs_placer){
		.faults = faults,
		.reader = &load->reader,
		.other = &postcopy->urgent,
		.lock = &postcopy->lock,
		.lax = load->lax,
	};
	postcopy->urgent = postcopy->main;
	postcopy->urgent.reader = &postcopy->urgent_reader;
	postcopy->urgent.other = &postcopy->main;
	if (rs_placer_init(&postcopy->main, largest) != 0 ||
	    rs_placer_init(&postcopy->urgent, largest) != 0)
		return rs_session_fail(load->state, -ENOMEM,
				       "no memory to collect host pages of %llu bytes",
				       (unsigned long long)largest);
	return 0;
}

int rs_ram_load_begin_postcopy(struct rs_state *state, struct rs_faults *faults)
{
	struct rs_load *load = state->load;
	uint64_t largest = 0;

	if (!load->advised || !load->listed)
		return rs_session_fail(
		    state, -EINVAL,
		    "postcopy begins without POSTCOPY_ADVISE, or before the list "
		    "of regions");
	if (faults != NULL && check_regions(state, &largest) != 0)
		return rs_session_code(state);
	load->postcopy = calloc(1, sizeof(*load->postcopy));
	if (load->postcopy == NULL)
		return rs_session_fail(state, -ENOMEM, "no memory to load by postcopy");
	load->postcopy->faults = faults;
	pthread_mutex_init(&load->postcopy->lock, NULL);
	return faults != NULL ? init_placers(load, faults, largest) : rs_session_code(state);
}

void rs_load_end_postcopy(struct rs_load *load)
{
	if (load->postcopy == NULL)
		return;
	rs_placer_fini(&load->postcopy->main);
	rs_placer_fini(&load->postcopy->urgent);
	pthread_mutex_destroy(&load->postcopy->lock);
	free(load->postcopy);
	load->postcopy = NULL;
}

void rs_ram_load_resume(struct rs_state *state)
{
	struct rs_load *load = state->load;
	struct rs_postcopy_load *postcopy = load->postcopy;

	rs_page_reader_release(&load->reader);
	load->reader.last = NULL;
	if (postcopy == NULL || postcopy->faults == NULL)
		return;
	postcopy->urgent_reader.last = NULL;
	rs_placer_abandon(&postcopy->main);
	rs_placer_abandon(&postcopy->urgent);
}

/* ---- while the guest runs ------------------------------------------------------------------ */

int rs_load_check_postcopy(struct rs_page_reader *reader, const struct rs_record *record)
{
	if (record->kind == RS_RECORD_BLOCK_LIST)
		return rs_page_reader_fail(reader, -EINVAL, "a list of regions in postcopy");
	if (record->kind == RS_RECORD_XBZRLE)
		return rs_page_reader_fail(reader, -EINVAL,
					   "record at offset 0x%llx: an XBZRLE delta in postcopy",
					   (unsigned long long)record->address);
	return 0;
}

/* 1 at the end, 0 if it goes on, or the first failure. */
static int urgent_record(struct rs_load *load, struct rs_stream *stream)
{
	struct rs_postcopy_load *postcopy = load->postcopy;
	struct rs_page_reader *reader = &postcopy->urgent_reader;
	struct rs_record record;
	const uint8_t *data;

	if (rs_stream_peek(stream, &data, 1) == 0)
		return 1;
	int bytes = rs_peek_record(reader, stream, &record);
	int result = bytes < 0 ? bytes : rs_load_check_postcopy(reader, &record);

	if (result == 0 && rs_record_has_pages(&record))
		result = rs_page_reader_locate(reader, &record);
	if (result == 0 && rs_record_has_pages(&record) && !load->lax)
		result = rs_page_reader_check_damage(reader, &record);
	if (result != 0)
		return result;
	rs_stream_skip(stream, (uint64_t)bytes);
	if (rs_record_has_pages(&record))
		return rs_placer_take(&postcopy->urgent, stream, &record, (uint64_t)bytes);
	return record.kind == RS_RECORD_EOS;
}

static bool has_part(const struct rs_placer *placer)
{
	return atomic_load_explicit(&placer->filled, memory_order_relaxed) != 0;
}

static int check_urgent_end(const struct rs_placer *placer)
{
	if (!has_part(placer))
		return 0;
	return rs_page_reader_fail(placer->reader, -ENODATA,
				   "region %s: the urgent stream ended inside the host page at "
				   "offset 0x%llx",
				   placer->region->name, (unsigned long long)placer->start);
}

int rs_ram_load_urgent(struct rs_state *state, struct rs_stream *stream, struct rs_error *error)
{
	struct rs_load *load = state->load;
	struct rs_postcopy_load *postcopy = load->postcopy;
	int result = 0;

	if (postcopy == NULL || postcopy->faults == NULL)
		return rs_error_setf(error, -EINVAL, "an urgent stream, and no postcopy");
	postcopy->urgent_error = (struct rs_error){ 0 };
	while (result == 0)
		result = urgent_record(load, stream);
	if (result > 0)
		result = check_urgent_end(&postcopy->urgent);
	rs_page_reader_release(&postcopy->urgent_reader);
	rs_placer_abandon(&postcopy->urgent);
	if (result != 0)
		rs_error_setf(error, result, "%s", postcopy->urgent_error.text);
	return result;
}

bool rs_ram_load_is_between_pages(const struct rs_state *state)
{
	const struct rs_postcopy_load *postcopy = state->load->postcopy;

	return postcopy == NULL || (!has_part(&postcopy->main) && !has_part(&postcopy->urgent));
}
