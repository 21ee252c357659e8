/* SPDX-License-Identifier: MIT */
#include "support/huge_pages.h"
#include "support/missing_call.h"
#include "support/tracked_region.h"

#include "codec/live_memory.h"
#include "track/pagemap.h"
#include "track/userfaultfd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <cmocka.h>

#include "support/test_memory.h"

enum { PAGES = 2048 };

static size_t host_page;

/* Kernels without the means are tested for saying so, and for nothing else. */
static bool supported;

#define SKIP_UNLESS_SUPPORTED()                                                                    \
	do {                                                                                       \
		if (!supported) {                                                                  \
			print_message("this kernel cannot log writes by userfaultfd\n");           \
			skip();                                                                    \
		}                                                                                  \
	} while (0)

/* ---- kinds of memory ----------------------------------------------------------------------- */

static struct memory map_shared_anonymous(size_t bytes)
{
	return map_new(bytes, MAP_SHARED | MAP_ANONYMOUS, -1);
}

static struct memory map_private_file(size_t bytes)
{
	return map_new(bytes, MAP_PRIVATE, memfd_new(bytes));
}

static struct memory map_disk_file(size_t bytes)
{
	char path[] = "/tmp/ramsync-log-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);

	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	return map_new(bytes, MAP_SHARED, fd);
}

/* A memfd whose descriptor the log does not get. */
static struct memory map_nameless_memfd(size_t bytes)
{
	struct memory memory = map_memfd(bytes);

	close(memory.fd);
	memory.fd = -1;
	return memory;
}

static const struct {
	const char *name;
	struct memory (*map)(size_t bytes);
	bool stays_sparse; /* the log takes no page tables for holes */
} kinds[] = {
	{ "private anonymous", map_anonymous, true },
	{ "memfd", map_memfd, true },
	{ "memfd without its descriptor", map_nameless_memfd, false },
	{ "shared anonymous", map_shared_anonymous, false },
	{ "private file", map_private_file, true },
	{ "file on disk", map_disk_file, false },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* ---- a region with the log ----------------------------------------------------------------- */

static void track_sized(struct tracked_region *tracked, const struct memory *memory,
			uint32_t page_bytes, uint64_t used_bytes, uint64_t host_page_bytes)
{
	struct rs_region_config config = {
		.host = memory->host,
		.used_bytes = used_bytes,
		.max_bytes = memory->bytes,
		.host_page_bytes = host_page_bytes,
		.fd = memory->fd,
		.flags = memory->fd >= 0 ? RS_REGION_HAS_FD : 0,
	};

	assert_int_equal(tracked_region_init(tracked, page_bytes, config), 0);
	assert_int_equal(rs_region_add_dirty_log(tracked->region, &rs_dirty_log_userfaultfd, NULL),
			 0);
}

static void track(struct tracked_region *tracked, const struct memory *memory)
{
	track_sized(tracked, memory, (uint32_t)host_page, memory->bytes, 0);
}

static void start(struct tracked_region *tracked)
{
	if (tracked_region_start(tracked) != 0)
		fail_msg("start: %s", tracked->error.text);
}

/* Stops and frees. */
static void finish(struct tracked_region *tracked)
{
	tracked_region_stop(tracked);
	tracked_region_fini(tracked);
}

/* Sync, and give the number of dirty pages; their bits stay in the region's bitmap. */
static uint64_t sync_pages(struct tracked_region *tracked)
{
	rs_bitmap_reset(&tracked->region->dirty);
	if (tracked_region_sync(tracked) != 0)
		fail_msg("sync: %s", tracked->error.text);
	return rs_bitmap_count(&tracked->region->dirty);
}

static void assert_dirty_are(struct tracked_region *tracked, const char *what, const int *pages)
{
	uint64_t wanted = 0;
	uint64_t dirty = sync_pages(tracked);

	for (; *pages >= 0; pages++, wanted++)
		if (!rs_bitmap_test(&tracked->region->dirty, (uint64_t)*pages))
			fail_msg("%s: page %d was written and is clean", what, *pages);
	if (dirty != wanted)
		fail_msg("%s: %llu pages are dirty, %llu were written", what,
			 (unsigned long long)dirty, (unsigned long long)wanted);
}

#define ASSERT_DIRTY(tracked, what, ...)                                                           \
	assert_dirty_are(tracked, what, (const int[]){ __VA_ARGS__, -1 })
#define ASSERT_CLEAN(tracked, what) assert_dirty_are(tracked, what, (const int[]){ -1 })

/* ---- what is seen -------------------------------------------------------------------------- */

/* Populated memory, holes, and again; exactly what was written, exactly once. */
static void writes_are_seen_once(void **state)
{
	(void)state;
	SKIP_UNLESS_SUPPORTED();
	for (size_t k = 0; k < KINDS; k++) {
		struct memory memory = kinds[k].map(PAGES * host_page);
		const char *name = kinds[k].name;
		struct tracked_region tracked;

		memset(memory.host, 1, 700 * host_page);
		track(&tracked, &memory);
		start(&tracked);
		ASSERT_CLEAN(&tracked, name);
		write_page(&memory, 0);
		write_page(&memory, 699);
		ASSERT_DIRTY(&tracked, name, 0, 699);
		ASSERT_CLEAN(&tracked, name);
		/* Into a block with data, into one without, at the end. */
		write_page(&memory, 700);
		write_page(&memory, 1500);
		write_page(&memory, PAGES - 1);
		ASSERT_DIRTY(&tracked, name, 700, 1500, PAGES - 1);
		ASSERT_CLEAN(&tracked, name);
		write_page(&memory, 0);
		write_page(&memory, 1500);
		write_page(&memory, 1501);
		ASSERT_DIRTY(&tracked, name, 0, 1500, 1501);
		ASSERT_CLEAN(&tracked, name);
		finish(&tracked);
		unmap(&memory);
	}
}

/* Everything dirty: more ranges than one call gives. */
static void every_second_page_is_seen(void **state)
{
	(void)state;
	SKIP_UNLESS_SUPPORTED();
	for (size_t k = 0; k < KINDS; k++) {
		size_t pages = 8 * (size_t)PAGES;
		struct memory memory = kinds[k].map(pages * host_page);
		struct tracked_region tracked;

		track(&tracked, &memory);
		start(&tracked);
		for (unsigned round = 0; round < 3; round++) {
			for (size_t page = round % 2; page < pages; page += 2)
				write_page(&memory, page);
			uint64_t dirty = sync_pages(&tracked);

			/* A file on disk gets data around what is written, too. */
			if (kinds[k].map == map_disk_file)
				assert_true(dirty >= pages / 2);
			else
				assert_int_equal(dirty, pages / 2);
			for (size_t page = round % 2; page < pages; page += 2)
				assert_true(rs_bitmap_test(&tracked.region->dirty, page));
		}
		memset(memory.host, 2, memory.bytes);
		assert_int_equal(sync_pages(&tracked), pages);
		assert_int_equal(sync_pages(&tracked), 0);
		finish(&tracked);
		unmap(&memory);
	}
}

static void the_kernels_writes_are_seen(void **state)
{
	(void)state;
	SKIP_UNLESS_SUPPORTED();
	for (size_t k = 0; k < KINDS; k++) {
		struct memory memory = kinds[k].map(PAGES * host_page);
		struct tracked_region tracked;
		int pipes[2];

		assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
		memset(memory.host, 1, memory.bytes / 2);
		track(&tracked, &memory);
		start(&tracked);
		assert_int_equal(write(pipes[1], "abcdef", 6), 6);
		assert_int_equal(read(pipes[0], memory.host + 5 * host_page, 3), 3);
		assert_int_equal(read(pipes[0], memory.host + 1800 * host_page, 3), 3);
		ASSERT_DIRTY(&tracked, kinds[k].name, 5, 1800);
		finish(&tracked);
		close(pipes[0]);
		close(pipes[1]);
		unmap(&memory);
	}
}

/*
 * A shared page that was written and then lost its place in the page table, as reclaim does it,
 * and here MADV_DONTNEED, which for shared memory discards nothing.
 */
static void unmapped_shared_pages_are_not_forgotten(void **state)
{
	(void)state;
	SKIP_UNLESS_SUPPORTED();
	for (size_t k = 0; k < KINDS; k++) {
		struct memory memory = kinds[k].map(PAGES * host_page);
		struct tracked_region tracked;

		if (kinds[k].map == map_anonymous || kinds[k].map == map_private_file) {
			unmap(&memory);
			continue;
		}
		memset(memory.host, 1, memory.bytes / 2);
		track(&tracked, &memory);
		start(&tracked);
		write_page(&memory, 3);
		write_page(&memory, 1600);
		assert_int_equal(madvise(memory.host, memory.bytes, MADV_DONTNEED), 0);
		sync_pages(&tracked);
		assert_true(rs_bitmap_test(&tracked.region->dirty, 3));
		assert_true(rs_bitmap_test(&tracked.region->dirty, 1600));
		/* And the clean ones that were dropped with them are protected still. */
		ASSERT_CLEAN(&tracked, kinds[k].name);
		write_page(&memory, 4);
		ASSERT_DIRTY(&tracked, kinds[k].name, 4);
		finish(&tracked);
		unmap(&memory);
	}
}

/* A page that was swapped out after it was written is dirty still. */
static void swapping_loses_nothing(void **state)
{
	unsigned long swap = 0;
	FILE *file = fopen("/proc/meminfo", "re");
	char line[128];

	(void)state;
	SKIP_UNLESS_SUPPORTED();
	assert_non_null(file);
	while (fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "SwapFree: %lu", &swap) == 1)
			break;
	fclose(file);
	if (swap == 0) {
		print_message("no swap space\n");
		skip();
	}
	for (size_t k = 0; k < KINDS; k++) {
		struct memory memory = kinds[k].map(PAGES * host_page);
		struct tracked_region tracked;

		memset(memory.host, 1, memory.bytes / 2);
		track(&tracked, &memory);
		start(&tracked);
		write_page(&memory, 3);
		write_page(&memory, 1600);
		madvise(memory.host, memory.bytes, MADV_PAGEOUT);
		ASSERT_DIRTY(&tracked, kinds[k].name, 3, 1600);
		madvise(memory.host, memory.bytes, MADV_PAGEOUT);
		ASSERT_CLEAN(&tracked, kinds[k].name);
		write_page(&memory, 4);
		write_page(&memory, 1600);
		madvise(memory.host, memory.bytes, MADV_PAGEOUT);
		ASSERT_DIRTY(&tracked, kinds[k].name, 4, 1600);
		finish(&tracked);
		unmap(&memory);
	}
}

/* Whoever writes, whenever: each copy of what was reported is good enough in the end. */
struct writers {
	struct memory memory;
	_Atomic bool done;
};

struct writer {
	struct writers *shared;
	unsigned seed;
};

static void *write_at_random(void *argument)
{
	struct writer *writer = argument;
	struct memory *memory = &writer->shared->memory;
	size_t pages = memory->bytes / host_page;
	size_t slot = writer->seed; /* each writer its own bytes of a page */

	while (!atomic_load_explicit(&writer->shared->done, memory_order_relaxed)) {
		/* Some pages often, the others seldom: races as well as fresh holes. */
		size_t random = (size_t)rand_r(&writer->seed);
		size_t page = random % 4 ? random / 4 % 16 * 61 % pages : random / 4 % pages;
		_Atomic uint64_t *word = (void *)(memory->host + page * host_page + slot * 8);

		atomic_fetch_add_explicit(word, 1, memory_order_relaxed);
	}
	return NULL;
}

static void copy_dirty(struct tracked_region *tracked, const struct memory *memory,
		       unsigned char *copy)
{
	struct rs_bitmap *dirty = &tracked->region->dirty;
	uint64_t pages = dirty->bits;

	if (tracked_region_sync(tracked) != 0)
		fail_msg("sync: %s", tracked->error.text);
	for (uint64_t page = rs_bitmap_find_set(dirty, 0, pages); page < pages;
	     page = rs_bitmap_find_set(dirty, page + 1, pages)) {
		rs_bitmap_clear_range(dirty, page, 1);
		rs_live_copy(copy + page * host_page, memory->host + page * host_page, host_page);
	}
}

static void copy_under_fire(struct memory memory, uint64_t host_page_bytes)
{
	struct writers shared = { .memory = memory };
	struct writer writers[2] = { { &shared, 1 }, { &shared, 2 } };
	unsigned char *copy = calloc(1, memory.bytes);
	struct tracked_region tracked;
	pthread_t threads[2];

	assert_non_null(copy);
	track_sized(&tracked, &memory, (uint32_t)host_page, memory.bytes, host_page_bytes);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_at_random, &writers[i]),
				 0);
	usleep(1000);
	start(&tracked);
	/* Everything is dirty at the start: that is the caller's part. */
	rs_live_copy(copy, memory.host, memory.bytes);
	for (unsigned i = 0; i < 25; i++)
		copy_dirty(&tracked, &memory, copy);
	atomic_store_explicit(&shared.done, true, memory_order_relaxed);
	for (size_t i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	copy_dirty(&tracked, &memory, copy);
	finish(&tracked);
	assert_memory_equal(copy, memory.host, memory.bytes);
	free(copy);
}

static void no_write_is_lost_under_fire(void **state)
{
	(void)state;
	SKIP_UNLESS_SUPPORTED();
	for (size_t k = 0; k < KINDS; k++) {
		struct memory memory = kinds[k].map(4 * (size_t)PAGES * host_page);

		copy_under_fire(memory, 0);
		unmap(&memory);
	}
}

/*
 * Blocks that get their first data while they are looked at. Each page is written once, so that
 * what is missed once is never reported.
 */
enum { FRESH_BLOCKS = 256, FRESH_PAGES = 32 };

static void *write_fresh_blocks(void *argument)
{
	struct writers *shared = argument;

	for (size_t block = 0; block < FRESH_BLOCKS; block++)
		for (size_t page = 0; page < FRESH_PAGES; page++)
			write_page(&shared->memory, block * (HUGE_BYTES / host_page) + page);
	atomic_store_explicit(&shared->done, true, memory_order_release);
	return NULL;
}

static void fill_fresh_blocks(struct writers *shared, const char *name)
{
	struct tracked_region tracked;
	pthread_t thread;
	bool done = false;

	track(&tracked, &shared->memory);
	start(&tracked);
	assert_int_equal(pthread_create(&thread, NULL, write_fresh_blocks, shared), 0);
	while (!done) {
		done = atomic_load_explicit(&shared->done, memory_order_acquire);
		if (tracked_region_sync(&tracked) != 0)
			fail_msg("sync: %s", tracked.error.text);
	}
	pthread_join(thread, NULL);
	for (size_t block = 0; block < FRESH_BLOCKS; block++)
		for (size_t page = 0; page < FRESH_PAGES; page++)
			if (!rs_bitmap_test(&tracked.region->dirty,
					    block * (HUGE_BYTES / host_page) + page))
				fail_msg("%s: page %zu of block %zu is lost", name, page, block);
	finish(&tracked);
}

static void no_write_is_lost_in_fresh_blocks(void **state)
{
	(void)state;
	SKIP_UNLESS_SUPPORTED();
	for (unsigned round = 0; round < 3; round++)
		for (size_t k = 0; k < KINDS; k++) {
			struct writers shared = {
				.memory = kinds[k].map(FRESH_BLOCKS * (size_t)HUGE_BYTES),
			};

			fill_fresh_blocks(&shared, kinds[k].name);
			unmap(&shared.memory);
		}
}

static void no_write_is_lost_in_huge_pages(void **state)
{
	struct memory memory = map_anonymous(4 * (size_t)PAGES * host_page);

	(void)state;
	SKIP_UNLESS_SUPPORTED();
	madvise(memory.host, memory.bytes, MADV_HUGEPAGE);
	memset(memory.host, 1, memory.bytes);
	copy_under_fire(memory, 0);
	unmap(&memory);
}

static struct huge_pages huge_pages = HUGE_PAGES_NONE;

static int release_huge_pages(void **state)
{
	(void)state;
	huge_pages_release(&huge_pages);
	return 0;
}

static void hugetlb_is_logged(void **state)
{
	size_t bytes = 4 * (size_t)HUGE_BYTES, pages = HUGE_BYTES / host_page;

	(void)state;
	SKIP_UNLESS_SUPPORTED();
	if (!huge_pages_reserve(&huge_pages, 8))
		skip();
	for (int shared = 0; shared < 2; shared++) {
		struct memory memory = { .bytes = bytes, .fd = -1 };
		struct tracked_region tracked;

		if (shared) {
			memory.fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
			assert_int_equal(ftruncate(memory.fd, (off_t)bytes), 0);
		}
		memory.host = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
				   shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB,
				   memory.fd, 0);
		assert_true(memory.host != MAP_FAILED);
		memory.host[0] = 1;
		track_sized(&tracked, &memory, (uint32_t)host_page, bytes, HUGE_BYTES);
		start(&tracked);
		ASSERT_CLEAN(&tracked, "hugetlb");
		/* One that was populated, one that was not: whole huge pages are dirty. */
		memory.host[5] = 2;
		memory.host[2 * HUGE_BYTES + 5] = 2;
		assert_int_equal(sync_pages(&tracked), 2 * pages);
		assert_true(rs_bitmap_test(&tracked.region->dirty, 0));
		assert_true(rs_bitmap_test(&tracked.region->dirty, 2 * pages));
		ASSERT_CLEAN(&tracked, "hugetlb");
		memory.host[5] = 3;
		assert_int_equal(sync_pages(&tracked), pages);
		finish(&tracked);
		copy_under_fire(memory, HUGE_BYTES);
		unmap(&memory);
	}
}

/* ---- what stays as it is ------------------------------------------------------------------- */

static unsigned long page_table_kib(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	unsigned long kib = 0;
	char line[128];

	assert_non_null(file);
	while (fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "VmPTE: %lu kB", &kib) == 1)
			break;
	fclose(file);
	return kib;
}

static void holes_take_no_page_tables(void **state)
{
	/* Page tables for all of it would be 16 MiB. */
	size_t bytes = (size_t)8 << 30;

	(void)state;
	SKIP_UNLESS_SUPPORTED();
	for (size_t k = 0; k < KINDS; k++) {
		if (!kinds[k].stays_sparse)
			continue;
		struct memory memory =
		    map_new(bytes, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);

		if (kinds[k].map != map_anonymous) {
			unmap(&memory);
			memory = kinds[k].map(bytes);
		}
		struct tracked_region tracked;

		memory.host[bytes / 3] = 1;
		track(&tracked, &memory);
		unsigned long before = page_table_kib();

		start(&tracked);
		for (unsigned i = 0; i < 3; i++) {
			memory.host[i * (bytes / 4)] = 1;
			assert_int_equal(sync_pages(&tracked), 1);
		}
		assert_true(page_table_kib() < before + 1024);
		finish(&tracked);
		unmap(&memory);
	}
}

static void holes_stay_holes(void **state)
{
	struct memory memory = map_anonymous(PAGES * host_page);
	struct tracked_region tracked;

	(void)state;
	SKIP_UNLESS_SUPPORTED();
	write_page(&memory, 9);
	track(&tracked, &memory);
	start(&tracked);
	write_page(&memory, 600);
	assert_int_equal(sync_pages(&tracked), 1);
	assert_int_equal(sync_pages(&tracked), 0);
	assert_int_equal(resident_pages(&memory), 2);
	/* Neither do they look populated, to whoever asks the page table. */
	static const struct rs_pagemap_query populated = {
		.anyof = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
	};
	uintptr_t position = (uintptr_t)memory.host;
	struct page_region ranges[8];
	int pagemap = rs_pagemap_open();

	assert_int_equal(
	    rs_pagemap_scan(pagemap, &populated, &position, position + memory.bytes, ranges, 8), 2);
	close(pagemap);
	finish(&tracked);
	unmap(&memory);
}

static void only_the_used_part_is_touched(void **state)
{
	(void)state;
	SKIP_UNLESS_SUPPORTED();
	for (size_t k = 0; k < KINDS; k++) {
		struct memory memory = kinds[k].map(PAGES * host_page);
		struct tracked_region tracked;

		track_sized(&tracked, &memory, (uint32_t)host_page, 100 * host_page, 0);
		start(&tracked);
		write_page(&memory, 99);
		write_page(&memory, 100);
		write_page(&memory, 1700);
		ASSERT_DIRTY(&tracked, kinds[k].name, 99);
		finish(&tracked);
		unmap(&memory);
	}
}

static void target_pages_may_be_larger(void **state)
{
	struct memory memory = map_anonymous(PAGES * host_page);
	struct tracked_region tracked;

	(void)state;
	SKIP_UNLESS_SUPPORTED();
	memset(memory.host, 1, memory.bytes / 2);
	track_sized(&tracked, &memory, 65536, memory.bytes, 0);
	start(&tracked);
	memory.host[65536 * 2 + 40000] = 2;
	memory.host[65536 * 30] = 2;
	ASSERT_DIRTY(&tracked, "64 KiB", 2, 30);
	ASSERT_CLEAN(&tracked, "64 KiB");
	finish(&tracked);
	unmap(&memory);
}

/* Anonymous, shared file, anonymous; borders inside of blocks. */
static void regions_may_have_several_mappings(void **state)
{
	struct memory memory = map_anonymous(PAGES * host_page);
	struct memory file = { .bytes = 300 * host_page, .fd = memfd_new(300 * host_page) };
	struct memory claimed = memory;
	struct tracked_region tracked;

	(void)state;
	SKIP_UNLESS_SUPPORTED();
	file.host = mmap(memory.host + 700 * host_page, file.bytes, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, file.fd, 0);
	assert_true(file.host == memory.host + 700 * host_page);
	claimed.fd = file.fd;
	memset(memory.host + 600 * host_page, 1, 200 * host_page);
	track(&tracked, &claimed);
	start(&tracked);
	ASSERT_CLEAN(&tracked, "mixed");
	write_page(&memory, 0);
	write_page(&memory, 699);
	write_page(&memory, 700);
	write_page(&memory, 999);
	write_page(&memory, 1000);
	write_page(&memory, PAGES - 1);
	ASSERT_DIRTY(&tracked, "mixed", 0, 699, 700, 999, 1000, PAGES - 1);
	ASSERT_CLEAN(&tracked, "mixed");
	finish(&tracked);
	copy_under_fire(claimed, 0);
	unmap(&claimed);
}

/* ---- start and stop ------------------------------------------------------------------------ */

/* Of pages with data: neither protection nor its traces are left, and the data is. */
static void stop_leaves_nothing_behind(void **state)
{
	(void)state;
	SKIP_UNLESS_SUPPORTED();
	for (size_t k = 0; k < KINDS; k++) {
		static const struct rs_pagemap_query swapped = { .anyof = PAGE_IS_SWAPPED };
		struct memory memory = kinds[k].map(PAGES * host_page);
		uintptr_t position = (uintptr_t)memory.host;
		struct tracked_region tracked;
		struct page_region range;
		int pagemap = rs_pagemap_open();

		memset(memory.host, 3, memory.bytes / 2);
		track(&tracked, &memory);
		for (unsigned round = 0; round < 3; round++) {
			start(&tracked);
			write_page(&memory, round);
			write_page(&memory, 1500 + round);
			ASSERT_DIRTY(&tracked, kinds[k].name, (int)round, 1500 + (int)round);
			tracked_region_stop(&tracked);
			assert_int_equal(rs_pagemap_scan(pagemap, &swapped, &position,
							 position + memory.bytes, &range, 1),
					 0);
			position = (uintptr_t)memory.host;
			/* Nobody owns the memory: another userfaultfd may have it. */
			int other = rs_userfaultfd_open(0, NULL);

			assert_true(other >= 0);
			if (kinds[k].map == map_anonymous)
				assert_int_equal(
				    rs_userfaultfd_register(other, position, memory.bytes,
							    UFFDIO_REGISTER_MODE_MISSING, NULL),
				    0);
			close(other);
		}
		for (size_t i = 3 * host_page; i < memory.bytes / 2; i++)
			assert_int_equal(memory.host[i], 3);
		tracked_region_fini(&tracked);
		close(pagemap);
		unmap(&memory);
	}
}

/* A child inherits the descriptors, and keeps them when the parent has stopped. */
static void a_forked_child_holds_nothing_up(void **state)
{
	struct memory memory = map_anonymous(PAGES * host_page);
	struct tracked_region tracked;
	int pipes[2];
	char byte;

	(void)state;
	SKIP_UNLESS_SUPPORTED();
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	memset(memory.host, 1, memory.bytes / 2);
	track(&tracked, &memory);
	start(&tracked);
	pid_t child = fork();

	if (child == 0) {
		/* Until the parent closes its end. */
		close(pipes[1]);
		_exit((int)read(pipes[0], &byte, 1));
	}
	assert_true(child > 0);
	write_page(&memory, 7);
	sync_pages(&tracked);
	assert_true(rs_bitmap_test(&tracked.region->dirty, 7));
	tracked_region_stop(&tracked);
	start(&tracked);
	write_page(&memory, 8);
	sync_pages(&tracked);
	assert_true(rs_bitmap_test(&tracked.region->dirty, 8));
	finish(&tracked);
	close(pipes[1]);
	close(pipes[0]);
	assert_int_equal(waitpid(child, NULL, 0), child);
	unmap(&memory);
}

static void *touch(void *argument)
{
	return (void *)(uintptr_t) * (volatile unsigned char *)argument;
}

/* Memory of another userfaultfd is refused, and stays the other one's. */
static void another_userfaultfd_keeps_its_memory(void **state)
{
	struct memory memory = map_anonymous(PAGES * host_page);
	struct tracked_region tracked;
	pthread_t thread;

	(void)state;
	SKIP_UNLESS_SUPPORTED();
	int other = rs_userfaultfd_open(0, NULL);

	assert_true(other >= 0);
	assert_int_equal(rs_userfaultfd_register(other, (uintptr_t)memory.host, memory.bytes,
						 UFFDIO_REGISTER_MODE_MISSING, NULL),
			 0);
	track(&tracked, &memory);
	assert_int_equal(tracked_region_start(&tracked), -EBUSY);
	assert_non_null(strstr(tracked.error.text, "another userfaultfd"));
	finish(&tracked);
	/* A touch still goes to the other one, which answers. */
	assert_int_equal(pthread_create(&thread, NULL, touch, memory.host), 0);
	struct pollfd ready = { .fd = other, .events = POLLIN };
	struct uffdio_zeropage zero = {
		.range = { .start = (uintptr_t)memory.host, .len = host_page },
	};

	assert_int_equal(poll(&ready, 1, 60000), 1);
	assert_int_equal(ioctl(other, UFFDIO_ZEROPAGE, &zero), 0);
	pthread_join(thread, NULL);
	close(other);
	unmap(&memory);
}

static void memory_that_was_mapped_anew_is_an_error(void **state)
{
	struct memory memory = map_anonymous(PAGES * host_page);
	struct tracked_region tracked;

	(void)state;
	SKIP_UNLESS_SUPPORTED();
	memset(memory.host, 1, memory.bytes);
	track(&tracked, &memory);
	start(&tracked);
	assert_true(mmap(memory.host + 100 * host_page, 10 * host_page, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED);
	write_page(&memory, 105);
	assert_int_equal(tracked_region_sync(&tracked), -EPERM);
	assert_non_null(strstr(tracked.error.text, "mapped anew"));
	finish(&tracked);
	unmap(&memory);
}

static void memory_that_is_gone_can_be_stopped(void **state)
{
	struct memory memory = map_anonymous(PAGES * host_page);
	struct tracked_region tracked;

	(void)state;
	SKIP_UNLESS_SUPPORTED();
	track(&tracked, &memory);
	start(&tracked);
	unmap(&memory);
	finish(&tracked);
}

/* ---- kernels and users that may less ------------------------------------------------------- */

/* The probe and a start of the log say the same. */
static int try_to_start(int wanted, const char *text)
{
	struct memory memory = map_anonymous(PAGES * host_page);
	struct tracked_region tracked;
	struct rs_error error = { 0 };

	if (rs_dirty_log_userfaultfd_probe(&error) != wanted || strstr(error.text, text) == NULL) {
		print_message("probe: %d, %s\n", error.code, error.text);
		return 1;
	}

	track(&tracked, &memory);
	int result = tracked_region_start(&tracked);

	if (result != wanted || strstr(tracked.error.text, text) == NULL) {
		print_message("start: %d, %s\n", result, tracked.error.text);
		return 1;
	}
	finish(&tracked);
	unmap(&memory);
	return 0;
}

static int without_userfaultfd(void)
{
	if (!missing_call(SYS_userfaultfd, ENOSYS))
		return MISSING_CALL_NOT_POSSIBLE;
	return try_to_start(-EOPNOTSUPP, "lacks userfaultfd");
}

static int without_permission(void)
{
	if (!missing_call(SYS_userfaultfd, EPERM))
		return MISSING_CALL_NOT_POSSIBLE;
	return try_to_start(-EPERM, "userfaultfd cannot be opened");
}

static int without_pagemap_scan(void)
{
	if (!missing_ioctl(PAGEMAP_SCAN, ENOTTY))
		return MISSING_CALL_NOT_POSSIBLE;
	return try_to_start(-EOPNOTSUPP, "PAGEMAP_SCAN");
}

static void what_the_kernel_lacks_is_named(void **state)
{
	static int (*const children[])(void) = {
		without_userfaultfd,
		without_permission,
		without_pagemap_scan,
	};
	struct rs_error error = { 0 };

	(void)state;
	SKIP_UNLESS_SUPPORTED();
	for (size_t i = 0; i < sizeof(children) / sizeof(children[0]); i++) {
		int result = in_a_child(children[i]);

		if (result == MISSING_CALL_NOT_POSSIBLE) {
			print_message("system calls cannot be filtered here\n");
			skip();
		}
		assert_int_equal(result, 0);
	}
	assert_int_equal(rs_dirty_log_userfaultfd_probe(&error), 0);
	/* A feature of the far future. */
	assert_int_equal(rs_userfaultfd_open(1ull << 60, &error), -EOPNOTSUPP);
	assert_non_null(strstr(error.text, "0x1000000000000000"));
}

/* As nobody, who may have a userfaultfd for faults of user mode only. */
static int as_nobody(void)
{
	struct memory memory = map_anonymous(PAGES * host_page);
	struct tracked_region tracked;
	int pipes[2];

	if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0)
		return MISSING_CALL_NOT_POSSIBLE;
	/* A change of user makes /proc/self root's, unless: */
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0 || pipe2(pipes, O_CLOEXEC) != 0)
		return 1;
	track(&tracked, &memory);
	start(&tracked);
	write_page(&memory, 3);
	if (write(pipes[1], "abc", 3) != 3 || read(pipes[0], memory.host + 9 * host_page, 3) != 3)
		return 2;
	if (sync_pages(&tracked) != 2 || !rs_bitmap_test(&tracked.region->dirty, 3) ||
	    !rs_bitmap_test(&tracked.region->dirty, 9))
		return 3;
	/* Now with protection in the way of the kernel's write. */
	if (write(pipes[1], "abc", 3) != 3 || read(pipes[0], memory.host + 9 * host_page, 3) != 3)
		return 4;
	if (sync_pages(&tracked) != 1)
		return 5;
	finish(&tracked);
	return 0;
}

static void no_privilege_is_needed(void **state)
{
	(void)state;
	SKIP_UNLESS_SUPPORTED();
	int result = in_a_child(as_nobody);

	if (result == MISSING_CALL_NOT_POSSIBLE) {
		print_message("only root can become somebody else\n");
		skip();
	}
	assert_int_equal(result, 0);
}

static bool is_supported(void)
{
	int pagemap = rs_pagemap_open();
	int userfaultfd = rs_userfaultfd_open(UFFD_FEATURE_WP_ASYNC, NULL);
	bool both = pagemap >= 0 && rs_pagemap_can_scan(pagemap) && userfaultfd >= 0;

	if (pagemap >= 0)
		close(pagemap);
	if (userfaultfd >= 0)
		close(userfaultfd);
	return both;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_are_seen_once),
		cmocka_unit_test(every_second_page_is_seen),
		cmocka_unit_test(the_kernels_writes_are_seen),
		cmocka_unit_test(unmapped_shared_pages_are_not_forgotten),
		cmocka_unit_test(swapping_loses_nothing),
		cmocka_unit_test(no_write_is_lost_under_fire),
		cmocka_unit_test(no_write_is_lost_in_fresh_blocks),
		cmocka_unit_test(no_write_is_lost_in_huge_pages),
		cmocka_unit_test_teardown(hugetlb_is_logged, release_huge_pages),
		cmocka_unit_test(holes_take_no_page_tables),
		cmocka_unit_test(holes_stay_holes),
		cmocka_unit_test(only_the_used_part_is_touched),
		cmocka_unit_test(target_pages_may_be_larger),
		cmocka_unit_test(regions_may_have_several_mappings),
		cmocka_unit_test(stop_leaves_nothing_behind),
		cmocka_unit_test(a_forked_child_holds_nothing_up),
		cmocka_unit_test(another_userfaultfd_keeps_its_memory),
		cmocka_unit_test(memory_that_was_mapped_anew_is_an_error),
		cmocka_unit_test(memory_that_is_gone_can_be_stopped),
		cmocka_unit_test(what_the_kernel_lacks_is_named),
		cmocka_unit_test(no_privilege_is_needed),
	};

	host_page = (size_t)sysconf(_SC_PAGESIZE);
	supported = is_supported();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
