/* SPDX-License-Identifier: MIT */
/* Faults on memory of every kind: who is asked, what is placed, who goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "support/faulted_region.h"

/* ---- one page -------------------------------------------------------------------------------- */

static void a_fault_asks_once_and_waits(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for_each_kind(kind)
	{
		struct faulted faulted;
		struct toucher first, second;

		faulted_init(&faulted, kind, units_of(kind, 16));
		faulted_start(&faulted);
		toucher_start(&first, &faulted, 5);
		assert_int_equal(wait_for_request(&faulted, 0), 5);
		/* Another fault, so that the second one on the same page was read as well. */
		toucher_start(&second, &faulted, 5);
		assert_false(toucher_is_done(&first));
		place_and_check(&faulted, 5, false);
		toucher_join(&first);
		toucher_join(&second);
		assert_true(holds_content(&faulted, 5));
		assert_int_equal(request_count(&faulted), 1);
		faulted_fini(&faulted);
	}
}

static void what_was_placed_before_does_not_fault(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for_each_kind(kind)
	{
		struct faulted faulted;

		faulted_init(&faulted, kind, units_of(kind, 16));
		faulted_start(&faulted);
		for (uint64_t unit = 0; unit < faulted.units; unit++)
			place_and_check(&faulted, unit, unit % 3 == 0);
		for (uint64_t unit = 0; unit < faulted.units; unit++)
			assert_true(unit % 3 == 0 ? holds_zeros(&faulted, unit)
						  : holds_content(&faulted, unit));
		assert_int_equal(request_count(&faulted), 0);
		assert_int_equal(rs_bitmap_count(&faulted.region->received),
				 faulted.units * faulted.unit_bytes / faulted.state.page_bytes);
		faulted_fini(&faulted);
	}
}

/* ---- many, and more than one at a time -------------------------------------------------------- */

static void many_units_are_placed_at_once(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for_each_kind(kind)
	{
		struct faulted faulted;
		struct toucher toucher;

		faulted_init(&faulted, kind, units_of(kind, 64));
		faulted_start(&faulted);
		uint64_t bytes = (faulted.units - 2) * faulted.unit_bytes;
		uint8_t *data = malloc(bytes);

		assert_non_null(data);
		for (uint64_t unit = 1; unit < faulted.units - 1; unit++)
			fill_unit(&faulted, unit, data + (unit - 1) * faulted.unit_bytes);
		toucher_start(&toucher, &faulted, faulted.units / 2);
		wait_for_request(&faulted, 0);
		/* Not from where it is staged: it is copied there, if anywhere. */
		assert_int_equal(rs_faults_place(faulted.faults, faulted.region, faulted.unit_bytes,
						 bytes, data, &faulted.error),
				 0);
		toucher_join(&toucher);
		for (uint64_t unit = 1; unit < faulted.units - 1; unit++)
			assert_true(holds_content(&faulted, unit));
		free(data);
		faulted_fini(&faulted);
	}
}

static void many_units_of_zeros_are_placed_at_once(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for_each_kind(kind)
	{
		struct faulted faulted;
		uint64_t bytes;

		faulted_init(&faulted, kind, units_of(kind, 64));
		faulted_start(&faulted);
		bytes = faulted.units * faulted.unit_bytes;
		/* Staged, but never placed: the connection broke. */
		if (kind->has_alias) {
			fill_unit(&faulted, 0, faulted.alias);
			fill_unit(&faulted, 3, faulted.alias + 3 * faulted.unit_bytes);
			fill_unit(&faulted, 4, faulted.alias + 4 * faulted.unit_bytes);
		}
		assert_int_equal(rs_faults_place(faulted.faults, faulted.region, 0, bytes, NULL,
						 &faulted.error),
				 0);
		for (uint64_t unit = 0; unit < faulted.units; unit++)
			assert_true(holds_zeros(&faulted, unit));
		faulted_fini(&faulted);
	}
}

/* ---- what must not be placed ------------------------------------------------------------------ */

static int place(struct faulted *faulted, uint64_t offset, uint64_t bytes, const uint8_t *data)
{
	faulted->error = (struct rs_error){ 0 };
	return rs_faults_place(faulted->faults, faulted->region, offset, bytes, data,
			       &faulted->error);
}

static void nothing_is_placed_twice(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for_each_kind(kind)
	{
		struct faulted faulted;

		faulted_init(&faulted, kind, units_of(kind, 16));
		receive_early(&faulted, 6, true);
		faulted_start(&faulted);
		uint64_t unit_bytes = faulted.unit_bytes;

		place_and_check(&faulted, 2, false);
		assert_int_equal(place(&faulted, 0, 8 * unit_bytes, NULL), -EEXIST);
		assert_non_null(strstr(faulted.error.text, "region memory: the page at 0x"));
		assert_int_equal(place(&faulted, 6 * unit_bytes, unit_bytes, NULL), -EEXIST);
		assert_true(holds_content(&faulted, 2));
		faulted_fini(&faulted);
	}
}

/* Somebody wrote there, though it was emptied: that is not overwritten. */
static void nothing_is_placed_over_what_is_there(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for_each_kind(kind)
	{
		struct faulted faulted;

		faulted_init(&faulted, kind, units_of(kind, 16));
		fill_unit(&faulted, 3, faulted.host + 3 * faulted.unit_bytes);
		faulted_start(&faulted);
		uint8_t *data = calloc(1, 2 * faulted.unit_bytes);

		assert_non_null(data);
		/* An alias is written to before anybody can know. */
		assert_int_equal(
		    place(&faulted, 2 * faulted.unit_bytes, 2 * faulted.unit_bytes, data), -EEXIST);
		assert_non_null(strstr(faulted.error.text, "region memory: the page at 0x"));
		assert_non_null(strstr(faulted.error.text, "was there before"));
		assert_true(kind->has_alias || holds_content(&faulted, 3));
		assert_false(rs_bitmap_test(&faulted.region->received,
					    3 * faulted.unit_bytes / faulted.state.page_bytes));
		free(data);
		faulted_fini(&faulted);
	}
}

static void only_whole_units_of_the_region_are_placed(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for_each_kind(kind)
	{
		struct faulted faulted;

		faulted_init(&faulted, kind, units_of(kind, 16));
		faulted_start(&faulted);
		uint64_t unit = faulted.unit_bytes, end = faulted.units * unit;
		const uint64_t bad[][2] = {
			{ 0, 0 },           { 0, unit / 2 },          { unit / 2, unit },
			{ end, unit },      { end - unit, 2 * unit }, { 0, end + unit },
			{ 0 - unit, unit }, { unit, 0 - unit },       { 512, unit },
		};

		for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			assert_int_equal(place(&faulted, bad[i][0], bad[i][1], NULL), -EINVAL);
			assert_non_null(strstr(faulted.error.text, "region memory"));
		}
		assert_int_equal(rs_bitmap_count(&faulted.region->received), 0);
		faulted_fini(&faulted);
	}
}

/* ---- broken connections ------------------------------------------------------------------------ */

static void a_pause_keeps_faults_waiting(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for_each_kind(kind)
	{
		struct faulted faulted;
		struct toucher touchers[4];

		faulted_init(&faulted, kind, units_of(kind, 64));
		faulted_start(&faulted);
		toucher_start(&touchers[0], &faulted, 1);
		toucher_start(&touchers[1], &faulted, 3);
		wait_for_request(&faulted, 1);
		rs_faults_pause(faulted.faults);
		toucher_start(&touchers[2], &faulted, 5);
		toucher_start(&touchers[3], &faulted, 7);
		/* What was under way when the connection broke is placed still. */
		place_and_check(&faulted, 3, false);
		toucher_join(&touchers[1]);
		/* Have both faults read. */
		wait_for_awaited(&faulted, 3);
		assert_int_equal(request_count(&faulted), 2);
		memset(faulted.asked, 0, sizeof(faulted.asked));
		rs_faults_resume(faulted.faults);
		/* Once each, and not the one that came. */
		assert_int_equal(request_count(&faulted), 5);
		assert_int_equal(faulted.asked[1] + faulted.asked[5] + faulted.asked[7], 3);
		for (unsigned unit = 1; unit < 8; unit += 2)
			if (unit != 3)
				place_and_check(&faulted, unit, false);
		toucher_join(&touchers[0]);
		toucher_join(&touchers[2]);
		toucher_join(&touchers[3]);
		faulted_fini(&faulted);
	}
}

/* What nobody waits for is not asked for at resume, but it may be asked for again. */
static void a_resume_forgets_what_was_asked_for(void **state)
{
	struct faulted faulted;
	struct toucher toucher;

	(void)state;
	FAULTED_BEGIN();
	faulted_init(&faulted, &kinds[0], 256);
	faulted_start(&faulted);
	/* In order, so that more is asked for than is waited for. */
	for (uint64_t unit = 0; unit < 2; unit++) {
		toucher_start(&toucher, &faulted, unit);
		assert_int_equal(wait_for_request(&faulted, unit), unit);
		place_and_check(&faulted, unit, false);
		toucher_join(&toucher);
	}
	assert_int_equal(faulted.asked[2], 1);
	rs_faults_pause(faulted.faults);
	rs_faults_resume(faulted.faults);
	assert_int_equal(request_count(&faulted), 2);
	toucher_start(&toucher, &faulted, 2);
	assert_int_equal(wait_for_request(&faulted, 2), 2);
	place_and_check(&faulted, 2, true);
	toucher_join(&toucher);
	faulted_fini(&faulted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fault_asks_once_and_waits),
		cmocka_unit_test(what_was_placed_before_does_not_fault),
		cmocka_unit_test(many_units_are_placed_at_once),
		cmocka_unit_test(many_units_of_zeros_are_placed_at_once),
		cmocka_unit_test(nothing_is_placed_twice),
		cmocka_unit_test(nothing_is_placed_over_what_is_there),
		cmocka_unit_test(only_whole_units_of_the_region_are_placed),
		cmocka_unit_test(a_pause_keeps_faults_waiting),
		cmocka_unit_test(a_resume_forgets_what_was_asked_for),
	};

	return cmocka_run_group_tests(tests, faulted_setup, huge_pages_teardown);
}
