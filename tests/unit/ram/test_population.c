/* SPDX-License-Identifier: MIT */
/* Holes of anonymous memory and of mixtures; those of files are in test_population_files.c. */
#include "unit/ram/population_subject.h"
#include "support/missing_call.h"
#include "track/pagemap.h"
#include <pthread.h>

/* ---- private anonymous memory -------------------------------------------------------------- */

static void anonymous_holes_are_found_and_stay(void **state)
{
	struct memory memory = map_anonymous(PAGES * host_page);
	struct subject subject;

	(void)state;
	subject_open(&subject, &memory);
	ASSERT_NO_DATA(&subject, &memory);
	assert_int_equal(resident_pages(&memory), 0);
	write_page(&memory, 0);
	write_page(&memory, 100);
	write_page(&memory, 101);
	write_page(&memory, PAGES - 1);
	ASSERT_DATA(&subject, &memory, 0, 100, 101, PAGES - 1);
	assert_int_equal(resident_pages(&memory), 4);
	subject_close(&subject);
	unmap(&memory);
}

static void what_was_only_read_is_still_a_hole(void **state)
{
	struct memory memory = map_anonymous(PAGES * host_page);
	int pagemap = rs_pagemap_open();
	bool can_scan = rs_pagemap_can_scan(pagemap);
	struct subject subject;

	(void)state;
	close(pagemap);
	if (!can_scan) {
		print_message("this kernel does not tell what maps the zero page\n");
		unmap(&memory);
		skip();
	}
	subject_open(&subject, &memory);
	read_page(&memory, 5);
	read_page(&memory, 6);
	write_page(&memory, 7);
	ASSERT_DATA(&subject, &memory, 7);
	write_page(&memory, 6);
	ASSERT_DATA(&subject, &memory, 6, 7);
	subject_close(&subject);
	unmap(&memory);
}

static void what_was_discarded_is_a_hole_again(void **state)
{
	struct memory memory = map_anonymous(PAGES * host_page);
	struct subject subject;

	(void)state;
	subject_open(&subject, &memory);
	memset(memory.host, 1, memory.bytes);
	assert_int_equal(count_holes(&subject, &memory), 0);
	assert_int_equal(madvise(memory.host + 9 * host_page, host_page, MADV_DONTNEED), 0);
	assert_int_equal(count_holes(&subject, &memory), 1);
	subject_close(&subject);
	unmap(&memory);
}

/* A huge page that has data is data throughout; the huge zero page is none. */
static void huge_pages_are_understood(void **state)
{
	struct memory memory = map_anonymous(4 * (size_t)HUGE_BYTES);
	unsigned char *aligned =
	    memory.host + (HUGE_BYTES - (uintptr_t)memory.host % HUGE_BYTES) % HUGE_BYTES;
	struct memory part = { .host = aligned, .bytes = 3 * (size_t)HUGE_BYTES, .fd = -1 };
	struct subject subject;

	(void)state;
	madvise(part.host, part.bytes, MADV_HUGEPAGE);
	part.host[0] = 1;
	if (resident_pages(&part) != HUGE_BYTES / host_page) {
		print_message("the system gives no transparent huge pages\n");
		unmap(&memory);
		skip();
	}
	(void)*(volatile unsigned char *)(part.host + HUGE_BYTES);
	subject_open(&subject, &part);
	size_t holes = count_holes(&subject, &part);

	/* Kernels before 6.14 do not tell that the huge zero page is zero; that is allowed. */
	assert_true(holes == 2 * HUGE_BYTES / host_page || holes == HUGE_BYTES / host_page);
	part.host[HUGE_BYTES + 5] = 1;
	assert_int_equal(count_holes(&subject, &part), HUGE_BYTES / host_page);
	subject_close(&subject);
	unmap(&memory);
}

/* mincore(2) does not tell: what was just swapped out may be cached still. */
static bool is_swapped_out(const struct memory *memory, size_t page)
{
	int pagemap = rs_pagemap_open();
	uint64_t entry = 0;

	assert_true(pagemap >= 0);
	assert_int_equal(
	    pread(pagemap, &entry, sizeof(entry),
		  (off_t)(((uintptr_t)memory->host / host_page + page) * sizeof(entry))),
	    sizeof(entry));
	close(pagemap);
	return (entry >> 62 & 1) != 0;
}

static void what_is_swapped_out_is_data(void **state)
{
	struct memory memory = map_anonymous(PAGES * host_page);
	struct subject subject;

	(void)state;
	memset(memory.host, 1, memory.bytes / 2);
	madvise(memory.host, memory.bytes, MADV_PAGEOUT);
	if (!is_swapped_out(&memory, 0)) {
		print_message("nothing is swapped out here: no swap space\n");
		unmap(&memory);
		skip();
	}
	subject_open(&subject, &memory);
	assert_int_equal(count_holes(&subject, &memory), PAGES / 2);
	subject_close(&subject);
	unmap(&memory);
}

/* ---- mixtures ------------------------------------------------------------------------------ */

/* Anonymous, shared file, nothing at all, anonymous: a hole goes over the first border. */
static void regions_may_have_several_mappings(void **state)
{
	struct memory memory = map_anonymous(PAGES * host_page);
	struct memory file = { .bytes = 64 * host_page, .fd = memfd_new(64 * host_page) };
	struct memory claimed = memory;
	struct rs_extent holes[4];
	struct subject subject;
	size_t count;

	(void)state;
	file.host = mmap(memory.host + 64 * host_page, file.bytes, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, file.fd, 0);
	assert_true(file.host == memory.host + 64 * host_page);
	munmap(memory.host + 128 * host_page, 64 * host_page);
	claimed.fd = file.fd;
	subject_open(&subject, &claimed);
	write_page(&memory, 60);
	write_page(&memory, 70);
	assert_int_equal(rs_population_scan(subject.population, 0, memory.bytes, holes, 4, &count),
			 memory.bytes);
	assert_int_equal(count, 4);
	static const uint64_t wanted[4][2] = { { 0, 60 }, { 61, 70 }, { 71, 128 }, { 192, 256 } };

	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(holes[i].start, wanted[i][0] * host_page);
		assert_int_equal(holes[i].end, wanted[i][1] * host_page);
	}
	subject_close(&subject);
	close(file.fd);
	munmap(memory.host, memory.bytes);
}

/* A target page of several host pages is a hole if all of them are; smaller ones are as they are.
 */
static void holes_are_whole_target_pages(void **state)
{
	static const uint32_t page_sizes[] = { 1024, 16384, 65536 };
	struct memory memory = map_anonymous(PAGES * host_page);

	(void)state;
	write_page(&memory, 17);
	write_page(&memory, 48);
	write_page(&memory, 49);
	write_page(&memory, 255);
	for (size_t s = 0; s < sizeof(page_sizes) / sizeof(page_sizes[0]); s++) {
		uint64_t unit = page_sizes[s];
		size_t units = memory.bytes / unit;
		bool *is_hole = calloc(units, sizeof(*is_hole));
		struct subject subject;

		assert_non_null(is_hole);
		subject_open_sized(&subject, &memory, page_sizes[s]);
		walk(subject.population, 0, memory.bytes, 2, unit, is_hole);
		for (size_t i = 0; i < units; i++) {
			uint64_t first = i * unit / host_page;
			uint64_t last = ((i + 1) * unit - 1) / host_page;
			bool data = false;

			for (uint64_t page = first; page <= last; page++)
				data =
				    data || page == 17 || page == 48 || page == 49 || page == 255;
			assert_int_equal(is_hole[i], !data);
		}
		subject_close(&subject);
		free(is_hole);
	}
	unmap(&memory);
}

/* Windows, room for answers, and pages at random, against what was written. */
static int compare_with_a_model(struct memory *memory)
{
	struct subject subject;
	bool written[PAGES] = { false };
	unsigned seed = 1;

	subject_open(&subject, memory);
	for (unsigned round = 0; round < 300; round++) {
		size_t page = (size_t)rand_r(&seed) % PAGES;
		size_t from = (size_t)rand_r(&seed) % PAGES;
		size_t to = from + 1 + (size_t)rand_r(&seed) % (PAGES - from);
		size_t max = 1 + (size_t)rand_r(&seed) % 20;
		bool is_hole[PAGES] = { false };

		write_page(memory, page);
		written[page] = true;
		walk(subject.population, from * host_page, to * host_page, max, host_page, is_hole);
		for (size_t i = from; i < to; i++)
			if (is_hole[i] == written[i])
				return 1;
	}
	subject_close(&subject);
	return 0;
}

static int compare_both_kinds(void)
{
	struct memory anonymous = map_anonymous(PAGES * host_page);
	struct memory shared = map_memfd(PAGES * host_page);
	int result = compare_with_a_model(&anonymous) + compare_with_a_model(&shared);

	unmap(&anonymous);
	unmap(&shared);
	return result;
}

static void random_windows_agree_with_a_model(void **state)
{
	(void)state;
	assert_int_equal(compare_both_kinds(), 0);
}

static int compare_without_scan(void)
{
	if (!missing_ioctl(PAGEMAP_SCAN, ENOTTY))
		return MISSING_CALL_NOT_POSSIBLE;
	return compare_both_kinds();
}

static void kernels_without_pagemap_scan_will_do(void **state)
{
	int result = in_a_child(compare_without_scan);

	(void)state;
	if (result == MISSING_CALL_NOT_POSSIBLE) {
		print_message("system calls cannot be filtered here\n");
		skip();
	}
	assert_int_equal(result, 0);
}

/* ---- at the same time ---------------------------------------------------------------------- */

struct filler {
	struct memory memory;
	_Atomic size_t written; /* pages, from the front */
};

static void *fill_slowly(void *argument)
{
	struct filler *filler = argument;

	for (size_t page = 0; page < filler->memory.bytes / host_page; page++) {
		write_page(&filler->memory, page);
		atomic_store_explicit(&filler->written, page + 1, memory_order_release);
	}
	return NULL;
}

/* A page that was written before the call is never called a hole. */
static void answers_are_fresh(void **state)
{
	(void)state;
	for (int shared = 0; shared < 2; shared++) {
		size_t bytes = 16384 * host_page;
		struct filler filler = {
			.memory = shared ? map_memfd(bytes) : map_anonymous(bytes),
		};
		struct subject subject;
		struct rs_extent hole;
		pthread_t thread;
		size_t count, written = 0;

		subject_open(&subject, &filler.memory);
		assert_int_equal(pthread_create(&thread, NULL, fill_slowly, &filler), 0);
		while (written < bytes / host_page) {
			written = atomic_load_explicit(&filler.written, memory_order_acquire);
			rs_population_scan(subject.population, 0, bytes, &hole, 1, &count);
			if (count > 0)
				assert_true(hole.start >= written * host_page);
		}
		pthread_join(thread, NULL);
		assert_int_equal(count, 0);
		subject_close(&subject);
		unmap(&filler.memory);
	}
}

static void closing_nothing_is_allowed(void **state)
{
	(void)state;
	rs_population_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(anonymous_holes_are_found_and_stay),
		cmocka_unit_test(what_was_only_read_is_still_a_hole),
		cmocka_unit_test(what_was_discarded_is_a_hole_again),
		cmocka_unit_test(huge_pages_are_understood),
		cmocka_unit_test(what_is_swapped_out_is_data),
		cmocka_unit_test(regions_may_have_several_mappings),
		cmocka_unit_test(holes_are_whole_target_pages),
		cmocka_unit_test(random_windows_agree_with_a_model),
		cmocka_unit_test(kernels_without_pagemap_scan_will_do),
		cmocka_unit_test(answers_are_fresh),
		cmocka_unit_test(closing_nothing_is_allowed),
	};

	host_page = (size_t)sysconf(_SC_PAGESIZE);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
