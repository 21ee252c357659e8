/* SPDX-License-Identifier: MIT */
/*
 * Writer w owns the pages [first, first + pages) of the working set and visits them in the order
 * of (place * stride) % pages, where stride has no common divisor with pages: scattered, but every
 * page once a cycle. The page at place i of the cycle has been written
 * ceil((steps - i) / pages) times after so many steps.
 */
#include "guest/writers.h"
#include "text/fail.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define NSEC_PER_SEC 1000000000ull
/* A writer that is ahead of its rate sleeps at least so long: few wake-ups, small bursts. */
#define NAP_NS 1000000ull

enum wanted {
	WANT_PARKED,
	WANT_RUNNING,
	WANT_GONE,
};

struct writer {
	/* immutable */
	struct writers *all;
	pthread_t thread;
	unsigned number;
	uint64_t first;
	uint64_t pages;
	uint64_t stride;
	/* the writer's; anybody's while it is parked */
	_Atomic uint64_t steps;
};

struct writers {
	/* immutable */
	struct writers_config config;
	struct workset set;
	struct writer *writer;
	unsigned threads;
	uint64_t steps_before;
	int fault_fd;
	/* guarded by lock; wanted is read without it as a hint */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	_Atomic enum wanted wanted;
	unsigned running;
	struct rs_error fault;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* Near the golden section, which spreads the first visits best. */
static uint64_t stride_of(uint64_t pages)
{
	uint64_t stride = (uint64_t)((double)pages * 0.6180339887) | 1;

	while (common_divisor(stride, pages) != 1)
		stride++;
	return stride;
}

/* What the page at @place of the cycle must be after @steps steps. */
static struct checked_page_id id_at(const struct writer *writer, uint64_t place, uint64_t steps)
{
	uint64_t page = (uint64_t)((unsigned __int128)place * writer->stride % writer->pages);

	return (struct checked_page_id){
		.index = writer->first + page,
		.writer = writer->number,
		.sequence = (steps + writer->pages - 1 - place) / writer->pages,
	};
}

static void fault_report(struct writers *all, enum checked_page_fault kind,
			 const struct checked_page_id *want, const struct checked_page_id *found)
{
	struct workset_place place = workset_find(&all->set, want->index);
	uint64_t one = 1;

	pthread_mutex_lock(&all->lock);
	if (kind == CHECKED_PAGE_BROKEN)
		fail(&all->fault, -EILSEQ,
		     "region \"%s\" offset %#" PRIx64 ": page %" PRIu64 " of writer %" PRIu64
		     " is broken, its checksum does not match; expected sequence %" PRIu64
		     ", its header says %" PRIu64,
		     rs_region_name(place.region), place.offset, want->index, want->writer,
		     want->sequence, found->sequence);
	else if (kind == CHECKED_PAGE_MISPLACED)
		fail(&all->fault, -EILSEQ,
		     "region \"%s\" offset %#" PRIx64 ": holds page %" PRIu64 " of writer %" PRIu64
		     ", expected page %" PRIu64 " of writer %" PRIu64,
		     rs_region_name(place.region), place.offset, found->index, found->writer,
		     want->index, want->writer);
	else
		fail(&all->fault, -EILSEQ,
		     "region \"%s\" offset %#" PRIx64 ": page %" PRIu64 " of writer %" PRIu64
		     " is stale: expected sequence %" PRIu64 ", found %" PRIu64,
		     rs_region_name(place.region), place.offset, want->index, want->writer,
		     want->sequence, found->sequence);
	pthread_mutex_unlock(&all->lock);
	if (write(all->fault_fd, &one, sizeof(one)) < 0)
		return; /* it is readable already */
}

static bool page_is_good(struct writer *writer, uint64_t place, uint64_t steps)
{
	struct checked_page_id want = id_at(writer, place, steps), found;
	struct workset_place where = workset_find(&writer->all->set, want.index);
	enum checked_page_fault kind = checked_page_verify(where.page, &want, &found);

	if (kind != CHECKED_PAGE_GOOD)
		fault_report(writer->all, kind, &want, &found);
	return kind == CHECKED_PAGE_GOOD;
}

/* One step: the next page of the cycle gets the next sequence number. */
static void page_write(struct writer *writer)
{
	uint64_t steps = atomic_load_explicit(&writer->steps, memory_order_relaxed);
	struct checked_page_id id = id_at(writer, steps % writer->pages, steps + 1);
	struct workset_place where = workset_find(&writer->all->set, id.index);

	checked_page_write(where.page, &id);
	if (writer->all->config.mark)
		rs_dirty_mark(where.region, where.offset, CHECKED_PAGE_BYTES);
	atomic_store_explicit(&writer->steps, steps + 1, memory_order_relaxed);
}

/* A writer that found a fault writes no more: it would only hide it. */
static bool writer_step(struct writer *writer)
{
	uint64_t steps = atomic_load_explicit(&writer->steps, memory_order_relaxed);

	if (!page_is_good(writer, steps % writer->pages, steps))
		return false;
	page_write(writer);
	return true;
}

static void sleep_until_locked(struct writers *all, uint64_t when)
{
	struct timespec ts = {
		.tv_sec = (time_t)(when / NSEC_PER_SEC),
		.tv_nsec = (long)(when % NSEC_PER_SEC),
	};

	while (atomic_load(&all->wanted) == WANT_RUNNING &&
	       pthread_cond_timedwait(&all->changed, &all->lock, &ts) != ETIMEDOUT)
		;
}

static void sleep_until(struct writers *all, uint64_t when)
{
	uint64_t soonest = now_ns() + NAP_NS;

	pthread_mutex_lock(&all->lock);
	sleep_until_locked(all, when > soonest ? when : soonest);
	pthread_mutex_unlock(&all->lock);
}

/* Write at the wanted rate until told otherwise. False after a fault. */
static bool writer_run(struct writer *writer)
{
	struct writers *all = writer->all;
	double rate = (double)all->config.dirty_rate / all->config.count;
	double interval_ns = rate > 0 ? (double)NSEC_PER_SEC / rate : 0;
	uint64_t begin = now_ns();
	uint64_t done = 0;

	while (atomic_load(&all->wanted) == WANT_RUNNING) {
		uint64_t due = begin + (uint64_t)((double)done * interval_ns);

		if (rate > 0 && due > now_ns()) {
			sleep_until(all, due);
			continue;
		}
		if (!writer_step(writer))
			return false;
		done++;
	}
	return true;
}

static void *writer_thread(void *opaque)
{
	struct writer *writer = opaque;
	struct writers *all = writer->all;
	bool good = true;

	/* Without it the time that they wait for pages is not known, and nothing else is amiss. */
	if (all->config.state)
		rs_postcopy_register_vcpu(all->config.state, writer->number, gettid());
	pthread_mutex_lock(&all->lock);
	while (atomic_load(&all->wanted) != WANT_GONE) {
		if (atomic_load(&all->wanted) == WANT_PARKED || !good) {
			pthread_cond_wait(&all->changed, &all->lock);
			continue;
		}
		all->running++;
		pthread_mutex_unlock(&all->lock);
		good = writer_run(writer);
		pthread_mutex_lock(&all->lock);
		all->running--;
		pthread_cond_broadcast(&all->changed);
	}
	pthread_mutex_unlock(&all->lock);
	return NULL;
}

static void want_locked(struct writers *all, enum wanted wanted)
{
	atomic_store(&all->wanted, wanted);
	pthread_cond_broadcast(&all->changed);
}

void writers_stop(struct writers *writers)
{
	pthread_mutex_lock(&writers->lock);
	want_locked(writers, WANT_PARKED);
	while (writers->running)
		pthread_cond_wait(&writers->changed, &writers->lock);
	pthread_mutex_unlock(&writers->lock);
}

void writers_resume(struct writers *writers)
{
	pthread_mutex_lock(&writers->lock);
	want_locked(writers, WANT_RUNNING);
	pthread_mutex_unlock(&writers->lock);
}

static void writer_init(struct writers *all, unsigned number, const uint64_t *steps)
{
	struct writer *writer = &all->writer[number];
	uint64_t end = all->set.pages * (number + 1) / all->config.count;

	writer->all = all;
	writer->number = number;
	writer->first = all->set.pages * number / all->config.count;
	writer->pages = end - writer->first;
	writer->stride = stride_of(writer->pages);
	atomic_init(&writer->steps, steps ? steps[number] : 0);
	if (!steps)
		for (uint64_t i = 0; i < writer->pages; i++)
			page_write(writer);
	all->steps_before += atomic_load(&writer->steps);
}

static int writers_start_threads(struct writers *all, struct rs_error *error)
{
	for (; all->threads < all->config.count; all->threads++) {
		struct writer *writer = &all->writer[all->threads];
		int err = pthread_create(&writer->thread, NULL, writer_thread, writer);

		if (err)
			return fail(error, -err, "no thread for writer %u: %s", all->threads,
				    strerror(err));
	}
	return 0;
}

static void writers_init_lock(struct writers *all)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&all->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&all->changed, &attr);
	pthread_condattr_destroy(&attr);
}

int writers_create(const struct writers_config *config, struct workset *set, const uint64_t *steps,
		   struct writers **writers, struct rs_error *error)
{
	struct writers *all;
	int ret;

	if (!config->count || config->count > WRITERS_MAX || set->pages < config->count)
		return fail(error, -EINVAL,
			    "%u writers over %" PRIu64 " pages: from 1 to %u writers, and at "
			    "least a page for each",
			    config->count, set->pages, WRITERS_MAX);
	all = calloc(1, sizeof(*all));
	if (!all)
		return fail(error, -ENOMEM, "out of memory");
	all->config = *config;
	writers_init_lock(all);
	all->fault_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	all->writer = calloc(config->count, sizeof(*all->writer));
	all->set = *set;
	if (all->fault_fd < 0 || !all->writer) {
		ret = fail(error, -ENOMEM, "writers: %s", strerror(errno));
	} else {
		for (unsigned i = 0; i < config->count; i++)
			writer_init(all, i, steps);
		ret = writers_start_threads(all, error);
	}
	if (ret) {
		all->set = (struct workset){ 0 };
		writers_destroy(all);
		return ret;
	}
	*set = (struct workset){ 0 };
	*writers = all;
	return 0;
}

void writers_destroy(struct writers *writers)
{
	if (!writers)
		return;
	pthread_mutex_lock(&writers->lock);
	want_locked(writers, WANT_GONE);
	pthread_mutex_unlock(&writers->lock);
	for (unsigned i = 0; i < writers->threads; i++)
		pthread_join(writers->writer[i].thread, NULL);
	pthread_cond_destroy(&writers->changed);
	pthread_mutex_destroy(&writers->lock);
	if (writers->fault_fd >= 0)
		close(writers->fault_fd);
	workset_fini(&writers->set);
	free(writers->writer);
	free(writers);
}

void writers_verify(struct writers *writers)
{
	for (unsigned i = 0; i < writers->config.count; i++) {
		struct writer *writer = &writers->writer[i];

		for (uint64_t place = 0; place < writer->pages; place++)
			if (!page_is_good(writer, place, atomic_load(&writer->steps)))
				return;
	}
}

bool writers_fault(struct writers *writers, struct rs_error *error)
{
	pthread_mutex_lock(&writers->lock);
	*error = writers->fault;
	pthread_mutex_unlock(&writers->lock);
	return error->code;
}

int writers_fault_fd(const struct writers *writers)
{
	return writers->fault_fd;
}

uint64_t writers_written(const struct writers *writers)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < writers->config.count; i++)
		sum += writers_steps(writers, i);
	return sum - writers->steps_before;
}

const struct writers_config *writers_config(const struct writers *writers)
{
	return &writers->config;
}

const struct workset *writers_workset(const struct writers *writers)
{
	return &writers->set;
}

uint64_t writers_steps(const struct writers *writers, unsigned index)
{
	return atomic_load_explicit(&writers->writer[index].steps, memory_order_relaxed);
}
