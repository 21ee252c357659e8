/* SPDX-License-Identifier: MIT */
#include "save/compressor.h"

#include "base/checked.h"
#include "codec/live_memory.h"
#include "codec/noise.h"
#include "codec/zlib_page.h"

#include <stdlib.h>

/* Memory whose pages make up a job: half a millisecond of work, or more, against some microseconds for
 * handing it over. */
#define JOB_BYTES 65536u

/* So many that no thread runs out of them while the owner, which is woken for several at once, writes
 * what is done. */
#define JOBS_PER_THREAD 4u

/* What a record of a compressed page has more than one of a full page. */
#define LENGTH_BYTES 4u

struct compressed_page {
	uint64_t page;
	int bytes; /* RS_DEFLATE_NO_GAIN, or a negative errno: */
	const char *reason;
};

struct rs_compressor_job {
	const struct rs_region *region;
	unsigned count;
	uint8_t *output; /* a page's length for each page */
	struct compressed_page page[];
};

struct worker {
	struct rs_deflater deflater;
	uint8_t *copy; /* of a page */
};

/* ---- the workers --------------------------------------------------------------------------- */

static int worker_init(void *opaque, const void *config, struct rs_error *error)
{
	const struct rs_state *state = config;
	struct worker *worker = opaque;
	int level = (int)rs_params_number(&state->params, RS_PARAM_COMPRESS_LEVEL);

	worker->copy = aligned_alloc(64, state->page_bytes);
	if (worker->copy == NULL ||
	    rs_deflater_init(&worker->deflater, level, state->page_bytes) != 0) {
		free(worker->copy);
		return rs_error_setf(error, -ENOMEM, "no memory to compress pages");
	}
	return 0;
}

static void worker_fini(void *opaque)
{
	struct worker *worker = opaque;

	rs_deflater_fini(&worker->deflater);
	free(worker->copy);
}

static void worker_work(void *opaque, void *own)
{
	struct rs_compressor_job *job = opaque;
	struct worker *worker = own;
	const struct rs_state *state = job->region->state;
	/* It must be worth while. */
	size_t limit = state->page_bytes - LENGTH_BYTES - 1;

	for (unsigned i = 0; i < job->count; i++) {
		struct compressed_page *page = &job->page[i];

		page->bytes = RS_DEFLATE_NO_GAIN;
		/* Nobody will see it, and somebody waits for the end. */
		if (rs_session_code(state) != 0)
			continue;
		rs_live_copy(worker->copy, job->region->host + (page->page << state->page_shift),
			     state->page_bytes);
		if (!rs_looks_like_noise(worker->copy, state->page_bytes))
			page->bytes = rs_deflate_page(&worker->deflater, worker->copy,
						      job->output + i * state->page_bytes, limit,
						      &page->reason);
	}
}

/* ---- life ---------------------------------------------------------------------------------- */

int rs_compressor_init(struct rs_compressor *compressor, struct rs_record_writer *writer)
{
	struct rs_state *state = writer->state;
	unsigned job_pages = (unsigned)rs_max_u64(JOB_BYTES / state->page_bytes, 1);
	unsigned threads = (unsigned)rs_params_number(&state->params, RS_PARAM_COMPRESS_THREADS);
	const struct rs_worker_pool_config config = {
		.threads = threads,
		.jobs = threads * JOBS_PER_THREAD,
		.job_bytes = sizeof(struct rs_compressor_job) +
			     job_pages * (sizeof(struct compressed_page) + state->page_bytes),
		.worker_bytes = sizeof(struct worker),
		.work = worker_work,
		.init = worker_init,
		.fini = worker_fini,
		.opaque = state,
	};
	struct rs_error error = { 0 };

	if (rs_params_number(&state->params, RS_PARAM_COMPRESS) == 0)
		return 0;
	if (rs_worker_pool_create(&config, &compressor->pool, &error) != 0)
		return rs_session_fail(state, error.code,
				       "parameter compress-threads: %u threads: %s", threads,
				       error.text);
	compressor->writer = writer;
	compressor->job_pages = job_pages;
	compressor->waits = rs_params_number(&state->params, RS_PARAM_COMPRESS_WAIT_THREAD) != 0;
	return 0;
}

void rs_compressor_fini(struct rs_compressor *compressor)
{
	rs_worker_pool_destroy(compressor->pool);
	*compressor = (struct rs_compressor){ .pool = NULL };
}

/* ---- pages --------------------------------------------------------------------------------- */

static void write_job(struct rs_record_writer *writer, const struct rs_compressor_job *job)
{
	struct rs_state *state = writer->state;

	for (unsigned i = 0; i < job->count; i++) {
		const struct compressed_page *page = &job->page[i];

		if (page->bytes > 0)
			rs_record_writer_compressed(writer, job->region, page->page,
						    job->output + i * state->page_bytes,
						    (size_t)page->bytes);
		else if (page->bytes == RS_DEFLATE_NO_GAIN)
			rs_record_writer_pages(writer, job->region, page->page, 1);
		else
			rs_session_fail(state, page->bytes,
					"region %s, offset 0x%llx: compressing the page: %s",
					job->region->name,
					(unsigned long long)page->page << state->page_shift,
					page->reason);
	}
}

/* Write the oldest batch, if there is one and it is done, or after a wait for it. */
static bool write_oldest(struct rs_compressor *compressor, bool wait)
{
	struct rs_compressor_job *job = rs_worker_pool_done(compressor->pool, wait);

	if (job == NULL)
		return false;
	write_job(compressor->writer, job);
	job->count = 0;
	rs_worker_pool_reclaim(compressor->pool);
	return true;
}

static void submit(struct rs_compressor *compressor)
{
	if (compressor->open != NULL)
		rs_worker_pool_submit(compressor->pool);
	compressor->open = NULL;
}

/* Neither a thread nor room for a batch; the oldest can take longer than all those after it. */
static bool is_busy(const struct rs_compressor *compressor)
{
	return rs_worker_pool_idle(compressor->pool) == 0 ||
	       rs_worker_pool_free_job(compressor->pool) == NULL;
}

/* Have a batch that takes a page. False if it would have to be waited for and that is not wanted. */
static bool open_job(struct rs_compressor *compressor, const struct rs_region *region)
{
	if (compressor->open != NULL)
		return true;
	while (write_oldest(compressor, false)) {
	}
	if (!compressor->waits && is_busy(compressor))
		return false;
	while ((compressor->open = rs_worker_pool_free_job(compressor->pool)) == NULL)
		write_oldest(compressor, true);
	compressor->open->region = region;
	compressor->open->output = (uint8_t *)&compressor->open->page[compressor->job_pages];
	return true;
}

static void send_page(struct rs_compressor *compressor, const struct rs_region *region,
		      uint64_t page)
{
	if (!open_job(compressor, region)) {
		rs_counter_add(region->state->counters.compress_busy, 1);
		rs_record_writer_pages(compressor->writer, region, page, 1);
		return;
	}
	struct rs_compressor_job *job = compressor->open;

	job->page[job->count++].page = page;
	if (job->count == compressor->job_pages)
		submit(compressor);
}

/* Nobody will see what is compressed now. A run can be of seconds of work, and a cancel is waited for. */
static bool is_over(const struct rs_compressor *compressor)
{
	return rs_stream_error(compressor->writer->stream, NULL) != 0 ||
	       rs_session_code(compressor->writer->state) != 0;
}

void rs_compressor_send(struct rs_compressor *compressor, const struct rs_region *region,
			uint64_t first, uint64_t count)
{
	uint64_t page = first;

	/* The page that names the region goes in full, as QEMU has it. */
	if (compressor->writer->last_region != region)
		rs_record_writer_pages(compressor->writer, region, page++, 1);
	for (; page < first + count && !is_over(compressor); page++)
		send_page(compressor, region, page);
}

void rs_compressor_drain(struct rs_compressor *compressor)
{
	if (!rs_compressor_on(compressor))
		return;
	submit(compressor);
	while (write_oldest(compressor, true)) {
	}
}

void rs_compressor_count(struct rs_compressor *compressor)
{
	if (!rs_compressor_on(compressor))
		return;
	struct rs_state *state = compressor->writer->state;
	struct rs_counters *counters = &state->counters;
	const struct rs_compress_counts now = {
		.handled = rs_counter_get(counters->handled),
		.busy = rs_counter_get(counters->compress_busy),
		.pages = rs_counter_get(counters->compress_pages),
		.bytes = rs_counter_get(counters->compress_bytes),
	};
	struct rs_compress_rates rates;

	if (!rs_compress_rates(&compressor->counted, &now, state->page_bytes, &rates))
		return;
	rs_counter_set(counters->compress_busy_rate, rs_millionths(rates.busy));
	if (rates.compression > 0)
		rs_counter_set(counters->compress_rate, rs_millionths(rates.compression));
	compressor->counted = now;
}
