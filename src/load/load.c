/* SPDX-License-Identifier: MIT */
#include "load/load.h"

#include "base/checked.h"
#include "load/block_list.h"
#include "load/page_placer.h"
#include "load/peek.h"
#include "load/postcopy_load.h"

#include <stdlib.h>

/* ---- records ------------------------------------------------------------------------------- */

/* name: the region's, or "" for a record that is about none. */
static void observe(struct rs_load *load, const struct rs_record *record, uint64_t stream_bytes,
		    const char *name)
{
	if (load->ops.observe == NULL)
		return;
	bool pages = rs_record_has_pages(record);
	const struct rs_observation seen = {
		.size = sizeof(seen),
		.type = RS_OBSERVED_RECORD,
		.offset = load->record_at,
		.stream_bytes = stream_bytes,
		.number = record->kind,
		.name = name,
		.address = pages ? record->address : 0,
		.bytes = pages                                  ? record->bytes
			 : record->kind == RS_RECORD_BLOCK_LIST ? record->address
								: 0,
	};

	load->ops.observe(load->opaque, &seen);
}

static void place_content(struct rs_load *load, struct rs_stream *stream,
			  const struct rs_record *record, uint64_t first, uint64_t count)
{
	struct rs_counters *counters = &load->state->counters;

	rs_place_content(load, stream, load->reader.last, first, count);
	rs_counter_add(counters->normal, count);
	rs_counter_add(counters->transferred, record->bytes);
}

static void place_zero(struct rs_load *load, const struct rs_record *record, uint64_t first,
		       uint64_t count)
{
	if (record->fill != 0)
		rs_place_fill(load->reader.last, first, record->fill);
	else
		rs_place_zero(load, load->reader.last, first, count);
	rs_counter_add(load->state->counters.duplicate, count);
}

static void place_delta(struct rs_load *load, struct rs_stream *stream,
			const struct rs_record *record, uint64_t page)
{
	struct rs_counters *counters = &load->state->counters;
	size_t bytes = (size_t)record->content;

	/* Not where it lies in the stream: one to a page over 4 KiB may be longer than a peek. A
	 * delta that breaks off leaves its page alone. */
	if (rs_stream_get_bytes(stream, load->delta, bytes) != 0)
		return;
	if (rs_place_delta(load->reader.last, page, load->delta, bytes) != 0)
		rs_page_reader_refuse(&load->reader, record, "a malformed XBZRLE delta");
	rs_counter_add(counters->xbzrle_pages, 1);
	rs_counter_add(counters->xbzrle_bytes, bytes);
	rs_counter_add(counters->transferred, bytes);
}

static void place_compressed(struct rs_load *load, struct rs_stream *stream,
			     const struct rs_record *record, uint64_t page)
{
	struct rs_counters *counters = &load->state->counters;

	rs_decompressor_take(&load->decompressor, stream, load->reader.last, page,
			     (size_t)record->content);
	/* Who watches is to hear of a failure before it hears of the next record. */
	if (load->ops.observe != NULL)
		rs_decompressor_drain(&load->decompressor);
	rs_counter_add(counters->compress_pages, 1);
	rs_counter_add(counters->compress_bytes, record->content);
	rs_counter_add(counters->transferred, record->content);
}

static void place(struct rs_load *load, struct rs_stream *stream, const struct rs_record *record)
{
	uint64_t first = record->address >> load->state->page_shift;
	uint64_t count = record->bytes >> load->state->page_shift;

	rs_decompressor_settle(&load->decompressor, first, count);
	rs_bitmap_set_range(&load->reader.last->received, first, count);
	switch (record->kind) {
	case RS_RECORD_PAGE:
	case RS_RECORD_PAGE_RUN:
		place_content(load, stream, record, first, count);
		break;
	case RS_RECORD_XBZRLE:
		place_delta(load, stream, record, first);
		break;
	case RS_RECORD_COMPRESSED:
		place_compressed(load, stream, record, first);
		break;
	default:
		place_zero(load, record, first, count);
	}
}

static void forget_content(struct rs_load *load, struct rs_stream *stream,
			   const struct rs_record *record, uint64_t pages)
{
	struct rs_counters *counters = &load->state->counters;
	uint64_t bytes = rs_min_u64(record->content, pages << load->state->page_shift);

	rs_stream_skip(stream, bytes);
	rs_counter_add(counters->transferred, bytes);
	rs_counter_add(counters->postcopy_duplicates, pages);
}

/* A recording of postcopy: a page that came was the guest's from then on. */
static void place_missing(struct rs_load *load, struct rs_stream *stream,
			  const struct rs_record *record)
{
	const struct rs_bitmap *received = &load->reader.last->received;
	unsigned shift = load->state->page_shift;
	uint64_t page = record->address >> shift, end = page + (record->bytes >> shift);

	while (page < end) {
		uint64_t first = rs_bitmap_find_clear(received, page, end);

		if (first > page)
			forget_content(load, stream, record, first - page);
		page = rs_bitmap_find_set(received, first, end);
		if (page == first)
			continue;
		struct rs_record missing = *record;

		missing.address = first << shift;
		missing.bytes = (page - first) << shift;
		place(load, stream, &missing);
	}
}

static void place_and_count(struct rs_load *load, struct rs_stream *stream,
			    const struct rs_record *record, uint64_t header_bytes)
{
	struct rs_counters *counters = &load->state->counters;

	rs_counter_add(counters->transferred, header_bytes);
	if (record->kind == RS_RECORD_XBZRLE)
		rs_counter_add(counters->xbzrle_bytes, header_bytes - 8);
	if (record->kind == RS_RECORD_COMPRESSED)
		rs_counter_add(counters->compress_bytes, header_bytes - 8);
	if (load->postcopy != NULL)
		place_missing(load, stream, record);
	else
		place(load, stream, record);
}

static int load_pages(struct rs_load *load, struct rs_stream *stream,
		      const struct rs_record *record, int header_bytes)
{
	struct rs_postcopy_load *postcopy = load->postcopy;
	int result = rs_page_reader_locate(&load->reader, record);

	if (result == 0 && !load->lax)
		result = rs_page_reader_check_damage(&load->reader, record);
	if (result != 0)
		return result;
	observe(load, record, (uint64_t)header_bytes + record->content, load->reader.last->name);
	rs_stream_skip(stream, (uint64_t)header_bytes);
	if (postcopy != NULL && postcopy->faults != NULL)
		return rs_placer_take(&postcopy->main, stream, record, (uint64_t)header_bytes);
	place_and_count(load, stream, record, (uint64_t)header_bytes);
	return rs_session_check_stream(load->state, stream);
}

/* 1 at the end of the body, 0 if it goes on, or the session's error. */
static int load_record(struct rs_load *load, struct rs_stream *stream)
{
	struct rs_record record;

	load->record_at = rs_stream_bytes_read(stream);
	int bytes = rs_peek_record(&load->reader, stream, &record);

	if (bytes < 0)
		return bytes;
	if (load->postcopy != NULL && rs_load_check_postcopy(&load->reader, &record) != 0)
		return rs_session_code(load->state);
	if (rs_record_has_pages(&record))
		return load_pages(load, stream, &record, bytes);
	observe(load, &record, (uint64_t)bytes, "");
	rs_stream_skip(stream, (uint64_t)bytes);
	if (record.kind == RS_RECORD_BLOCK_LIST) {
		/* A region may be resized. */
		rs_decompressor_drain(&load->decompressor);
		return rs_block_list_load(load, stream, record.address);
	}
	/* Some versions of QEMU write FLUSH without channels, too: there is nothing to wait for. */
	return record.kind == RS_RECORD_EOS;
}

static int load_body(struct rs_load *load, struct rs_stream *stream)
{
	int result;

	do
		result = load_record(load, stream);
	while (result == 0 && rs_session_code(load->state) == 0);
	if (rs_session_code(load->state) != 0)
		return rs_session_code(load->state);
	return rs_session_check_stream(load->state, stream);
}

int rs_ram_load(struct rs_state *state, struct rs_stream *stream, uint32_t version)
{
	if (version != RS_RAM_SECTION_VERSION)
		return rs_session_fail(state, -EINVAL, "section ram: version %u instead of %d",
				       version, RS_RAM_SECTION_VERSION);
	int result = load_body(state->load, stream);

	/* What is still under way can fail, too. */
	rs_page_reader_release(&state->load->reader);
	return rs_session_code(state) != 0 ? rs_session_code(state) : result;
}

/* How many pages of a region never came, and the first of them. */
static uint64_t missing_pages(const struct rs_region *region, uint64_t *first)
{
	uint64_t end = rs_region_pages(region), missing = 0;

	*first = rs_bitmap_find_clear(&region->received, 0, end);
	for (uint64_t page = *first; page < end;) {
		uint64_t next = rs_bitmap_find_set(&region->received, page, end);

		missing += next - page;
		page = rs_bitmap_find_clear(&region->received, next, end);
	}
	return missing;
}

/* With x-ignore-shared, a region of which nothing came is one that the source ignores. */
static bool should_be_here(const struct rs_region *region, uint64_t missing)
{
	return missing > 0 &&
	       (missing < rs_region_pages(region) || !rs_state_ignores_shared(region->state));
}

int rs_ram_load_check_received(struct rs_state *state, bool lax)
{
	static const char text[] = "region %s: %llu of its %llu pages never came, the first at "
				   "offset 0x%llx: the source sends them elsewhere (multifd) or "
				   "leaves them out";
	struct rs_region *region;

	rs_region_for_each (state, region) {
		uint64_t first, missing = 0;

		if (region->received.words != NULL && !rs_region_has(region, RS_REGION_IGNORED))
			missing = missing_pages(region, &first);
		if (!should_be_here(region, missing))
			continue;
		unsigned long long pages = rs_region_pages(region),
				   offset = first << state->page_shift;

		if (lax)
			rs_session_warn(state, text, region->name, (unsigned long long)missing,
					pages, offset);
		else
			rs_session_fail(state, -ENODATA, text, region->name,
					(unsigned long long)missing, pages, offset);
	}
	return rs_session_code(state);
}

/* ---- set-up and clean-up ------------------------------------------------------------------- */

int rs_ram_load_setup(struct rs_state *state, const struct rs_load_ops *ops, void *opaque)
{
	struct rs_load *load = calloc(1, sizeof(*load));

	if (load == NULL)
		return rs_session_fail(state, -ENOMEM, "no memory to set a load up");
	load->state = state;
	if (ops != NULL)
		load->ops = *ops;
	load->opaque = opaque;
	load->rules.page_bytes = state->page_bytes;
	load->rules.compressed_limit = rs_decompressor_limit(state);
	rs_decompressor_init(&load->decompressor, load);
	load->reader = (struct rs_page_reader){
		.state = state,
		.rules = &load->rules,
		.decompressor = &load->decompressor,
	};
	load->lax = rs_params_number(&state->params, RS_PARAM_LAX) != 0;
	pthread_mutex_lock(&state->lock);
	state->load = load;
	pthread_mutex_unlock(&state->lock);
	return rs_regions_check_ignored(state);
}

void rs_ram_load_allow_runs(struct rs_state *state)
{
	state->load->rules.runs = true;
}

/* What a load has of a region. A region that is removed gives it back by itself. */
static void forget_region(struct rs_region *region)
{
	rs_bitmap_fini(&region->written);
	rs_bitmap_fini(&region->received);
	region->listed = false;
	region->zero_until_written = false;
}

void rs_ram_load_cleanup(struct rs_state *state)
{
	struct rs_load *load = state->load;

	if (load == NULL)
		return;
	rs_page_reader_release(&load->reader);
	rs_decompressor_fini(&load->decompressor);
	rs_load_end_postcopy(load);
	rs_population_slot_clear(&load->population);
	rs_region_visit_all(state, forget_region);
	pthread_mutex_lock(&state->lock);
	state->load = NULL;
	pthread_mutex_unlock(&state->lock);
	free(load);
}
