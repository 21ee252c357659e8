/* SPDX-License-Identifier: MIT */
#include "save/page_pipeline.h"

#include "base/checked.h"
#include "base/clock.h"
#include "codec/zero_page.h"
#include "transport/stream.h"

/* Between two looks at limits and clock; also the longest run in one record of content. */
#define PIECE_PAGES 256u

/* Scanned zero pages that may wait to become one longer run; costs a call for so many. */
#define TELL_ZERO_PAGES (16 * PIECE_PAGES)

/* How long a body may get, so that its caller can look at the world. */
#define BODY_NS (50 * RS_NS_PER_MS)

/* Holes that are asked for at once. */
#define HOLES 256u

/* Asking for the population costs a system call; short runs are written pages, and just read. */
#define ASK_POPULATION_PAGES 32u

static bool body_is_over(const struct rs_save *save)
{
	return save->limited && (rs_stream_rate_exceeded(save->writer.stream) ||
				 rs_clock_ns() - save->body_start_ns > BODY_NS);
}

/* Pages of the next piece: what the rate limit still allows, but at least one. */
static uint64_t piece_pages(const struct rs_save *save, uint64_t left)
{
	uint64_t pages = rs_min_u64(left, PIECE_PAGES);

	if (!save->limited)
		return pages;
	uint64_t allowed = rs_stream_rate_left(save->writer.stream) >> save->state->page_shift;

	return rs_min_u64(pages, rs_max_u64(allowed, 1));
}

/* What changed is sent of pages that may have been sent before. */
static bool sends_deltas(const struct rs_save *save)
{
	return rs_deltas_on(&save->deltas) && save->cursor.wraps > 0;
}

static void send_zero(struct rs_save *save, const struct rs_region *region, uint64_t first,
		      uint64_t count)
{
	rs_record_writer_zero(&save->writer, region, first, count);
	if (sends_deltas(save))
		rs_deltas_zero(&save->deltas, region, first, count);
}

static void send_content(struct rs_save *save, const struct rs_region *region, uint64_t first,
			 uint64_t count)
{
	if (sends_deltas(save))
		rs_deltas_send(&save->deltas, &save->writer, region, first, count);
	else if (rs_compressor_on(&save->compressor))
		rs_compressor_send(&save->compressor, region, first, count);
	else
		rs_record_writer_pages(&save->writer, region, first, count);
}

/* Zero pages and pages with content, in turn. */
static void send_piece(struct rs_save *save, const struct rs_region *region, uint64_t first,
		       uint64_t count)
{
	const struct rs_state *state = save->state;
	const uint8_t *data = region->host + (first << state->page_shift);

	while (count > 0) {
		uint64_t zero = rs_zero_run_pages(data, count, state->page_bytes, true);

		if (zero > 0)
			send_zero(save, region, first, zero);
		data += zero << state->page_shift;
		first += zero;
		count -= zero;
		if (count == 0)
			break;
		uint64_t full = rs_zero_run_pages(data, count, state->page_bytes, false);

		/* A page can turn zero between the two looks: it is sent as it is. */
		full = rs_max_u64(full, 1);
		send_content(save, region, first, full);
		data += full << state->page_shift;
		first += full;
		count -= full;
	}
}

/*
 * Zero pages that were read here are read at the destination as well, unless its memory is known to
 * be zero. So it hears of them soon: both ends read at the same time.
 */
static void send_waiting_zeros(struct rs_save *save)
{
	if (save->writer.zero_count >= TELL_ZERO_PAGES)
		rs_record_writer_flush(&save->writer);
}

/* Pages that may hold data. Returns the first page that was not sent. */
static uint64_t send_populated(struct rs_save *save, const struct rs_region *region, uint64_t page,
			       uint64_t end)
{
	while (page < end && !body_is_over(save)) {
		uint64_t count = piece_pages(save, end - page);

		send_piece(save, region, page, count);
		send_waiting_zeros(save);
		page += count;
	}
	return page;
}

static uint64_t send_hole(struct rs_save *save, const struct rs_region *region, uint64_t page,
			  uint64_t end)
{
	/* As one record, or as a record for each page: those count against the limits. */
	while (page < end && (save->writer.runs || !body_is_over(save))) {
		uint64_t count = save->writer.runs ? end - page : piece_pages(save, end - page);

		send_zero(save, region, page, count);
		rs_counter_add(save->state->counters.zero_run_pages, count);
		page += count;
	}
	return page;
}

/* Holes, and what lies between them. Returns the first page that was not sent. */
static uint64_t send_sparse(struct rs_save *save, const struct rs_page_run *run,
			    const struct rs_population *population)
{
	const struct rs_region *region = run->region;
	unsigned shift = save->state->page_shift;
	uint64_t page = run->first, end = run->first + run->count;
	struct rs_extent holes[HOLES];

	while (page < end) {
		size_t count;
		uint64_t known = rs_population_scan(population, page << shift, end << shift, holes,
						    HOLES, &count) >>
				 shift;

		for (size_t i = 0; i < count; i++) {
			uint64_t hole = holes[i].start >> shift, hole_end = holes[i].end >> shift;

			page = send_populated(save, region, page, hole);
			if (page == hole)
				page = send_hole(save, region, page, hole_end);
			if (page < hole_end)
				return page;
		}
		page = send_populated(save, region, page, known);
		if (page < known)
			return page;
	}
	return page;
}

int rs_pipeline_send(struct rs_save *save, const struct rs_page_run *run)
{
	uint64_t end = run->first + run->count, page;
	const struct rs_population *population = NULL;

	if (run->count >= ASK_POPULATION_PAGES)
		population = rs_population_slot_get(&save->population, run->region);
	if (population == NULL)
		page = send_populated(save, run->region, run->first, end);
	else
		page = send_sparse(save, run, population);
	rs_counter_add(save->state->counters.handled, page - run->first);
	if (page == end)
		return 0;
	rs_page_cursor_put_back(&save->cursor, page, end - page);
	return 1;
}
