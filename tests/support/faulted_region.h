/* SPDX-License-Identifier: MIT */
/*
 * Memory of several kinds as a region whose missing pages fault, a source that remembers what it was asked for,
 * and threads that touch it. Include after cmocka.h. A test that cannot run is skipped by FAULTED_BEGIN().
 */
#ifndef RS_TESTS_FAULTED_REGION_H
#define RS_TESTS_FAULTED_REGION_H

#include "postcopy/discard.h"
#include "postcopy/fault_state.h"
#include "support/huge_pages.h"
#include "support/test_random.h"
#include "track/userfaultfd.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/syscall.h>

#include "support/test_memory.h"

enum { MAX_UNITS = 1024 };

struct kind {
	const char *name;
	int memfd_flags; /* -1: private anonymous */
	int map_flags;
	bool has_alias;
	bool is_huge;
};

static const struct kind kinds[] = {
	{ "private anonymous", -1, MAP_PRIVATE | MAP_ANONYMOUS, false, false },
	{ "memfd", 0, MAP_SHARED, false, false },
	{ "memfd with an alias", 0, MAP_SHARED, true, false },
	{ "private huge pages", -1, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, false, true },
	{ "shared huge pages", MFD_HUGETLB, MAP_SHARED, false, true },
	{ "shared huge pages with an alias", MFD_HUGETLB, MAP_SHARED, true, true },
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]), HUGE_UNITS = 8 };

/* ---- a region ------------------------------------------------------------------------------- */

struct faulted {
	const struct kind *kind;
	struct rs_state state;
	struct rs_region *region;
	struct rs_faults *faults;
	uint8_t *host, *alias;
	int fd;
	uint64_t unit_bytes, units;
	struct rs_error error;

	/* what was asked for */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct asked_for {
		uint64_t unit, units;
	} * requests;
	size_t count, room;
	unsigned asked[MAX_UNITS]; /* since the last resume */
};

/* In threads that are not the test's own an assertion cannot end the test. */
static inline void require(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "not so: %s\n", what);
	abort();
}

static inline void remember_request(void *opaque, struct rs_region *region, uint64_t offset,
				    uint64_t bytes)
{
	struct faulted *faulted = opaque;
	uint64_t unit = offset / faulted->unit_bytes, units = bytes / faulted->unit_bytes;

	require(region == faulted->region, "the region is the one that faulted");
	require(bytes > 0 && (offset | bytes) % faulted->unit_bytes == 0, "whole units");
	require(unit + units <= faulted->units, "inside the region");
	pthread_mutex_lock(&faulted->lock);
	if (faulted->count == faulted->room) {
		faulted->room = faulted->room == 0 ? 256 : faulted->room * 2;
		faulted->requests =
		    realloc(faulted->requests, faulted->room * sizeof(*faulted->requests));
		require(faulted->requests != NULL, "memory");
	}
	faulted->requests[faulted->count].unit = unit;
	faulted->requests[faulted->count++].units = units;
	for (uint64_t i = 0; i < units; i++)
		faulted->asked[unit + i]++;
	pthread_cond_broadcast(&faulted->changed);
	pthread_mutex_unlock(&faulted->lock);
}

/* The unit of request number index, when it has come. */
static inline uint64_t wait_for_request(struct faulted *faulted, size_t index)
{
	pthread_mutex_lock(&faulted->lock);
	while (faulted->count <= index)
		pthread_cond_wait(&faulted->changed, &faulted->lock);
	uint64_t unit = faulted->requests[index].unit;

	pthread_mutex_unlock(&faulted->lock);
	return unit;
}

static inline size_t request_count(struct faulted *faulted)
{
	pthread_mutex_lock(&faulted->lock);
	size_t count = faulted->count;

	pthread_mutex_unlock(&faulted->lock);
	return count;
}

/* Until so many units are known to be waited for: then their faults were read. */
static inline void wait_for_awaited(struct faulted *faulted, uint64_t units)
{
	while (rs_bitmap_count(&faulted->faults->regions[0].awaited) < units)
		sched_yield();
}

static inline uint8_t *map_kind(const struct kind *kind, uint64_t bytes, int fd)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, kind->map_flags, fd, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	return memory;
}

/* All but the faults. page_bytes: of the target. */
static inline void faulted_init_pages(struct faulted *faulted, const struct kind *kind,
				      uint64_t units, uint32_t page_bytes)
{
	memset(faulted, 0, sizeof(*faulted));
	faulted->kind = kind;
	faulted->unit_bytes = kind->is_huge ? HUGE_BYTES : page_bytes;
	faulted->units = units;
	faulted->fd = -1;
	uint64_t bytes = units * faulted->unit_bytes;

	if (kind->memfd_flags >= 0) {
		faulted->fd = memfd_create("faulted", MFD_CLOEXEC | (unsigned)kind->memfd_flags);
		assert_true(faulted->fd >= 0);
		assert_int_equal(ftruncate(faulted->fd, (off_t)bytes), 0);
	}
	faulted->host = map_kind(kind, bytes, faulted->fd);
	if (kind->has_alias)
		faulted->alias = map_kind(kind, bytes, faulted->fd);
	assert_int_equal(rs_state_init(&faulted->state, page_bytes), 0);
	const struct rs_region_config config = {
		.size = sizeof(config),
		.name = "memory",
		.host = faulted->host,
		.alias = faulted->alias,
		.fd = faulted->fd,
		.used_bytes = bytes,
		.host_page_bytes = kind->is_huge ? HUGE_BYTES : 0,
		.flags = faulted->fd >= 0 ? RS_REGION_HAS_FD | RS_REGION_SHARED : 0,
	};

	assert_int_equal(rs_region_add(&faulted->state, &config, &faulted->region), 0);
	assert_int_equal(rs_bitmap_init(&faulted->region->received, bytes / page_bytes), 0);
	assert_int_equal(rs_bitmap_init(&faulted->region->written, bytes / page_bytes), 0);
	pthread_mutex_init(&faulted->lock, NULL);
	pthread_cond_init(&faulted->changed, NULL);
	rs_session_open(&faulted->state);
}

static inline void faulted_init(struct faulted *faulted, const struct kind *kind, uint64_t units)
{
	faulted_init_pages(faulted, kind, units, (uint32_t)memory_page());
	if (rs_discard_region(faulted->region, &faulted->error) != 0)
		fail_msg("%s: %s", kind->name, faulted->error.text);
}

static inline void faulted_start_with(struct faulted *faulted, int userfaultfd)
{
	const struct rs_fault_ops ops = { remember_request, faulted };

	if (rs_faults_create(&faulted->state, userfaultfd, &ops, &faulted->faults,
			     &faulted->error) != 0)
		fail_msg("%s: %s", faulted->kind->name, faulted->error.text);
}

static inline void faulted_start(struct faulted *faulted)
{
	faulted_start_with(faulted, -1);
}

static inline void faulted_fini(struct faulted *faulted)
{
	uint64_t bytes = faulted->units * faulted->unit_bytes;

	rs_faults_destroy(faulted->faults);
	assert_int_equal(rs_session_code(&faulted->state), 0);
	rs_session_close(&faulted->state);
	rs_bitmap_fini(&faulted->region->received);
	rs_regions_destroy(&faulted->state);
	rs_state_fini(&faulted->state);
	munmap(faulted->host, bytes);
	if (faulted->alias != NULL)
		munmap(faulted->alias, bytes);
	if (faulted->fd >= 0)
		close(faulted->fd);
	free(faulted->requests);
	pthread_mutex_destroy(&faulted->lock);
	pthread_cond_destroy(&faulted->changed);
}

/* ---- content -------------------------------------------------------------------------------- */

/* The first bytes of every page of a unit tell where it is. */
static inline uint64_t content_of(uint64_t unit, uint64_t at)
{
	return test_mix(unit * 1000003 + at + 1) | 1;
}

static inline void fill_unit(const struct faulted *faulted, uint64_t unit, uint8_t *data)
{
	for (uint64_t at = 0; at < faulted->unit_bytes; at += 512)
		*(uint64_t *)(void *)(data + at) = content_of(unit, at);
}

/* Atomic, as the other threads may be reading it, and ThreadSanitizer does not see the kernel. */
static inline uint64_t load_word(const uint8_t *memory)
{
	return __atomic_load_n((const uint64_t *)(const void *)memory, __ATOMIC_RELAXED);
}

static inline bool holds_content(const struct faulted *faulted, uint64_t unit)
{
	const uint8_t *memory = faulted->host + unit * faulted->unit_bytes;

	for (uint64_t at = 0; at < faulted->unit_bytes; at += 512)
		if (load_word(memory + at) != content_of(unit, at))
			return false;
	return true;
}

static inline bool holds_zeros(const struct faulted *faulted, uint64_t unit)
{
	const uint8_t *memory = faulted->host + unit * faulted->unit_bytes;

	for (uint64_t at = 0; at < faulted->unit_bytes; at += 8)
		if (load_word(memory + at) != 0)
			return false;
	return true;
}

/* What a loader does with a page: by way of the alias if there is one. buffer: of a unit. */
static inline int place_unit(struct faulted *faulted, uint64_t unit, uint8_t *buffer, bool zeros,
			     struct rs_error *error)
{
	uint64_t offset = unit * faulted->unit_bytes;
	uint8_t *staging = rs_faults_staging(faulted->faults, faulted->region, offset);
	uint8_t *data = staging != NULL ? staging : buffer;

	if (!zeros)
		fill_unit(faulted, unit, data);
	return rs_faults_place(faulted->faults, faulted->region, offset, faulted->unit_bytes,
			       zeros ? NULL : data, error);
}

static inline void place_and_check(struct faulted *faulted, uint64_t unit, bool zeros)
{
	uint8_t *buffer = malloc(faulted->unit_bytes);

	assert_non_null(buffer);
	if (place_unit(faulted, unit, buffer, zeros, &faulted->error) != 0)
		fail_msg("%s: %s", faulted->kind->name, faulted->error.text);
	free(buffer);
}

/* As precopy does: before the faults begin. */
static inline void receive_early(struct faulted *faulted, uint64_t unit, bool zeros)
{
	uint64_t pages = faulted->unit_bytes / faulted->state.page_bytes;

	if (!zeros)
		fill_unit(faulted, unit, faulted->region->place + unit * faulted->unit_bytes);
	rs_bitmap_set_range(&faulted->region->received, unit * pages, pages);
}

/* ---- a thread that touches one unit ---------------------------------------------------------- */

struct toucher {
	struct faulted *faulted;
	uint64_t unit, at;
	pthread_t thread;
	sem_t done;
	pid_t thread_id;
	sem_t begun;
};

static inline void *touch(void *argument)
{
	struct toucher *toucher = argument;

	toucher->thread_id = (pid_t)syscall(SYS_gettid);
	sem_post(&toucher->begun);
	load_word(toucher->faulted->host + toucher->unit * toucher->faulted->unit_bytes +
		  toucher->at);
	sem_post(&toucher->done);
	return NULL;
}

static inline void toucher_start_at(struct toucher *toucher, struct faulted *faulted, uint64_t unit,
				    uint64_t at)
{
	*toucher = (struct toucher){ .faulted = faulted, .unit = unit, .at = at };
	sem_init(&toucher->done, 0, 0);
	sem_init(&toucher->begun, 0, 0);
	assert_int_equal(pthread_create(&toucher->thread, NULL, touch, toucher), 0);
	sem_wait(&toucher->begun);
}

static inline void toucher_start(struct toucher *toucher, struct faulted *faulted, uint64_t unit)
{
	toucher_start_at(toucher, faulted, unit, 0);
}

static inline bool toucher_is_done(struct toucher *toucher)
{
	int value = 0;

	sem_getvalue(&toucher->done, &value);
	return value > 0;
}

static inline void toucher_join(struct toucher *toucher)
{
	assert_int_equal(pthread_join(toucher->thread, NULL), 0);
	sem_destroy(&toucher->done);
	sem_destroy(&toucher->begun);
}

/* ---- what can be tested here ----------------------------------------------------------------- */

static bool huge_pages_are_there;
static struct rs_error cannot_fault;

/* A group's set-up. */
static inline int faulted_setup(void **state)
{
	int userfaultfd = rs_userfaultfd_open_for_missing(0, &cannot_fault);

	(void)state;
	if (userfaultfd >= 0)
		close(userfaultfd);
	/* A region, and one page in flight. */
	huge_pages_are_there = userfaultfd >= 0 && huge_pages_reserve(&huge_pages, HUGE_UNITS + 2);
	return 0;
}

#define FAULTED_BEGIN()                                                                            \
	do {                                                                                       \
		if (cannot_fault.code != 0) {                                                      \
			print_message("%s\n", cannot_fault.text);                                  \
			skip();                                                                    \
		}                                                                                  \
	} while (0)

#define for_each_kind(at)                                                                          \
	for (const struct kind *at = kinds; at < kinds + KINDS; at++)                              \
		if (!at->is_huge || huge_pages_are_there)

static inline uint64_t units_of(const struct kind *kind, uint64_t units)
{
	return kind->is_huge && units > HUGE_UNITS ? HUGE_UNITS : units;
}

#endif
