/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "track/marks.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

struct fixture {
	struct rs_marks marks;
	struct rs_bitmap dirty;
};

static void fixture_init(struct fixture *fixture, uint64_t bits)
{
	assert_int_equal(rs_marks_init(&fixture->marks, bits), 0);
	assert_int_equal(rs_bitmap_init(&fixture->dirty, bits), 0);
}

static void fixture_fini(struct fixture *fixture)
{
	rs_marks_fini(&fixture->marks);
	rs_bitmap_fini(&fixture->dirty);
}

static void marks_count_only_while_on(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, 100);
	rs_marks_set_range(&f.marks, 0, 100);
	assert_int_equal(rs_marks_harvest(&f.marks, &f.dirty), 0);
	rs_marks_start(&f.marks);
	assert_int_equal(rs_marks_harvest(&f.marks, &f.dirty), 0);
	rs_marks_set_range(&f.marks, 3, 2);
	assert_int_equal(rs_marks_harvest(&f.marks, &f.dirty), 2);
	rs_marks_set_range(&f.marks, 9, 1);
	rs_marks_stop(&f.marks);
	rs_marks_set_range(&f.marks, 10, 1);
	assert_int_equal(rs_marks_harvest(&f.marks, &f.dirty), 0);
	rs_marks_start(&f.marks);
	rs_marks_set_range(&f.marks, 11, 1);
	assert_int_equal(rs_marks_harvest(&f.marks, &f.dirty), 1);
	assert_true(rs_bitmap_test(&f.dirty, 11));
	fixture_fini(&f);
}

static void every_range_is_marked_exactly(void **state)
{
	enum { BITS = 200 };
	struct fixture f;

	(void)state;
	fixture_init(&f, BITS);
	rs_marks_start(&f.marks);
	for (uint64_t first = 0; first < BITS; first++)
		for (uint64_t count = 0; first + count <= BITS; count++) {
			rs_marks_set_range(&f.marks, first, count);
			assert_int_equal(rs_marks_harvest(&f.marks, &f.dirty), count);
			assert_int_equal(rs_bitmap_count(&f.dirty), count);
			assert_int_equal(rs_bitmap_clear_range(&f.dirty, first, count), count);
		}
	fixture_fini(&f);
}

static void harvest_counts_what_was_clean(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, 1000);
	rs_marks_start(&f.marks);
	rs_bitmap_set_range(&f.dirty, 100, 10);
	rs_marks_set_range(&f.marks, 95, 10);
	rs_marks_set_range(&f.marks, 95, 10);
	assert_int_equal(rs_marks_harvest(&f.marks, &f.dirty), 5);
	assert_int_equal(rs_marks_harvest(&f.marks, &f.dirty), 0);
	assert_int_equal(rs_bitmap_count(&f.dirty), 15);
	fixture_fini(&f);
}

static size_t resident_pages(const struct rs_bitmap *bitmap, size_t pages)
{
	unsigned char *vector = malloc(pages);
	size_t resident = 0;

	assert_non_null(vector);
	assert_int_equal(
	    mincore((void *)bitmap->words, pages * (size_t)sysconf(_SC_PAGESIZE), vector), 0);
	for (size_t i = 0; i < pages; i++)
		resident += vector[i] & 1;
	free(vector);
	return resident;
}

static void stop_gives_memory_back(void **state)
{
	size_t pages = 64;
	uint64_t bits = pages * (uint64_t)sysconf(_SC_PAGESIZE) * 8;
	struct fixture f;

	(void)state;
	fixture_init(&f, bits);
	rs_marks_start(&f.marks);
	assert_int_equal(resident_pages(&f.marks.bits, pages), 0);
	rs_marks_set_range(&f.marks, 0, bits);
	assert_int_equal(resident_pages(&f.marks.bits, pages), pages);
	rs_marks_stop(&f.marks);
	assert_int_equal(resident_pages(&f.marks.bits, pages), 0);
	fixture_fini(&f);
}

static struct fixture *signalled;

static void mark_from_handler(int number)
{
	(void)number;
	rs_marks_set_range(&signalled->marks, 5, 1);
}

static void signal_handlers_may_mark(void **state)
{
	struct fixture f;
	struct sigaction old, action = { .sa_handler = mark_from_handler };

	(void)state;
	fixture_init(&f, 64);
	rs_marks_start(&f.marks);
	signalled = &f;
	assert_int_equal(sigaction(SIGUSR1, &action, &old), 0);
	raise(SIGUSR1);
	sigaction(SIGUSR1, &old, NULL);
	assert_int_equal(rs_marks_harvest(&f.marks, &f.dirty), 1);
	assert_true(rs_bitmap_test(&f.dirty, 5));
	fixture_fini(&f);
}

/*
 * The order of writers and readers. A writer goes round a few pages, storing a number and marking
 * the page, twice in a row, so that the second mark often finds its bit set, and skips the OR,
 * while the reader clears it. The reader copies what is marked. When the writer has stopped, one
 * more harvest must bring every copy up to date: a page that stays old was written and not marked.
 *
 * Without the writer's fence hundreds do stay old, on x86, too. (The harvest's fence cannot be
 * missed there: the exchange before it is one. Other machines need it.)
 */
enum { RACE_PAGES = 64, RACE_BURST = 64 };

/* Writer and reader wait for each other in each round. Where they must share a processor with other
 * programs that takes thousands of times longer, so there the race is a shorter one. */
#define RACE_AT_MOST_NS (10 * RS_NS_PER_S)

struct race {
	struct fixture f;
	_Atomic uint64_t memory[RACE_PAGES];
	uint64_t copy[RACE_PAGES];
	_Atomic uint64_t writer_rounds; /* bursts that the writer has ended */
	_Atomic uint64_t reader_rounds; /* bursts that the reader has verified */
	_Atomic uint64_t rounds;
};

static void *race_writer(void *argument)
{
	struct race *race = argument;
	uint64_t value = 0;

	for (uint64_t round = 0; round < race->rounds; round++) {
		for (unsigned i = 0; i < RACE_BURST; i++)
			for (unsigned twice = 0; twice < 2; twice++) {
				atomic_store_explicit(&race->memory[i % RACE_PAGES], ++value,
						      memory_order_relaxed);
				rs_marks_set_range(&race->f.marks, i % RACE_PAGES, 1);
			}
		atomic_store_explicit(&race->writer_rounds, round + 1, memory_order_release);
		while (atomic_load_explicit(&race->reader_rounds, memory_order_acquire) <= round)
			sched_yield();
	}
	return NULL;
}

static void race_copy(struct race *race)
{
	rs_marks_harvest(&race->f.marks, &race->f.dirty);
	for (uint64_t page = rs_bitmap_find_set(&race->f.dirty, 0, RACE_PAGES); page < RACE_PAGES;
	     page = rs_bitmap_find_set(&race->f.dirty, page + 1, RACE_PAGES)) {
		rs_bitmap_clear_range(&race->f.dirty, page, 1);
		race->copy[page] = atomic_load_explicit(&race->memory[page], memory_order_relaxed);
	}
}

static uint64_t race_count_old(const struct race *race)
{
	uint64_t old = 0;

	for (unsigned i = 0; i < RACE_PAGES; i++)
		old +=
		    race->copy[i] != atomic_load_explicit(&race->memory[i], memory_order_relaxed);
	return old;
}

static void race_copy_all(struct race *race)
{
	for (unsigned i = 0; i < RACE_PAGES; i++)
		race->copy[i] = atomic_load_explicit(&race->memory[i], memory_order_relaxed);
}

/*
 * With toggling, each round begins with the marks off and the writer running. What the writer did
 * before it saw that they are on goes unmarked, and must be in the copy of everything that
 * follows the start.
 */
static uint64_t race_run(uint64_t rounds, bool toggling)
{
	struct race *race = calloc(1, sizeof(*race));
	uint64_t end_ns = rs_clock_ns() + RACE_AT_MOST_NS;
	uint64_t lost = 0;
	pthread_t writer;

	assert_non_null(race);
	race->rounds = rounds;
	fixture_init(&race->f, RACE_PAGES);
	if (!toggling)
		rs_marks_start(&race->f.marks);
	assert_int_equal(pthread_create(&writer, NULL, race_writer, race), 0);
	for (uint64_t round = 0; round < rounds; round++) {
		if (toggling) {
			rs_marks_start(&race->f.marks);
			race_copy_all(race);
		}
		while (atomic_load_explicit(&race->writer_rounds, memory_order_acquire) <= round)
			race_copy(race);
		race_copy(race);
		lost += race_count_old(race);
		if (toggling && round % 2 == 0)
			rs_marks_stop(&race->f.marks);
		if (rs_clock_ns() > end_ns)
			race->rounds = rounds = round + 1;
		atomic_store_explicit(&race->reader_rounds, round + 1, memory_order_release);
		/* A stop that the writer runs into. */
		if (toggling && round % 2 == 1)
			rs_marks_stop(&race->f.marks);
	}
	pthread_join(writer, NULL);
	fixture_fini(&race->f);
	free(race);
	return lost;
}

static void no_write_is_lost(void **state)
{
	(void)state;
	assert_int_equal(race_run(20000, false), 0);
}

static void no_write_is_lost_by_a_start_or_a_stop(void **state)
{
	(void)state;
	assert_int_equal(race_run(20000, true), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(marks_count_only_while_on),
		cmocka_unit_test(every_range_is_marked_exactly),
		cmocka_unit_test(harvest_counts_what_was_clean),
		cmocka_unit_test(stop_gives_memory_back),
		cmocka_unit_test(signal_handlers_may_mark),
		cmocka_unit_test(no_write_is_lost),
		cmocka_unit_test(no_write_is_lost_by_a_start_or_a_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
