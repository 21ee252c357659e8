/* SPDX-License-Identifier: MIT */
#include "save/whole_pages.h"

#include "base/checked.h"
#include "codec/zero_page.h"
#include "ram/page_claim.h"

/* The longest run in one record of content. */
#define PIECE_PAGES 256u

/* Asking for the population costs a system call; fewer pages are just read. */
#define ASK_POPULATION_PAGES 32u

#define HOLES 16u

/* Pages that may hold data. */
static void write_populated(struct rs_record_writer *writer, const struct rs_region *region,
			    uint64_t page, uint64_t end)
{
	const struct rs_state *state = writer->state;

	while (page < end) {
		const uint8_t *data = region->host + (page << state->page_shift);
		uint64_t count = rs_min_u64(end - page, PIECE_PAGES);
		uint64_t zero = rs_zero_run_pages(data, count, state->page_bytes, true);

		if (zero > 0) {
			rs_record_writer_zero(writer, region, page, zero);
			page += zero;
			continue;
		}
		count = rs_zero_run_pages(data, count, state->page_bytes, false);
		/* Whoever writes here in spite of all gets no endless loop for it. */
		count = rs_max_u64(count, 1);
		rs_record_writer_pages(writer, region, page, count);
		page += count;
	}
}

/* Holes, and what lies between them. */
static void write_sparse(struct rs_record_writer *writer, const struct rs_population *population,
			 const struct rs_region *region, uint64_t page, uint64_t end)
{
	unsigned shift = writer->state->page_shift;
	struct rs_extent holes[HOLES];

	while (page < end) {
		size_t count;
		uint64_t known = rs_population_scan(population, page << shift, end << shift, holes,
						    HOLES, &count) >>
				 shift;

		for (size_t i = 0; i < count; i++) {
			uint64_t hole = holes[i].start >> shift, hole_end = holes[i].end >> shift;

			write_populated(writer, region, page, hole);
			rs_record_writer_zero(writer, region, hole, hole_end - hole);
			rs_counter_add(writer->counters->zero_run_pages, hole_end - hole);
			page = hole_end;
		}
		write_populated(writer, region, page, known);
		page = known;
	}
}

static void write_pages(struct rs_record_writer *writer, struct rs_population_slot *slot,
			const struct rs_region *region, uint64_t page, uint64_t end)
{
	const struct rs_population *population = NULL;

	if (end - page >= ASK_POPULATION_PAGES)
		population = rs_population_slot_get(slot, region);
	if (population == NULL)
		write_populated(writer, region, page, end);
	else
		write_sparse(writer, population, region, page, end);
	/* No record reaches from one unit into part of another. */
	rs_record_writer_cut(writer);
}

void rs_whole_pages_write(struct rs_record_writer *writer, struct rs_population_slot *slot,
			  const struct rs_page_run *run)
{
	uint64_t unit = rs_placement_pages(run->region), end = run->first + run->count;
	uint64_t step = unit == 1 ? run->count : unit;

	for (uint64_t page = run->first; page < end; page += step)
		write_pages(writer, slot, run->region, page, page + step);
	rs_counter_add(writer->counters->handled, run->count);
}
