/* SPDX-License-Identifier: MIT */
/* What came before the guest ran, and what memory does of its own accord. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "support/faulted_region.h"

/* ---- what came before ------------------------------------------------------------------------ */

/* Some with content, some as zeros for which nothing was done, some not at all. */
static void only_what_did_not_come_is_asked_for(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for_each_kind(kind)
	{
		struct faulted faulted;
		struct toucher toucher;

		faulted_init(&faulted, kind, units_of(kind, 300));
		for (uint64_t unit = 0; unit < faulted.units; unit++)
			if (unit != 5)
				receive_early(&faulted, unit, unit % 2 == 0);
		faulted_start(&faulted);
		for (uint64_t unit = 0; unit < faulted.units; unit++)
			if (unit != 5)
				assert_true(unit % 2 == 0 ? holds_zeros(&faulted, unit)
							  : holds_content(&faulted, unit));
		assert_int_equal(request_count(&faulted), 0);
		toucher_start(&toucher, &faulted, 5);
		assert_int_equal(wait_for_request(&faulted, 0), 5);
		place_and_check(&faulted, 5, false);
		toucher_join(&toucher);
		assert_int_equal(request_count(&faulted), 1);
		faulted_fini(&faulted);
	}
}

/* A huge page of which a part came is none of it. */
static void a_unit_of_which_a_part_came_is_asked_for(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for_each_kind(kind)
	{
		struct faulted faulted;
		struct toucher toucher;

		if (!kind->is_huge)
			continue;
		faulted_init(&faulted, kind, 4);
		rs_bitmap_set_range(&faulted.region->received, 0, HUGE_BYTES / memory_page() - 1);
		faulted_start(&faulted);
		toucher_start(&toucher, &faulted, 0);
		assert_int_equal(wait_for_request(&faulted, 0), 0);
		rs_bitmap_reset(&faulted.region->received);
		place_and_check(&faulted, 0, false);
		toucher_join(&toucher);
		faulted_fini(&faulted);
	}
}

/* ---- target pages of several host pages ------------------------------------------------------- */

static void target_pages_come_whole(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for (const struct kind *kind = kinds; !kind->is_huge; kind++) {
		uint32_t page_bytes = 4 * (uint32_t)memory_page();
		struct faulted faulted;
		struct toucher toucher;

		faulted_init_pages(&faulted, kind, 16, page_bytes);
		assert_int_equal(rs_discard_region(faulted.region, &faulted.error), 0);
		receive_early(&faulted, 7, true);
		receive_early(&faulted, 8, true);
		receive_early(&faulted, 9, false);
		faulted_start(&faulted);
		/* At the third host page of it. */
		toucher_start_at(&toucher, &faulted, 6, 2 * memory_page());
		assert_int_equal(wait_for_request(&faulted, 0), 6);
		assert_int_equal(faulted.requests[0].units, 1);
		place_and_check(&faulted, 6, false);
		toucher_join(&toucher);
		assert_true(holds_content(&faulted, 6));
		assert_true(holds_zeros(&faulted, 8));
		assert_true(holds_content(&faulted, 9));
		/* From the end, so that parts are there already. */
		madvise(faulted.host + 8 * page_bytes, 2 * (size_t)page_bytes, MADV_DONTNEED);
		for (uint64_t at = 4 * (uint64_t)page_bytes; at > 0; at -= memory_page())
			load_word(faulted.host + 6 * page_bytes + at - memory_page());
		assert_int_equal(request_count(&faulted), 1);
		faulted_fini(&faulted);
	}
}

/* ---- what memory does of its own accord -------------------------------------------------------- */

/* As reclaim does it: the page stays, its entry in the page table goes. */
static void shared_pages_that_are_unmapped_come_back(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for_each_kind(kind)
	{
		struct faulted faulted;

		if (kind->memfd_flags < 0)
			continue;
		faulted_init(&faulted, kind, units_of(kind, 200));
		faulted_start(&faulted);
		for (uint64_t unit = 0; unit < faulted.units; unit++)
			place_and_check(&faulted, unit, unit % 2 == 0);
		for (unsigned round = 0; round < 3; round++) {
			assert_int_equal(madvise(faulted.host, faulted.units * faulted.unit_bytes,
						 MADV_DONTNEED),
					 0);
			for (uint64_t unit = 0; unit < faulted.units; unit++)
				assert_true(unit % 2 == 0 ? holds_zeros(&faulted, unit)
							  : holds_content(&faulted, unit));
		}
		assert_int_equal(request_count(&faulted), 0);
		faulted_fini(&faulted);
	}
}

/* As a balloon does it: what it gives up is zero afterwards, and nobody's business. */
static void pages_that_the_guest_gives_up_are_zero(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for_each_kind(kind)
	{
		struct faulted faulted;

		faulted_init(&faulted, kind, units_of(kind, 64));
		faulted_start(&faulted);
		for (uint64_t unit = 0; unit < faulted.units; unit++)
			place_and_check(&faulted, unit, false);
		for (uint64_t unit = 1; unit < faulted.units; unit += 2)
			assert_int_equal(
			    madvise(faulted.host + unit * faulted.unit_bytes, faulted.unit_bytes,
				    kind->memfd_flags < 0 ? MADV_DONTNEED : MADV_REMOVE),
			    0);
		for (uint64_t unit = 0; unit < faulted.units; unit++)
			assert_true(unit % 2 == 1 ? holds_zeros(&faulted, unit)
						  : holds_content(&faulted, unit));
		assert_int_equal(request_count(&faulted), 0);
		faulted_fini(&faulted);
	}
}

/* ---- the kernel as the one who touches --------------------------------------------------------- */

struct reader {
	struct faulted *faulted;
	uint64_t unit;
	int pipe;
	ssize_t got;
};

static void *read_into_unit(void *argument)
{
	struct reader *reader = argument;
	struct faulted *faulted = reader->faulted;

	reader->got =
	    read(reader->pipe, faulted->host + reader->unit * faulted->unit_bytes + 512, 6);
	return NULL;
}

static void system_calls_wait_too(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for_each_kind(kind)
	{
		struct faulted faulted;
		pthread_t thread;
		int pipes[2];

		assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
		assert_int_equal(write(pipes[1], "abcdef", 6), 6);
		faulted_init(&faulted, kind, units_of(kind, 16));
		faulted_start(&faulted);
		struct reader reader = { &faulted, 4, pipes[0], 0 };

		assert_int_equal(pthread_create(&thread, NULL, read_into_unit, &reader), 0);
		assert_int_equal(wait_for_request(&faulted, 0), 4);
		place_and_check(&faulted, 4, false);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(reader.got, 6);
		assert_memory_equal(faulted.host + 4 * faulted.unit_bytes + 512, "abcdef", 6);
		assert_int_equal(load_word(faulted.host + 4 * faulted.unit_bytes),
				 content_of(4, 0));
		faulted_fini(&faulted);
		close(pipes[0]);
		close(pipes[1]);
	}
}

/* ---- neighbours -------------------------------------------------------------------------------- */

static void touch_and_place(struct faulted *faulted, uint64_t unit)
{
	struct toucher toucher;
	size_t count = request_count(faulted);

	toucher_start(&toucher, faulted, unit);
	assert_int_equal(wait_for_request(faulted, count), unit);
	place_and_check(faulted, unit, false);
	toucher_join(&toucher);
}

static void assert_requested(struct faulted *faulted, size_t index, uint64_t unit, uint64_t units)
{
	assert_int_equal(wait_for_request(faulted, index), unit);
	assert_int_equal(faulted->requests[index].units, units);
}

static void the_way_of_faults_is_asked_for(void **state)
{
	struct faulted faulted;

	(void)state;
	FAULTED_BEGIN();
	faulted_init(&faulted, &kinds[0], 256);
	receive_early(&faulted, 18, true);
	faulted_start(&faulted);
	touch_and_place(&faulted, 10);
	touch_and_place(&faulted, 11);
	touch_and_place(&faulted, 13);
	assert_requested(&faulted, 0, 10, 1);
	assert_requested(&faulted, 1, 11, 2);
	assert_requested(&faulted, 2, 13, 3);
	/* Not beyond what came. */
	touch_and_place(&faulted, 16);
	assert_requested(&faulted, 3, 16, 2);
	/* Backward the one that is waited for comes first. */
	touch_and_place(&faulted, 100);
	touch_and_place(&faulted, 99);
	assert_requested(&faulted, 5, 99, 1);
	assert_requested(&faulted, 6, 98, 1);
	/* Not beyond the end. */
	touch_and_place(&faulted, 253);
	touch_and_place(&faulted, 254);
	assert_requested(&faulted, faulted.count - 1, 254, 2);
	for (uint64_t unit = 0; unit < faulted.units; unit++)
		assert_true(faulted.asked[unit] <= 1);
	faulted_fini(&faulted);
}

/* A neighbour that somebody waits for was asked for. */
static void neighbours_are_not_asked_for_twice(void **state)
{
	struct faulted faulted;
	struct toucher toucher;

	(void)state;
	FAULTED_BEGIN();
	faulted_init(&faulted, &kinds[0], 64);
	faulted_start(&faulted);
	toucher_start(&toucher, &faulted, 15);
	assert_int_equal(wait_for_request(&faulted, 0), 15);
	touch_and_place(&faulted, 10);
	touch_and_place(&faulted, 11);
	/* Two more would be 14 and 15. */
	touch_and_place(&faulted, 13);
	assert_requested(&faulted, 2, 11, 2);
	assert_requested(&faulted, 3, 13, 2);
	place_and_check(&faulted, 15, false);
	toucher_join(&toucher);
	faulted_fini(&faulted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_did_not_come_is_asked_for),
		cmocka_unit_test(a_unit_of_which_a_part_came_is_asked_for),
		cmocka_unit_test(target_pages_come_whole),
		cmocka_unit_test(shared_pages_that_are_unmapped_come_back),
		cmocka_unit_test(pages_that_the_guest_gives_up_are_zero),
		cmocka_unit_test(system_calls_wait_too),
		cmocka_unit_test(the_way_of_faults_is_asked_for),
		cmocka_unit_test(neighbours_are_not_asked_for_twice),
	};

	return cmocka_run_group_tests(tests, faulted_setup, huge_pages_teardown);
}
