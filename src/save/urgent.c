/* SPDX-License-Identifier: MIT */
#include "save/urgent.h"

#include "ram/page_claim.h"

/* Taken and flushed at once: what is taken by one thread is not seen by the other. */
#define TAKE_BYTES (256u << 10)

void rs_urgent_set_stream(struct rs_urgent *urgent, struct rs_state *state,
			  struct rs_stream *stream, bool runs)
{
	rs_population_slot_clear(&urgent->population);
	urgent->writer = (struct rs_record_writer){
		.state = state,
		.stream = stream,
		.counters = &urgent->counters,
		.runs = runs,
	};
	atomic_store(&urgent->on, stream != NULL);
}

int rs_urgent_send(struct rs_urgent *urgent, const struct rs_page_run *run, uint64_t *sent,
		   struct rs_error *error)
{
	uint64_t page = run->first, end = run->first + run->count;
	uint64_t most = TAKE_BYTES >> run->region->state->page_shift;
	struct rs_page_run taken;
	int result = 0;

	*sent = 0;
	/* Before any page is taken: whoever finds that none is left sees this. */
	atomic_store(&urgent->busy, true);
	while (result == 0 && rs_page_claim_run(run->region, page, end, most, &taken)) {
		rs_whole_pages_write(&urgent->writer, &urgent->population, &taken);
		result = rs_record_writer_flush(&urgent->writer);
		page = taken.first + taken.count;
		*sent += taken.count;
	}
	if (result != 0)
		rs_stream_error(urgent->writer.stream, error);
	atomic_store(&urgent->busy, false);
	return result;
}

static void fold(_Atomic uint64_t *into, _Atomic uint64_t *known, const _Atomic uint64_t *counter)
{
	uint64_t now = rs_counter_get(*counter);

	rs_counter_add(*into, now - rs_counter_get(*known));
	rs_counter_set(*known, now);
}

void rs_urgent_fold(struct rs_urgent *urgent, struct rs_counters *counters)
{
	struct rs_counters *known = &urgent->known;
	const struct rs_counters *now = &urgent->counters;

	fold(&counters->transferred, &known->transferred, &now->transferred);
	fold(&counters->duplicate, &known->duplicate, &now->duplicate);
	fold(&counters->normal, &known->normal, &now->normal);
	fold(&counters->zero_run_pages, &known->zero_run_pages, &now->zero_run_pages);
	fold(&counters->handled, &known->handled, &now->handled);
}
