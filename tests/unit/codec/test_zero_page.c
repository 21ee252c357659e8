/* SPDX-License-Identifier: MIT */
#include "codec/zero_page.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

enum { ALIGNMENT = 64, UNIT = 256, LARGEST = 65536 };

static const size_t page_sizes[] = { 1024, 4096, 16384, LARGEST };
#define PAGE_SIZES (sizeof(page_sizes) / sizeof(page_sizes[0]))

/* Zero bytes between other ones, at any multiple of 64: whoever reads too far sees data. */
static unsigned char *buffer_new(size_t bytes)
{
	unsigned char *buffer = aligned_alloc(4096, bytes + 4096);

	assert_non_null(buffer);
	memset(buffer, 0xff, bytes + 4096);
	return buffer;
}

static void zeros_are_zero_at_every_alignment(void **state)
{
	unsigned char *buffer = buffer_new(2 * 4096);
	size_t count;
	const struct rs_is_zero_version *versions = rs_is_zero_versions(&count);

	(void)state;
	for (size_t v = 0; v < count; v++)
		for (size_t at = ALIGNMENT; at < 4096; at += ALIGNMENT)
			for (size_t bytes = UNIT; bytes <= 4096; bytes += UNIT) {
				memset(buffer, 0xff, 3 * 4096);
				memset(buffer + at, 0, bytes);
				assert_true(versions[v].function(buffer + at, bytes));
				assert_true(rs_is_zero(buffer + at, bytes));
			}
	free(buffer);
}

/* Each bit of each byte, alone in a page that is zero otherwise. */
static void every_single_bit_is_found(void **state)
{
	unsigned char *page = buffer_new(4096);
	size_t count;
	const struct rs_is_zero_version *versions = rs_is_zero_versions(&count);

	(void)state;
	memset(page, 0, 4096);
	for (size_t at = 0; at < 4096; at++)
		for (unsigned bit = 0; bit < 8; bit++) {
			page[at] = (unsigned char)(1u << bit);
			for (size_t v = 0; v < count; v++)
				assert_false(versions[v].function(page, 4096));
			assert_false(rs_is_zero(page, 4096));
			assert_int_equal(rs_zero_run_pages(page, 1, 4096, true), 0);
			assert_int_equal(rs_zero_run_pages(page, 1, 4096, false), 1);
			page[at] = 0;
		}
	free(page);
}

static void every_byte_of_the_largest_page_is_found(void **state)
{
	unsigned char *page = buffer_new(LARGEST);
	size_t count;
	const struct rs_is_zero_version *versions = rs_is_zero_versions(&count);

	(void)state;
	memset(page, 0, LARGEST);
	for (size_t at = 0; at < LARGEST; at += 61) {
		page[at] = 0x80;
		for (size_t v = 0; v < count; v++)
			assert_false(versions[v].function(page, LARGEST));
		page[at] = 0;
	}
	free(page);
}

static void versions_agree_on_random_pages(void **state)
{
	unsigned char *page = buffer_new(4096);
	size_t count;
	const struct rs_is_zero_version *versions = rs_is_zero_versions(&count);
	unsigned seed = 1;

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		size_t bytes = UNIT * (1 + (size_t)rand_r(&seed) % 16);
		bool zero = true;

		memset(page, 0, 4096);
		if (rand_r(&seed) % 2)
			page[rand_r(&seed) % 4096] = 1;
		for (size_t i = 0; i < bytes; i++)
			zero = zero && page[i] == 0;
		for (size_t v = 0; v < count; v++)
			assert_int_equal(versions[v].function(page, bytes), zero);
	}
	free(page);
}

static void the_portable_version_is_always_there(void **state)
{
	size_t count;
	const struct rs_is_zero_version *versions = rs_is_zero_versions(&count);

	(void)state;
	assert_true(count >= 1);
	assert_string_equal(versions[0].name, "portable");
}

/* A run that ends, by a page of the other kind, at each length, for each page size. */
static void runs_end_where_the_kind_changes(void **state)
{
	enum { PAGES = 24 };

	(void)state;
	for (size_t s = 0; s < PAGE_SIZES; s++) {
		size_t page_bytes = page_sizes[s];
		unsigned char *memory = buffer_new(PAGES * page_bytes);

		for (size_t run = 0; run <= PAGES; run++) {
			for (size_t i = 0; i < PAGES; i++) {
				unsigned char *page = memory + i * page_bytes;

				/* Data at the very end of the page, or none. */
				memset(page, 0, page_bytes);
				page[page_bytes - 1] = i < run ? 0 : 1;
			}
			assert_int_equal(rs_zero_run_pages(memory, PAGES, page_bytes, true), run);
			assert_int_equal(rs_zero_run_pages(memory, run, page_bytes, true), run);
			if (run > 0)
				assert_int_equal(
				    rs_zero_run_pages(memory, PAGES, page_bytes, false), 0);
			for (size_t i = 0; i < PAGES; i++)
				memory[(i + 1) * page_bytes - 1] ^= 1;
			assert_int_equal(rs_zero_run_pages(memory, PAGES, page_bytes, false), run);
		}
		free(memory);
	}
}

static void an_empty_run_is_empty(void **state)
{
	unsigned char *page = buffer_new(4096);

	(void)state;
	assert_int_equal(rs_zero_run_pages(page, 0, 4096, true), 0);
	assert_int_equal(rs_zero_run_pages(page, 0, 4096, false), 0);
	free(page);
}

/* With nothing mapped behind: neither reads nor prefetches may go too far. */
static void nothing_is_read_behind_the_end(void **state)
{
	size_t host_page = (size_t)sysconf(_SC_PAGESIZE);
	size_t bytes = 4 * LARGEST;
	unsigned char *memory = mmap(NULL, bytes + host_page, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t count;
	const struct rs_is_zero_version *versions = rs_is_zero_versions(&count);

	(void)state;
	assert_true(memory != MAP_FAILED);
	assert_int_equal(mprotect(memory + bytes, host_page, PROT_NONE), 0);
	for (size_t v = 0; v < count; v++)
		for (size_t length = UNIT; length <= 4096; length += UNIT)
			assert_true(versions[v].function(memory + bytes - length, length));
	for (size_t s = 0; s < PAGE_SIZES; s++)
		assert_int_equal(rs_zero_run_pages(memory, bytes / page_sizes[s], page_sizes[s],
						   true),
				 bytes / page_sizes[s]);
	munmap(memory, bytes + host_page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zeros_are_zero_at_every_alignment),
		cmocka_unit_test(every_single_bit_is_found),
		cmocka_unit_test(every_byte_of_the_largest_page_is_found),
		cmocka_unit_test(versions_agree_on_random_pages),
		cmocka_unit_test(the_portable_version_is_always_there),
		cmocka_unit_test(runs_end_where_the_kind_changes),
		cmocka_unit_test(an_empty_run_is_empty),
		cmocka_unit_test(nothing_is_read_behind_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
