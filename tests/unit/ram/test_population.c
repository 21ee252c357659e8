/* SPDX-License-Identifier: MIT */
#include "ram/population.h"

#include "support/huge_pages.h"
#include "support/missing_call.h"
#include "support/tracked_region.h"
#include "track/pagemap.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "support/test_memory.h"

enum { PAGES = 256 };

static size_t host_page;

/* ---- asking -------------------------------------------------------------------------------- */

struct subject {
	struct tracked_region tracked;
	struct rs_population *population;
};

static void subject_open_sized(struct subject *subject, const struct memory *memory,
			       uint32_t page_bytes)
{
	struct rs_region_config config = {
		.host = memory->host,
		.used_bytes = memory->bytes,
		.fd = memory->fd,
		.flags = memory->fd >= 0 ? RS_REGION_HAS_FD : 0,
	};
	struct rs_error error = { 0 };

	assert_int_equal(tracked_region_init(&subject->tracked, page_bytes, config), 0);
	assert_int_equal(rs_population_open(&subject->population, subject->tracked.region, &error),
			 0);
}

static void subject_open(struct subject *subject, const struct memory *memory)
{
	subject_open_sized(subject, memory, (uint32_t)host_page);
}

static void subject_close(struct subject *subject)
{
	rs_population_close(subject->population);
	tracked_region_fini(&subject->tracked);
}

/*
 * Walk [offset, limit) with room for max holes at a time, checking each answer's form, and set
 * is_hole[] for each unit of that is a hole. Returns how many units are.
 */
static size_t walk(const struct rs_population *population, uint64_t offset, uint64_t limit,
		   size_t max, uint64_t unit, bool *is_hole)
{
	struct rs_extent *holes = calloc(max, sizeof(*holes));
	size_t found = 0;

	assert_non_null(holes);
	while (offset < limit) {
		size_t count = 0;
		uint64_t end = rs_population_scan(population, offset, limit, holes, max, &count);
		uint64_t last = offset;

		assert_true(end > offset && end <= limit);
		assert_true(count <= max && (count == max || end == limit));
		for (size_t i = 0; i < count; i++) {
			assert_true(i == 0 ? holes[i].start >= last : holes[i].start > last);
			assert_true(holes[i].start < holes[i].end && holes[i].end <= end);
			assert_true(holes[i].start % unit == 0 && holes[i].end % unit == 0);
			last = holes[i].end;
			for (uint64_t at = holes[i].start; at < holes[i].end; at += unit, found++)
				if (is_hole != NULL)
					is_hole[at / unit] = true;
		}
		offset = end;
	}
	free(holes);
	return found;
}

static size_t count_holes(const struct subject *subject, const struct memory *memory)
{
	return walk(subject->population, 0, memory->bytes, 16, host_page, NULL);
}

/* That exactly the pages that are listed, up to a -1, are no holes. */
static void assert_data_is(const struct subject *subject, const struct memory *memory,
			   const int *data)
{
	size_t pages = memory->bytes / host_page;
	bool *is_hole = calloc(pages, sizeof(*is_hole));

	assert_non_null(is_hole);
	walk(subject->population, 0, memory->bytes, 16, host_page, is_hole);
	for (size_t page = 0; page < pages; page++) {
		bool is_data = false;

		for (const int *listed = data; *listed >= 0; listed++)
			is_data = is_data || (size_t)*listed == page;
		if (is_hole[page] == is_data)
			fail_msg("page %zu is %s", page, is_data ? "a hole" : "data");
	}
	free(is_hole);
}

#define ASSERT_DATA(subject, memory, ...)                                                          \
	assert_data_is(subject, memory, (const int[]){ __VA_ARGS__, -1 })
#define ASSERT_NO_DATA(subject, memory) assert_data_is(subject, memory, (const int[]){ -1 })

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

/* ---- files --------------------------------------------------------------------------------- */

/* Pages come into a file in three ways, of which this mapping sees one. */
static void shared_memory_is_asked_by_its_file(void **state)
{
	struct memory memory = map_memfd(PAGES * host_page);
	struct memory alias = map_new(memory.bytes, MAP_SHARED, memory.fd);
	struct subject subject;
	struct stat before, after;

	(void)state;
	subject_open(&subject, &memory);
	ASSERT_NO_DATA(&subject, &memory);
	write_page(&memory, 3);
	write_page(&alias, 50);
	assert_int_equal(pwrite(memory.fd, "x", 1, (off_t)(200 * host_page + 1)), 1);
	assert_int_equal(lseek(memory.fd, 12345, SEEK_SET), 12345);
	assert_int_equal(fstat(memory.fd, &before), 0);
	ASSERT_DATA(&subject, &memory, 3, 50, 200);
	/* Neither did that populate anything, nor move the embedder's file position. */
	assert_int_equal(fstat(memory.fd, &after), 0);
	assert_int_equal(after.st_blocks, before.st_blocks);
	assert_int_equal(lseek(memory.fd, 0, SEEK_CUR), 12345);
	/* Gone from this page table, not from the file. */
	madvise(memory.host, memory.bytes, MADV_DONTNEED);
	ASSERT_DATA(&subject, &memory, 3, 50, 200);
	assert_int_equal(madvise(memory.host + 50 * host_page, host_page, MADV_REMOVE), 0);
	ASSERT_DATA(&subject, &memory, 3, 200);
	subject_close(&subject);
	munmap(alias.host, alias.bytes);
	unmap(&memory);
}

static void a_part_of_a_file_is_found_in_it(void **state)
{
	int fd = memfd_new(4 * PAGES * host_page);
	struct memory memory = { .bytes = PAGES * host_page, .fd = fd };
	struct subject subject;

	(void)state;
	memory.host = mmap(NULL, memory.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			   (off_t)(2 * PAGES * host_page));
	assert_true(memory.host != MAP_FAILED);
	subject_open(&subject, &memory);
	assert_int_equal(pwrite(fd, "x", 1, (off_t)(4 * host_page)), 1);
	ASSERT_NO_DATA(&subject, &memory);
	assert_int_equal(pwrite(fd, "x", 1, (off_t)((2 * PAGES + 5) * host_page)), 1);
	ASSERT_DATA(&subject, &memory, 5);
	subject_close(&subject);
	unmap(&memory);
}

static void behind_the_end_of_a_file_is_nothing(void **state)
{
	struct memory memory = map_memfd(PAGES * host_page);
	struct subject subject;

	(void)state;
	memset(memory.host, 1, memory.bytes);
	assert_int_equal(ftruncate(memory.fd, (off_t)(10 * host_page)), 0);
	subject_open(&subject, &memory);
	assert_int_equal(count_holes(&subject, &memory), PAGES - 10);
	subject_close(&subject);
	unmap(&memory);
}

static void private_memory_of_a_file_needs_both_proofs(void **state)
{
	struct memory memory =
	    map_new(PAGES * host_page, MAP_PRIVATE, memfd_new(PAGES * host_page));
	struct subject subject;

	(void)state;
	subject_open(&subject, &memory);
	ASSERT_NO_DATA(&subject, &memory);
	assert_int_equal(pwrite(memory.fd, "x", 1, (off_t)(10 * host_page)), 1);
	write_page(&memory, 20);
	assert_int_equal(pwrite(memory.fd, "x", 1, (off_t)(21 * host_page)), 1);
	write_page(&memory, 21);
	ASSERT_DATA(&subject, &memory, 10, 20, 21);
	subject_close(&subject);
	unmap(&memory);
}

/* The kind of memory is the kernel's word; what the region claims does not matter. */
static void what_cannot_be_known_counts_as_data(void **state)
{
	size_t bytes = PAGES * host_page;
	struct memory other = map_memfd(bytes);
	struct memory table[] = {
		map_new(bytes, MAP_SHARED | MAP_ANONYMOUS, -1),
		map_memfd(bytes),
		map_memfd(bytes),
		map_new(bytes, MAP_PRIVATE, memfd_new(bytes)),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct memory claimed = table[i];
		struct subject subject;

		/* No descriptor, or one of another file. */
		claimed.fd = i == 1 ? other.fd : -1;
		subject_open(&subject, &claimed);
		assert_int_equal(count_holes(&subject, &claimed), 0);
		subject_close(&subject);
		unmap(&table[i]);
	}
	unmap(&other);
}

static void a_wrong_descriptor_does_not_hide_anonymous_holes(void **state)
{
	struct memory memory = map_anonymous(PAGES * host_page);
	struct memory claimed = memory;
	struct subject subject;

	(void)state;
	claimed.fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_true(claimed.fd >= 0);
	subject_open(&subject, &claimed);
	write_page(&memory, 2);
	ASSERT_DATA(&subject, &memory, 2);
	subject_close(&subject);
	close(claimed.fd);
	unmap(&memory);
}

/* On a disk: holes only if the file system is one whose word is taken, but never wrong ones. */
static void a_file_on_disk_loses_nothing(void **state)
{
	char path[] = "/tmp/ramsync-population-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);
	struct subject subject;

	(void)state;
	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(ftruncate(fd, (off_t)(PAGES * host_page)), 0);
	struct memory memory = map_new(PAGES * host_page, MAP_SHARED, fd);
	bool is_hole[PAGES] = { false };

	subject_open(&subject, &memory);
	for (size_t page = 0; page < PAGES; page += 3) {
		write_page(&memory, page);
		memset(is_hole, 0, sizeof(is_hole));
		walk(subject.population, 0, memory.bytes, 8, host_page, is_hole);
		for (size_t written = 0; written <= page; written += 3)
			assert_false(is_hole[written]);
	}
	subject_close(&subject);
	unmap(&memory);
}

static struct huge_pages huge_pages = HUGE_PAGES_NONE;

static int release_huge_pages(void **state)
{
	(void)state;
	huge_pages_release(&huge_pages);
	return 0;
}

static void hugetlb_is_never_taken_for_a_hole(void **state)
{
	size_t bytes = 2 * (size_t)HUGE_BYTES;

	(void)state;
	if (!huge_pages_reserve(&huge_pages, 2))
		skip();
	for (int shared = 0; shared < 2; shared++) {
		int fd = shared ? memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB) : -1;
		struct memory memory = { .bytes = bytes, .fd = fd };
		struct subject subject;

		if (shared)
			assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
		memory.host =
		    mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			 shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, fd, 0);
		assert_true(memory.host != MAP_FAILED);
		memory.host[HUGE_BYTES] = 1;
		subject_open(&subject, &memory);
		bool is_hole[2] = { false };

		walk(subject.population, 0, bytes, 8, HUGE_BYTES, is_hole);
		assert_false(is_hole[1]);
		subject_close(&subject);
		unmap(&memory);
	}
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
		cmocka_unit_test(shared_memory_is_asked_by_its_file),
		cmocka_unit_test(a_part_of_a_file_is_found_in_it),
		cmocka_unit_test(behind_the_end_of_a_file_is_nothing),
		cmocka_unit_test(private_memory_of_a_file_needs_both_proofs),
		cmocka_unit_test(what_cannot_be_known_counts_as_data),
		cmocka_unit_test(a_wrong_descriptor_does_not_hide_anonymous_holes),
		cmocka_unit_test(a_file_on_disk_loses_nothing),
		cmocka_unit_test_teardown(hugetlb_is_never_taken_for_a_hole, release_huge_pages),
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
