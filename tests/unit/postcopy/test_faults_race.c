/* SPDX-License-Identifier: MIT */
/* Threads that touch memory at random while all of it comes, asked for and not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "support/faulted_region.h"

enum { WRITERS = 3, UNITS = 512, TOUCHES = 2000 };

struct race {
	struct faulted faulted;
	_Atomic bool claimed[UNITS]; /* whoever does it places the unit */
	_Atomic uint64_t left;
	_Atomic unsigned seeds;
	uint64_t seed;
	bool gives_up; /* who touched a unit drops it at once */
};

/* Whether a unit comes as zeros, from its number alone. */
static bool is_zero_unit(const struct race *race, uint64_t unit)
{
	return test_mix(race->seed + unit) % 4 == 0;
}

static void claim_and_place(struct race *race, uint64_t unit, uint8_t *buffer)
{
	struct rs_error error = { 0 };

	if (atomic_exchange(&race->claimed[unit], true))
		return;
	if (place_unit(&race->faulted, unit, buffer, is_zero_unit(race, unit), &error) != 0)
		fprintf(stderr, "%s\n", error.text);
	require(error.code == 0, "a unit can be placed");
	atomic_fetch_sub(&race->left, 1);
}

static uint8_t *new_buffer(const struct race *race)
{
	uint8_t *buffer = malloc(race->faulted.unit_bytes);

	require(buffer != NULL, "memory");
	return buffer;
}

static void *place_in_background(void *argument)
{
	struct race *race = argument;
	uint8_t *buffer = new_buffer(race);

	for (uint64_t unit = 0; unit < race->faulted.units; unit++) {
		claim_and_place(race, unit, buffer);
		if (unit % 4 == 0)
			sched_yield();
	}
	free(buffer);
	return NULL;
}

/* Until everything is placed. */
static void *serve_requests(void *argument)
{
	struct race *race = argument;
	struct faulted *faulted = &race->faulted;
	uint8_t *buffer = new_buffer(race);
	size_t served = 0;

	while (atomic_load(&race->left) > 0) {
		uint64_t unit = 0, units = 0;

		pthread_mutex_lock(&faulted->lock);
		if (served < faulted->count) {
			unit = faulted->requests[served].unit;
			units = faulted->requests[served++].units;
		}
		pthread_mutex_unlock(&faulted->lock);
		for (uint64_t i = 0; i < units; i++)
			claim_and_place(race, unit + i, buffer);
		if (units == 0)
			sched_yield();
	}
	free(buffer);
	return NULL;
}

static void *touch_at_random(void *argument)
{
	struct race *race = argument;
	struct faulted *faulted = &race->faulted;
	struct test_random random = { race->seed + atomic_fetch_add(&race->seeds, 1) };

	for (unsigned i = 0; i < TOUCHES; i++) {
		uint64_t unit = test_random_below(&random, faulted->units);
		uint64_t at = test_random_below(&random, faulted->unit_bytes / 512) * 512;
		uint64_t word = load_word(faulted->host + unit * faulted->unit_bytes + at);

		require(word == (is_zero_unit(race, unit) ? 0 : content_of(unit, at)) ||
			    (race->gives_up && word == 0),
			"the content is whole");
		if (race->gives_up)
			madvise(faulted->host + unit * faulted->unit_bytes, faulted->unit_bytes,
				MADV_DONTNEED);
		/* Mapped pages lose their place in the page table, as reclaim does it. */
		if (faulted->fd >= 0 && test_random_one_in(&random, 8))
			madvise(faulted->host + unit * faulted->unit_bytes, faulted->unit_bytes,
				MADV_DONTNEED);
	}
	return NULL;
}

static void *pause_and_resume(void *argument)
{
	struct race *race = argument;
	struct faulted *faulted = &race->faulted;

	while (atomic_load(&race->left) > 0) {
		rs_faults_pause(faulted->faults);
		pthread_mutex_lock(&faulted->lock);
		size_t count = faulted->count;

		memset(faulted->asked, 0, sizeof(faulted->asked));
		pthread_mutex_unlock(&faulted->lock);
		sched_yield();
		require(request_count(faulted) == count, "nothing is asked for in a pause");
		rs_faults_resume(faulted->faults);
		for (unsigned i = 0; i < 20; i++)
			sched_yield();
		pthread_mutex_lock(&faulted->lock);
		for (uint64_t unit = 0; unit < faulted->units; unit++)
			require(faulted->asked[unit] <= 1, "no unit is asked for twice");
		pthread_mutex_unlock(&faulted->lock);
	}
	return NULL;
}

/* The fault thread may be at a fault still that was answered meanwhile. */
static void check_end(struct race *race)
{
	struct faulted *faulted = &race->faulted;

	for (uint64_t unit = 0; unit < faulted->units; unit++)
		assert_true(is_zero_unit(race, unit)
				? holds_zeros(faulted, unit)
				: holds_content(faulted, unit) ||
				      (race->gives_up && holds_zeros(faulted, unit)));
	pthread_mutex_lock(&faulted->lock);
	for (uint64_t unit = 0; unit < faulted->units; unit++)
		require(faulted->asked[unit] <= 1, "no unit is asked for twice");
	pthread_mutex_unlock(&faulted->lock);
}

static void race(const struct kind *kind, uint64_t seed, bool breaks, bool gives_up)
{
	struct race *race = calloc(1, sizeof(*race));
	pthread_t threads[3 + WRITERS];
	size_t count = 0;

	assert_non_null(race);
	race->seed = seed;
	race->gives_up = gives_up;
	faulted_init(&race->faulted, kind, units_of(kind, UNITS));
	race->left = race->faulted.units;
	faulted_start(&race->faulted);
	for (unsigned i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&threads[count++], NULL, touch_at_random, race), 0);
	assert_int_equal(pthread_create(&threads[count++], NULL, serve_requests, race), 0);
	if (breaks)
		assert_int_equal(pthread_create(&threads[count++], NULL, pause_and_resume, race),
				 0);
	assert_int_equal(pthread_create(&threads[count++], NULL, place_in_background, race), 0);
	while (count > 0)
		assert_int_equal(pthread_join(threads[--count], NULL), 0);
	check_end(race);
	faulted_fini(&race->faulted);
	free(race);
}

static void all_comes_once_and_whole(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for_each_kind(kind) race(kind, 1, false, false);
}

static void and_while_connections_break(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for_each_kind(kind) race(kind, 2, true, false);
}

/* A page may be dropped before it is called received, and faults again. */
static void what_is_given_up_at_once_is_not_waited_for(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for (uint64_t seed = 3; seed < 8; seed++)
		race(&kinds[0], seed, false, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_comes_once_and_whole),
		cmocka_unit_test(and_while_connections_break),
		cmocka_unit_test(what_is_given_up_at_once_is_not_waited_for),
	};

	return cmocka_run_group_tests(tests, faulted_setup, huge_pages_teardown);
}
