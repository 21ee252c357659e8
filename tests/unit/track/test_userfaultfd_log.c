/* SPDX-License-Identifier: MIT */
/* That no write is lost by the userfaultfd log, on any kind of memory. */
#include "support/huge_pages.h"
#include "codec/live_memory.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "support/logged_memory.h"

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
		cmocka_unit_test_teardown(hugetlb_is_logged, huge_pages_teardown),
		cmocka_unit_test(regions_may_have_several_mappings),
	};

	logged_memory_begin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
