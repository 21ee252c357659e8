/* SPDX-License-Identifier: MIT */
/* What the userfaultfd log leaves as it is: holes, and what lies outside of the region. */
#include "ram/population.h"
#include "track/pagemap.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "support/logged_memory.h"

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

/* Shared memory is protected in whole blocks, holes as well: those are still no data. */
static void protected_holes_of_a_file_are_holes(void **state)
{
	struct memory memory = map_memfd(PAGES * host_page);
	struct rs_population *population;
	struct tracked_region tracked;
	struct rs_extent holes[4];
	size_t count;

	(void)state;
	SKIP_UNLESS_SUPPORTED();
	write_page(&memory, 9);
	track(&tracked, &memory);
	start(&tracked);
	write_page(&memory, 600);
	assert_int_equal(sync_pages(&tracked), 1);
	assert_int_equal(rs_population_open(&population, tracked.region, NULL), 0);
	assert_int_equal(rs_population_scan(population, 0, memory.bytes, holes, 4, &count),
			 memory.bytes);
	assert_int_equal(count, 3);
	assert_int_equal(holes[0].end, 9 * host_page);
	assert_int_equal(holes[1].start, 10 * host_page);
	assert_int_equal(holes[1].end, 600 * host_page);
	assert_int_equal(holes[2].start, 601 * host_page);
	rs_population_close(population);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holes_take_no_page_tables),
		cmocka_unit_test(holes_stay_holes),
		cmocka_unit_test(protected_holes_of_a_file_are_holes),
		cmocka_unit_test(only_the_used_part_is_touched),
		cmocka_unit_test(target_pages_may_be_larger),
	};

	logged_memory_begin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
