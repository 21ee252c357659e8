/* SPDX-License-Identifier: MIT */
#include "load/postcopy_placer.h"

#include "base/checked.h"
#include "transport/stream.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* A part of a record: [at, end) of the region's bytes are still to come. */
struct part {
	struct rs_stream *stream;
	const struct rs_record *record;
	struct rs_region *region;
	uint64_t at;
	uint64_t end;
	bool zero; /* no content */
};

/* Two threads count. */
static void count(_Atomic uint64_t *counter, uint64_t more)
{
	atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}

/* ---- who has what -------------------------------------------------------------------------- */

/* How much of the region, from page on, is received, or is not. */
static uint64_t same_until(const struct rs_region *region, uint64_t start, uint64_t end,
			   bool received)
{
	unsigned shift = region->state->page_shift;
	uint64_t first = start >> shift, last = end >> shift;

	return (received ? rs_bitmap_find_clear(&region->received, first, last)
			 : rs_bitmap_find_set(&region->received, first, last))
	       << shift;
}

/* Take [start, end) in hand, or as much as is free; returns the end of that. If start is not free, *mine is false,
 * and it is the end of what is not. */
static uint64_t hold(struct rs_placer *placer, const struct rs_region *region, uint64_t start,
		     uint64_t end, bool *mine)
{
	const struct rs_placer_hold *other = &placer->other->hold;

	pthread_mutex_lock(placer->lock);
	uint64_t until = same_until(region, start, end, true);

	*mine = until == start;
	if (*mine && other->region == region && other->start <= start && start < other->end) {
		*mine = false;
		until = rs_min_u64(other->end, end);
	}
	if (*mine) {
		until = same_until(region, start, end, false);
		if (other->region == region && other->start > start)
			until = rs_min_u64(until, other->start);
		placer->hold = (struct rs_placer_hold){ region, start, until };
	}
	pthread_mutex_unlock(placer->lock);
	return until;
}

/* After its pages were received, or will not be. */
static void let_go(struct rs_placer *placer)
{
	pthread_mutex_lock(placer->lock);
	placer->hold = (struct rs_placer_hold){ .region = NULL };
	pthread_mutex_unlock(placer->lock);
}

/* ---- content ------------------------------------------------------------------------------- */

static int inflate_page(struct rs_placer *placer, const struct part *part, uint8_t *to)
{
	struct rs_page_reader *reader = placer->reader;
	size_t bytes = (size_t)part->record->content, page_bytes = reader->state->page_bytes;
	const char *reason;

	if (placer->compressed == NULL) {
		placer->compressed = malloc(reader->rules->compressed_limit);
		if (placer->compressed == NULL || rs_inflater_init(&placer->inflater) != 0) {
			free(placer->compressed);
			placer->compressed = NULL;
			return rs_page_reader_fail(reader, -ENOMEM,
						   "no memory to decompress pages");
		}
	}
	if (rs_stream_read_into(part->stream, placer->compressed, bytes, NULL) != 0)
		return rs_page_reader_check_stream(reader, part->stream);
	int got =
	    rs_inflate_page(&placer->inflater, placer->compressed, bytes, to, page_bytes, &reason);

	if (got < 0)
		return rs_page_reader_fail(
		    reader, got, "region %s, offset 0x%llx: a malformed compressed page: %s",
		    part->region->name, (unsigned long long)part->at, reason);
	if ((size_t)got < page_bytes && !placer->lax)
		return rs_page_reader_fail(
		    reader, -EINVAL, "region %s, offset 0x%llx: a compressed page of %d bytes",
		    part->region->name, (unsigned long long)part->at, got);
	memset(to + got, 0, page_bytes - (size_t)got);
	return 0;
}

/* Content of bytes from part->at on; not of zeros. */
static int get_content(struct rs_placer *placer, const struct part *part, uint8_t *to,
		       uint64_t bytes)
{
	switch (part->record->kind) {
	case RS_RECORD_COMPRESSED:
		return inflate_page(placer, part, to);
	case RS_RECORD_ZERO:
		memset(to, part->record->fill, bytes);
		return 0;
	default:
		rs_stream_read_into(part->stream, to, bytes, NULL);
		return rs_page_reader_check_stream(placer->reader, part->stream);
	}
}

static int forget_content(struct rs_placer *placer, const struct part *part, uint64_t bytes)
{
	struct rs_state *state = placer->reader->state;

	count(&state->counters.postcopy_duplicates, bytes >> state->page_shift);
	if (part->record->kind == RS_RECORD_COMPRESSED)
		bytes = part->record->content;
	if (part->record->content != 0)
		rs_stream_skip(part->stream, bytes);
	return rs_page_reader_check_stream(placer->reader, part->stream);
}

static int put(struct rs_placer *placer, struct rs_region *region, uint64_t at, uint64_t bytes,
	       const uint8_t *data)
{
	struct rs_error error = { 0 };

	if (rs_faults_place(placer->faults, region, at, bytes, data, &error) == 0)
		return 0;
	return rs_page_reader_fail(placer->reader, error.code, "%s", error.text);
}

static uint8_t *room_for(const struct rs_placer *placer, const struct part *part)
{
	uint8_t *staging = rs_faults_staging(placer->faults, part->region, part->at);

	return staging != NULL ? staging : placer->buffer;
}

/* ---- target pages that are placed each for itself ------------------------------------------ */

static int place_stretch(struct rs_placer *placer, const struct part *part, uint64_t bytes)
{
	uint8_t *content = part->zero ? NULL : room_for(placer, part);
	int result = part->zero ? 0 : get_content(placer, part, content, bytes);

	return result != 0 ? result : put(placer, part->region, part->at, bytes, content);
}

static int take_pages(struct rs_placer *placer, struct part *part)
{
	uint64_t end =
	    part->zero ? part->end : rs_min_u64(part->end, part->at + RS_PLACER_PIECE_BYTES);
	bool mine;
	uint64_t until = hold(placer, part->region, part->at, end, &mine);
	int result;

	if (mine) {
		result = place_stretch(placer, part, until - part->at);
		let_go(placer);
	} else {
		result = forget_content(placer, part, until - part->at);
	}
	part->at = until;
	return result;
}

/* ---- host pages that are larger ------------------------------------------------------------ */

static int begin_host_page(struct rs_placer *placer, const struct part *part, uint64_t unit)
{
	bool mine;

	if (!rs_is_aligned(part->at, unit))
		return rs_page_reader_fail(
		    placer->reader, -EINVAL,
		    "region %s, offset 0x%llx: in the middle of a host page of which nothing came",
		    part->region->name, (unsigned long long)part->at);
	hold(placer, part->region, part->at, part->at + unit, &mine);
	placer->region = part->region;
	placer->start = part->at;
	placer->unwanted = !mine;
	placer->empty = true;
	placer->content = room_for(placer, part);
	return 0;
}

static int go_on_with_host_page(const struct rs_placer *placer, const struct part *part,
				uint64_t filled)
{
	if (placer->region == part->region && placer->start + filled == part->at)
		return 0;
	return rs_page_reader_fail(
	    placer->reader, -EINVAL,
	    "region %s, offset 0x%llx: a page where the host page at 0x%llx of region %s goes on "
	    "at 0x%llx",
	    part->region->name, (unsigned long long)part->at, (unsigned long long)placer->start,
	    placer->region->name, (unsigned long long)(placer->start + filled));
}

static int collect(struct rs_placer *placer, const struct part *part, uint64_t filled,
		   uint64_t bytes)
{
	if (placer->unwanted)
		return forget_content(placer, part, bytes);
	if (part->zero && placer->empty)
		return 0;
	if (placer->empty)
		memset(placer->content, 0, filled);
	placer->empty = false;
	if (!part->zero)
		return get_content(placer, part, placer->content + filled, bytes);
	memset(placer->content + filled, 0, bytes);
	return 0;
}

static int finish_host_page(struct rs_placer *placer, struct rs_region *region, uint64_t unit)
{
	int result = 0;

	if (!placer->unwanted)
		result = put(placer, region, placer->start, unit,
			     placer->empty ? NULL : placer->content);
	rs_placer_abandon(placer);
	return result;
}

static int take_of_host_page(struct rs_placer *placer, struct part *part, uint64_t unit)
{
	uint64_t filled = atomic_load_explicit(&placer->filled, memory_order_relaxed);
	uint64_t end = rs_min_u64(part->end, rs_align_down(part->at, unit) + unit);
	uint64_t bytes = end - part->at;
	int result = filled == 0 ? begin_host_page(placer, part, unit)
				 : go_on_with_host_page(placer, part, filled);

	if (result == 0)
		result = collect(placer, part, filled, bytes);
	if (result != 0)
		return result;
	part->at = end;
	atomic_store_explicit(&placer->filled, filled + bytes, memory_order_relaxed);
	return filled + bytes == unit ? finish_host_page(placer, part->region, unit) : 0;
}

void rs_placer_abandon(struct rs_placer *placer)
{
	let_go(placer);
	atomic_store_explicit(&placer->filled, 0, memory_order_relaxed);
}

/* ---- records ------------------------------------------------------------------------------- */

static void count_record(struct rs_counters *counters, const struct rs_record *record,
			 uint64_t pages, uint64_t header_bytes)
{
	count(&counters->transferred, header_bytes + record->content);
	if (record->kind == RS_RECORD_COMPRESSED) {
		count(&counters->compress_pages, 1);
		count(&counters->compress_bytes, header_bytes - 8 + record->content);
	} else {
		count(record->content != 0 ? &counters->normal : &counters->duplicate, pages);
	}
}

int rs_placer_take(struct rs_placer *placer, struct rs_stream *stream,
		   const struct rs_record *record, uint64_t header_bytes)
{
	struct rs_state *state = placer->reader->state;
	struct part part = {
		.stream = stream,
		.record = record,
		.region = placer->reader->last,
		.at = record->address,
		.end = record->address + record->bytes,
		.zero = record->content == 0 && record->fill == 0,
	};
	uint64_t unit = rs_placement_bytes(part.region);
	int result = 0;

	count_record(&state->counters, record, record->bytes >> state->page_shift, header_bytes);
	while (result == 0 && part.at < part.end)
		result = unit == state->page_bytes ? take_pages(placer, &part)
						   : take_of_host_page(placer, &part, unit);
	return result;
}

/* ---- life ---------------------------------------------------------------------------------- */

int rs_placer_init(struct rs_placer *placer, uint64_t largest)
{
	placer->buffer_bytes = (size_t)rs_max_u64(largest, RS_PLACER_PIECE_BYTES);
	/* Mapped, so that what is not used, because content is staged, takes no memory. */
	void *buffer = mmap(NULL, placer->buffer_bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (buffer == MAP_FAILED)
		return -ENOMEM;
	placer->buffer = buffer;
	return 0;
}

void rs_placer_fini(struct rs_placer *placer)
{
	if (placer->buffer != NULL)
		munmap(placer->buffer, placer->buffer_bytes);
	if (placer->compressed != NULL)
		rs_inflater_fini(&placer->inflater);
	free(placer->compressed);
	placer->buffer = placer->compressed = NULL;
}
