/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "support/faulted_region.h"

/* This needs no userfaultfd. */
static int setup(void **state)
{
	(void)state;
	huge_pages_are_there = huge_pages_reserve(&huge_pages, HUGE_UNITS);
	return 0;
}

static uint64_t pages_of_unit(const struct faulted *faulted)
{
	return faulted->unit_bytes / faulted->state.page_bytes;
}

/* A region that came in full. */
static void init_full(struct faulted *faulted, const struct kind *kind, uint64_t units,
		      uint32_t page_bytes)
{
	faulted_init_pages(faulted, kind, units, page_bytes);
	for (uint64_t unit = 0; unit < units; unit++)
		receive_early(faulted, unit, false);
	rs_bitmap_set_range(&faulted->region->written, 0, units * pages_of_unit(faulted));
}

static void check_unit(const struct faulted *faulted, uint64_t unit, bool discarded)
{
	uint64_t first = unit * pages_of_unit(faulted), end = first + pages_of_unit(faulted);
	const struct rs_bitmap *received = &faulted->region->received;
	const struct rs_bitmap *written = &faulted->region->written;

	if (discarded) {
		assert_int_equal(rs_bitmap_find_set(received, first, end), end);
		assert_int_equal(rs_bitmap_find_set(written, first, end), end);
		assert_true(holds_zeros(faulted, unit));
	} else {
		assert_int_equal(rs_bitmap_find_clear(received, first, end), end);
		assert_int_equal(rs_bitmap_find_clear(written, first, end), end);
		assert_true(holds_content(faulted, unit));
	}
}

static void pages_are_emptied_and_no_others(void **state)
{
	(void)state;
	for_each_kind(kind)
	{
		struct faulted faulted;

		init_full(&faulted, kind, units_of(kind, 16), (uint32_t)memory_page());
		uint64_t unit = faulted.unit_bytes;

		assert_int_equal(rs_discard_pages(faulted.region, unit, unit, NULL), 0);
		assert_int_equal(rs_discard_pages(faulted.region, 3 * unit, 2 * unit, NULL), 0);
		assert_int_equal(
		    rs_discard_pages(faulted.region, (faulted.units - 1) * unit, unit, NULL), 0);
		for (uint64_t at = 0; at < faulted.units; at++)
			check_unit(&faulted, at,
				   at == 1 || at == 3 || at == 4 || at == faulted.units - 1);
		faulted_fini(&faulted);
	}
}

/* More than the kernel takes at once, and every other. */
static void many_ranges_are_emptied(void **state)
{
	(void)state;
	for_each_kind(kind)
	{
		struct rs_byte_range ranges[MAX_UNITS / 2];
		struct faulted faulted;
		size_t count = 0;

		init_full(&faulted, kind, units_of(kind, 700), (uint32_t)memory_page());
		for (uint64_t unit = 0; unit < faulted.units; unit += 2)
			ranges[count++] =
			    (struct rs_byte_range){ unit * faulted.unit_bytes, faulted.unit_bytes };
		assert_int_equal(rs_discard_ranges(faulted.region, ranges, count, &faulted.error),
				 0);
		for (uint64_t unit = 0; unit < faulted.units; unit++)
			check_unit(&faulted, unit, unit % 2 == 0);
		assert_int_equal(rs_discard_ranges(faulted.region, ranges, 0, NULL), 0);
		faulted_fini(&faulted);
	}
}

static void target_pages_are_emptied_whole(void **state)
{
	(void)state;
	for (const struct kind *kind = kinds; !kind->is_huge; kind++) {
		struct faulted faulted;

		init_full(&faulted, kind, 16, 4 * (uint32_t)memory_page());
		assert_int_equal(rs_discard_pages(faulted.region, 5 * faulted.unit_bytes,
						  faulted.unit_bytes, NULL),
				 0);
		assert_int_equal(
		    rs_discard_pages(faulted.region, memory_page(), memory_page(), NULL), -EINVAL);
		for (uint64_t unit = 0; unit < faulted.units; unit++)
			check_unit(&faulted, unit, unit == 5);
		faulted_fini(&faulted);
	}
}

static void other_ranges_are_refused(void **state)
{
	(void)state;
	for_each_kind(kind)
	{
		struct faulted faulted;

		init_full(&faulted, kind, units_of(kind, 16), (uint32_t)memory_page());
		uint64_t unit = faulted.unit_bytes, end = faulted.units * unit;
		const struct rs_byte_range bad[] = {
			{ 0, 0 },           { 0, unit / 2 },          { unit / 2, unit },
			{ end, unit },      { end - unit, 2 * unit }, { 0, end + unit },
			{ 0 - unit, unit }, { unit, 0 - unit },       { 512, unit },
		};

		for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			/* Behind one that is right, which is not discarded either. */
			const struct rs_byte_range ranges[] = { { 0, unit }, bad[i] };
			struct rs_error error = { 0 };

			assert_int_equal(rs_discard_ranges(faulted.region, ranges, 2, &error),
					 -EINVAL);
			assert_non_null(strstr(error.text, "region memory: "));
			assert_int_equal(rs_discard_pages(faulted.region, bad[i].start,
							  bad[i].bytes, NULL),
					 -EINVAL);
		}
		for (uint64_t at = 0; at < faulted.units; at++)
			check_unit(&faulted, at, false);
		faulted_fini(&faulted);
	}
}

/* ---- whole regions ----------------------------------------------------------------------------- */

static void a_region_is_emptied(void **state)
{
	(void)state;
	for_each_kind(kind)
	{
		struct faulted faulted;

		init_full(&faulted, kind, units_of(kind, 64), (uint32_t)memory_page());
		if (rs_discard_region(faulted.region, &faulted.error) != 0)
			fail_msg("%s: %s", kind->name, faulted.error.text);
		for (uint64_t unit = 0; unit < faulted.units; unit++)
			check_unit(&faulted, unit, true);
		assert_true(faulted.region->zero_until_written);
		faulted_fini(&faulted);
	}
}

/* Its bitmaps do not exist before its name came. */
static void a_region_that_was_not_listed_is_emptied(void **state)
{
	struct faulted faulted;

	(void)state;
	init_full(&faulted, &kinds[0], 16, (uint32_t)memory_page());
	rs_bitmap_fini(&faulted.region->received);
	rs_bitmap_fini(&faulted.region->written);
	assert_int_equal(rs_discard_region(faulted.region, NULL), 0);
	assert_true(holds_zeros(&faulted, 3));
	faulted_fini(&faulted);
}

/* In memory that would come by 2 MiB at a time. */
static void a_touch_populates_one_page_afterwards(void **state)
{
	size_t bytes = 3 * (size_t)HUGE_BYTES;
	struct memory memory = map_anonymous(bytes);
	struct faulted faulted;

	(void)state;
	unsigned char *aligned =
	    (unsigned char *)(((uintptr_t)memory.host + HUGE_BYTES - 1) & ~(HUGE_BYTES - 1ull));

	faulted_init_pages(&faulted, &kinds[0], HUGE_BYTES / memory_page(),
			   (uint32_t)memory_page());
	uint8_t *host = faulted.region->host;

	faulted.region->host = aligned;
	if (madvise(aligned, HUGE_BYTES, MADV_HUGEPAGE) != 0) {
		print_message("no transparent huge pages here\n");
		skip();
	}
	aligned[0] = 1;
	assert_int_equal(rs_discard_region(faulted.region, NULL), 0);
	assert_int_equal(resident_pages(&memory), 0);
	aligned[0] = 1;
	assert_int_equal(resident_pages(&memory), 1);
	faulted.region->host = host;
	faulted_fini(&faulted);
	unmap(&memory);
}

static void a_region_of_half_pages_is_refused(void **state)
{
	struct faulted faulted;

	(void)state;
	init_full(&faulted, &kinds[0], 16, (uint32_t)memory_page());
	faulted.region->host_page_bytes = 64 * memory_page();
	assert_int_equal(rs_discard_region(faulted.region, &faulted.error), -EINVAL);
	assert_non_null(strstr(faulted.error.text, "are not whole pages of "));
	faulted.region->host_page_bytes = memory_page();
	check_unit(&faulted, 0, false);
	faulted_fini(&faulted);
}

/* Map a file over a part of a region of private memory. */
static int map_over(const struct faulted *faulted, uint64_t unit, uint64_t units, int flags)
{
	int fd = memfd_new(units * faulted->unit_bytes);
	uint8_t *at = faulted->host + unit * faulted->unit_bytes;

	assert_ptr_equal(mmap(at, units * faulted->unit_bytes, PROT_READ | PROT_WRITE,
			      flags | MAP_FIXED, fd, 0),
			 at);
	return fd;
}

static void the_bytes_of_a_file_do_not_come_back(void **state)
{
	struct faulted faulted;

	(void)state;
	faulted_init_pages(&faulted, &kinds[0], 16, (uint32_t)memory_page());
	int fd = map_over(&faulted, 8, 2, MAP_PRIVATE);

	assert_int_equal(pwrite(fd, "old", 3, 0), 3);
	assert_int_equal(rs_discard_region(faulted.region, &faulted.error), -EINVAL);
	assert_non_null(strstr(faulted.error.text, "region memory: "));
	assert_non_null(strstr(faulted.error.text, "private mapping of a file"));
	close(fd);
	faulted_fini(&faulted);
}

static void memory_that_is_shared_in_part_is_refused(void **state)
{
	struct faulted faulted;

	(void)state;
	faulted_init_pages(&faulted, &kinds[0], 16, (uint32_t)memory_page());
	close(map_over(&faulted, 8, 2, MAP_SHARED));
	assert_int_equal(rs_discard_region(faulted.region, &faulted.error), -EINVAL);
	assert_non_null(strstr(faulted.error.text, "region memory: its memory is shared in part"));
	faulted_fini(&faulted);
}

/* What the embedder says of its memory is not believed. */
static void shared_memory_is_emptied_though_nobody_said_it_is(void **state)
{
	struct faulted faulted;

	(void)state;
	faulted_init_pages(&faulted, &kinds[0], 16, (uint32_t)memory_page());
	close(map_over(&faulted, 0, 16, MAP_SHARED));
	for (uint64_t unit = 0; unit < 16; unit++)
		receive_early(&faulted, unit, false);
	assert_int_equal(
	    rs_discard_pages(faulted.region, 0, 4 * faulted.unit_bytes, &faulted.error), 0);
	assert_true(holds_zeros(&faulted, 0) && holds_zeros(&faulted, 3));
	assert_true(holds_content(&faulted, 4));
	assert_int_equal(rs_discard_region(faulted.region, NULL), 0);
	assert_true(holds_zeros(&faulted, 15));
	faulted_fini(&faulted);
}

static void memory_that_is_gone_is_an_error(void **state)
{
	struct faulted faulted;

	(void)state;
	init_full(&faulted, &kinds[0], 16, (uint32_t)memory_page());
	assert_int_equal(munmap(faulted.host + 4 * faulted.unit_bytes, faulted.unit_bytes), 0);
	const struct rs_byte_range ranges[] = { { 0, faulted.unit_bytes },
						{ 2 * faulted.unit_bytes, faulted.unit_bytes },
						{ 4 * faulted.unit_bytes, faulted.unit_bytes },
						{ 6 * faulted.unit_bytes, faulted.unit_bytes } };

	assert_int_equal(rs_discard_ranges(faulted.region, ranges, 4, &faulted.error), -ENOMEM);
	assert_non_null(strstr(faulted.error.text, "cannot be discarded: "));
	check_unit(&faulted, 2, true);
	check_unit(&faulted, 3, false);
	faulted_fini(&faulted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_are_emptied_and_no_others),
		cmocka_unit_test(many_ranges_are_emptied),
		cmocka_unit_test(target_pages_are_emptied_whole),
		cmocka_unit_test(other_ranges_are_refused),
		cmocka_unit_test(a_region_is_emptied),
		cmocka_unit_test(a_region_that_was_not_listed_is_emptied),
		cmocka_unit_test(a_touch_populates_one_page_afterwards),
		cmocka_unit_test(a_region_of_half_pages_is_refused),
		cmocka_unit_test(the_bytes_of_a_file_do_not_come_back),
		cmocka_unit_test(memory_that_is_shared_in_part_is_refused),
		cmocka_unit_test(shared_memory_is_emptied_though_nobody_said_it_is),
		cmocka_unit_test(memory_that_is_gone_is_an_error),
	};

	return cmocka_run_group_tests(tests, setup, huge_pages_teardown);
}
