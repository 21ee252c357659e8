/* SPDX-License-Identifier: MIT */
#include "load/decompressor.h"

#include "base/checked.h"
#include "codec/zlib_page.h"
#include "load/load.h"
#include "transport/stream.h"

#include <string.h>

/* Memory whose pages make up a job; see save/compressor.c. Inflating takes a fifth of the time that
 * deflating takes. */
#define JOB_BYTES (128u << 10)
#define JOBS_PER_THREAD 4u

struct page_to_inflate {
	uint64_t page;
	size_t bytes; /* of its content */
	int result;   /* of rs_inflate_page() */
	const char *reason;
};

struct rs_decompressor_job {
	struct rs_region *region;
	unsigned count;
	size_t input_bytes;
	uint8_t *input; /* room for the longest content of each page */
	struct page_to_inflate page[];
};

/* ---- the workers --------------------------------------------------------------------------- */

static int worker_init(void *opaque, const void *config, struct rs_error *error)
{
	(void)config;
	if (rs_inflater_init(opaque) != 0)
		return rs_error_setf(error, -ENOMEM, "no memory to decompress pages");
	return 0;
}

static void worker_fini(void *opaque)
{
	rs_inflater_fini(opaque);
}

static void worker_work(void *opaque, void *inflater)
{
	struct rs_decompressor_job *job = opaque;
	const struct rs_state *state = job->region->state;
	const uint8_t *input = job->input;

	for (unsigned i = 0; i < job->count; i++) {
		struct page_to_inflate *page = &job->page[i];
		uint8_t *place = job->region->place + (page->page << state->page_shift);

		page->result = rs_inflate_page(inflater, input, page->bytes, place,
					       state->page_bytes, &page->reason);
		input += page->bytes;
	}
}

/* ---- life ---------------------------------------------------------------------------------- */

void rs_decompressor_init(struct rs_decompressor *decompressor, const struct rs_load *load)
{
	decompressor->load = load;
	decompressor->job_pages = (unsigned)rs_max_u64(JOB_BYTES / load->state->page_bytes, 1);
}

void rs_decompressor_fini(struct rs_decompressor *decompressor)
{
	rs_worker_pool_destroy(decompressor->pool);
	decompressor->pool = NULL;
	decompressor->open = NULL;
}

uint32_t rs_decompressor_limit(const struct rs_state *state)
{
	if (rs_params_number(&state->params, RS_PARAM_COMPRESS) == 0)
		return 0;
	return (uint32_t)rs_deflated_page_bound(state->page_bytes);
}

/* The threads start when the first page comes: most streams have none. */
static int start(struct rs_decompressor *decompressor)
{
	struct rs_state *state = decompressor->load->state;
	unsigned threads = (unsigned)rs_params_number(&state->params, RS_PARAM_DECOMPRESS_THREADS);
	size_t page_room = sizeof(struct page_to_inflate) + rs_decompressor_limit(state);
	const struct rs_worker_pool_config config = {
		.threads = threads,
		.jobs = threads * JOBS_PER_THREAD,
		.job_bytes =
		    sizeof(struct rs_decompressor_job) + decompressor->job_pages * page_room,
		.worker_bytes = sizeof(struct rs_inflater),
		.work = worker_work,
		.init = worker_init,
		.fini = worker_fini,
	};
	struct rs_error error = { 0 };

	if (rs_worker_pool_create(&config, &decompressor->pool, &error) == 0)
		return 0;
	return rs_session_fail(state, error.code, "parameter decompress-threads: %u threads: %s",
			       threads, error.text);
}

/* ---- pages --------------------------------------------------------------------------------- */

static void check_page(const struct rs_load *load, const struct rs_region *region,
		       const struct page_to_inflate *page)
{
	struct rs_state *state = load->state;
	unsigned long long offset = page->page << state->page_shift;

	if (page->result < 0)
		rs_session_fail(state, page->result,
				"region %s, offset 0x%llx: a malformed compressed page: %s",
				region->name, offset, page->reason);
	else if ((uint32_t)page->result < state->page_bytes && !load->lax)
		rs_session_fail(state, -EINVAL,
				"region %s, offset 0x%llx: a compressed page of %d bytes",
				region->name, offset, page->result);
}

/* The oldest batch, if there is one, is done with. */
static bool finish_oldest(struct rs_decompressor *decompressor, bool wait)
{
	struct rs_decompressor_job *job = rs_worker_pool_done(decompressor->pool, wait);

	if (job == NULL)
		return false;
	for (unsigned i = 0; i < job->count; i++)
		check_page(decompressor->load, job->region, &job->page[i]);
	job->count = 0;
	job->input_bytes = 0;
	rs_worker_pool_reclaim(decompressor->pool);
	return true;
}

static void submit(struct rs_decompressor *decompressor)
{
	if (decompressor->open != NULL)
		rs_worker_pool_submit(decompressor->pool);
	decompressor->open = NULL;
}

static struct rs_decompressor_job *open_job(struct rs_decompressor *decompressor,
					    struct rs_region *region)
{
	struct rs_decompressor_job *job = decompressor->open;

	if (job != NULL)
		return job;
	while ((job = rs_worker_pool_free_job(decompressor->pool)) == NULL)
		finish_oldest(decompressor, true);
	job->region = region;
	job->input = (uint8_t *)&job->page[decompressor->job_pages];
	decompressor->open = job;
	return job;
}

void rs_decompressor_take(struct rs_decompressor *decompressor, struct rs_stream *stream,
			  struct rs_region *region, uint64_t page, size_t bytes)
{
	uint64_t index = page % RS_DECOMPRESSOR_FILTER_PAGES;

	if (decompressor->pool == NULL && start(decompressor) != 0)
		return;
	struct rs_decompressor_job *job = open_job(decompressor, region);

	if (rs_stream_read_into(stream, job->input + job->input_bytes, bytes, NULL) != 0)
		return;
	job->page[job->count++] = (struct page_to_inflate){ .page = page, .bytes = bytes };
	job->input_bytes += bytes;
	decompressor->under_way[index / 64] |= 1ull << index % 64;
	rs_bitmap_set_range(&region->written, page, 1);
	if (job->count == decompressor->job_pages)
		submit(decompressor);
}

/* Perhaps: another page may have the same low bits. */
static bool is_under_way(const struct rs_decompressor *decompressor, uint64_t page)
{
	uint64_t index = page % RS_DECOMPRESSOR_FILTER_PAGES;

	return (decompressor->under_way[index / 64] >> index % 64 & 1) != 0;
}

void rs_decompressor_settle(struct rs_decompressor *decompressor, uint64_t first, uint64_t count)
{
	uint64_t end = first + rs_min_u64(count, RS_DECOMPRESSOR_FILTER_PAGES);

	if (decompressor->pool == NULL)
		return;
	for (uint64_t page = first; page < end; page++)
		if (is_under_way(decompressor, page)) {
			rs_decompressor_drain(decompressor);
			return;
		}
}

void rs_decompressor_drain(struct rs_decompressor *decompressor)
{
	if (decompressor->pool == NULL)
		return;
	submit(decompressor);
	while (finish_oldest(decompressor, true)) {
	}
	memset(decompressor->under_way, 0, sizeof(decompressor->under_way));
}
