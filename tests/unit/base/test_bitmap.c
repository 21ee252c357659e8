/* SPDX-License-Identifier: MIT */
#include "base/bitmap.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

/* Lengths around the ends of words. */
static const uint64_t lengths[] = { 1, 63, 64, 65, 127, 128, 200 };
#define LENGTH_COUNT (sizeof(lengths) / sizeof(lengths[0]))

/* The same bits, one a byte. */
struct model {
	bool bits[256];
};

static uint64_t model_set(struct model *model, uint64_t first, uint64_t count, bool value)
{
	uint64_t changed = 0;

	for (uint64_t i = first; i < first + count; i++) {
		changed += model->bits[i] != value;
		model->bits[i] = value;
	}
	return changed;
}

static uint64_t model_find(const struct model *model, uint64_t from, uint64_t end, bool value)
{
	while (from < end && model->bits[from] != value)
		from++;
	return from < end ? from : end;
}

static void assert_same(const struct rs_bitmap *bitmap, const struct model *model)
{
	uint64_t count = 0;

	for (uint64_t i = 0; i < bitmap->bits; i++) {
		assert_int_equal(rs_bitmap_test(bitmap, i), model->bits[i]);
		count += model->bits[i];
	}
	assert_int_equal(rs_bitmap_count(bitmap), count);
}

static void masks_have_their_ends(void **state)
{
	(void)state;
	for (unsigned first = 0; first < 64; first++)
		for (unsigned last = first; last < 64; last++) {
			uint64_t wanted = 0;

			for (unsigned bit = first; bit <= last; bit++)
				wanted |= 1ull << bit;
			assert_true(rs_bitmap_mask(first, last) == wanted);
		}
}

static void words_are_enough_and_no_more(void **state)
{
	static const uint64_t table[][2] = {
		{ 0, 0 }, { 1, 1 }, { 64, 1 }, { 65, 2 }, { 128, 2 }, { UINT64_MAX, 1ull << 58 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_true(rs_bitmap_word_count(table[i][0]) == table[i][1]);
}

/* Every range of every length, set in an empty bitmap and cleared in a full one. */
static void every_range_is_set_and_cleared(void **state)
{
	(void)state;
	for (size_t l = 0; l < LENGTH_COUNT; l++) {
		struct rs_bitmap bitmap;
		uint64_t bits = lengths[l];

		assert_int_equal(rs_bitmap_init(&bitmap, bits), 0);
		for (uint64_t first = 0; first < bits; first++)
			for (uint64_t count = 0; first + count <= bits; count += 1 + count / 9) {
				struct model model = { { false } };

				assert_int_equal(rs_bitmap_set_range(&bitmap, first, count), count);
				assert_int_equal(rs_bitmap_set_range(&bitmap, first, count), 0);
				model_set(&model, first, count, true);
				assert_same(&bitmap, &model);

				rs_bitmap_set_range(&bitmap, 0, bits);
				assert_int_equal(rs_bitmap_clear_range(&bitmap, first, count),
						 count);
				assert_int_equal(rs_bitmap_clear_range(&bitmap, first, count), 0);
				model_set(&model, 0, bits, true);
				model_set(&model, first, count, false);
				assert_same(&bitmap, &model);
				rs_bitmap_clear_range(&bitmap, 0, bits);
			}
		rs_bitmap_fini(&bitmap);
	}
}

static uint64_t random_below(unsigned *seed, uint64_t limit)
{
	return (uint64_t)rand_r(seed) % limit;
}

static void random_changes_agree_with_a_model(void **state)
{
	unsigned seed = 1;

	(void)state;
	for (size_t l = 0; l < LENGTH_COUNT; l++) {
		struct rs_bitmap bitmap;
		struct model model = { { false } };
		uint64_t bits = lengths[l];

		assert_int_equal(rs_bitmap_init(&bitmap, bits), 0);
		for (unsigned i = 0; i < 2000; i++) {
			uint64_t first = random_below(&seed, bits);
			uint64_t count = random_below(&seed, bits - first + 1);
			bool set = random_below(&seed, 2);
			uint64_t changed = set ? rs_bitmap_set_range(&bitmap, first, count)
					       : rs_bitmap_clear_range(&bitmap, first, count);

			assert_int_equal(changed, model_set(&model, first, count, set));
			uint64_t from = random_below(&seed, bits + 1);
			uint64_t end = random_below(&seed, bits + 1);

			assert_int_equal(rs_bitmap_find_set(&bitmap, from, end),
					 model_find(&model, from, end, true));
			assert_int_equal(rs_bitmap_find_clear(&bitmap, from, end),
					 model_find(&model, from, end, false));
		}
		assert_same(&bitmap, &model);
		rs_bitmap_fini(&bitmap);
	}
}

static void find_stays_before_the_end(void **state)
{
	struct rs_bitmap bitmap;

	(void)state;
	assert_int_equal(rs_bitmap_init(&bitmap, 256), 0);
	rs_bitmap_set_range(&bitmap, 100, 1);
	assert_int_equal(rs_bitmap_find_set(&bitmap, 0, 256), 100);
	assert_int_equal(rs_bitmap_find_set(&bitmap, 100, 101), 100);
	assert_int_equal(rs_bitmap_find_set(&bitmap, 0, 100), 100);
	assert_int_equal(rs_bitmap_find_set(&bitmap, 0, 99), 99);
	assert_int_equal(rs_bitmap_find_set(&bitmap, 101, 256), 256);
	assert_int_equal(rs_bitmap_find_set(&bitmap, 7, 7), 7);
	rs_bitmap_fini(&bitmap);
}

static void or_word_counts_what_it_sets(void **state)
{
	struct rs_bitmap bitmap;

	(void)state;
	assert_int_equal(rs_bitmap_init(&bitmap, 128), 0);
	assert_int_equal(rs_bitmap_or_word(&bitmap, 1, 0xff), 8);
	assert_int_equal(rs_bitmap_or_word(&bitmap, 1, 0x1ff), 1);
	assert_int_equal(rs_bitmap_or_word(&bitmap, 1, 0), 0);
	assert_int_equal(rs_bitmap_count(&bitmap), 9);
	assert_int_equal(rs_bitmap_find_set(&bitmap, 0, 128), 64);
	rs_bitmap_fini(&bitmap);
}

static void reset_clears(void **state)
{
	struct rs_bitmap bitmap;

	(void)state;
	assert_int_equal(rs_bitmap_init(&bitmap, 100000), 0);
	rs_bitmap_set_range(&bitmap, 0, 100000);
	rs_bitmap_reset(&bitmap);
	assert_int_equal(rs_bitmap_count(&bitmap), 0);
	rs_bitmap_fini(&bitmap);
	/* And a second time. */
	rs_bitmap_fini(&bitmap);
}

static size_t resident_pages(const struct rs_bitmap *bitmap)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t pages = (size_t)rs_bitmap_word_count(bitmap->bits) * sizeof(uint64_t) / page;
	unsigned char *vector = malloc(pages);
	size_t resident = 0;

	assert_non_null(vector);
	assert_int_equal(mincore((void *)bitmap->words, pages * page, vector), 0);
	for (size_t i = 0; i < pages; i++)
		resident += vector[i] & 1;
	free(vector);
	return resident;
}

/* A bit for each 4 KiB page of 4 TiB: 128 MiB of bitmap, of which one page may become real. */
static void clear_parts_take_no_memory(void **state)
{
	struct rs_bitmap bitmap;

	(void)state;
	assert_int_equal(rs_bitmap_init(&bitmap, 1ull << 30), 0);
	assert_int_equal(resident_pages(&bitmap), 0);
	assert_int_equal(rs_bitmap_set_range(&bitmap, 1ull << 29, 1), 1);
	assert_int_equal(resident_pages(&bitmap), 1);
	rs_bitmap_reset(&bitmap);
	assert_int_equal(resident_pages(&bitmap), 0);
	rs_bitmap_fini(&bitmap);
}

static void too_large_is_no_memory(void **state)
{
	struct rs_bitmap bitmap;

	(void)state;
	assert_int_equal(rs_bitmap_init(&bitmap, UINT64_MAX), -ENOMEM);
}

enum { RACE_BITS = 4096, RACE_THREADS = 2 };

struct racer {
	struct rs_bitmap *bitmap;
	uint64_t changed;
};

static void *set_all(void *argument)
{
	struct racer *racer = argument;

	for (uint64_t i = 0; i < RACE_BITS; i++)
		racer->changed += rs_bitmap_set_range(racer->bitmap, i, 1);
	return NULL;
}

static void *clear_all(void *argument)
{
	struct racer *racer = argument;

	for (uint64_t i = 0; i < RACE_BITS; i++)
		racer->changed += rs_bitmap_clear_range(racer->bitmap, i, 1);
	return NULL;
}

/* Each change is counted by exactly one of those who race for it. */
static void racing_changes_are_counted_once(void **state)
{
	static void *(*const races[])(void *) = { set_all, clear_all };
	struct rs_bitmap bitmap;

	(void)state;
	assert_int_equal(rs_bitmap_init(&bitmap, RACE_BITS), 0);
	for (unsigned round = 0; round < 100; round++) {
		struct racer racers[RACE_THREADS] = { { &bitmap, 0 }, { &bitmap, 0 } };
		pthread_t threads[RACE_THREADS];

		for (unsigned i = 0; i < RACE_THREADS; i++)
			assert_int_equal(
			    pthread_create(&threads[i], NULL, races[round % 2], &racers[i]), 0);
		for (unsigned i = 0; i < RACE_THREADS; i++)
			pthread_join(threads[i], NULL);
		assert_int_equal(racers[0].changed + racers[1].changed, RACE_BITS);
	}
	rs_bitmap_fini(&bitmap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(masks_have_their_ends),
		cmocka_unit_test(words_are_enough_and_no_more),
		cmocka_unit_test(every_range_is_set_and_cleared),
		cmocka_unit_test(random_changes_agree_with_a_model),
		cmocka_unit_test(find_stays_before_the_end),
		cmocka_unit_test(or_word_counts_what_it_sets),
		cmocka_unit_test(reset_clears),
		cmocka_unit_test(clear_parts_take_no_memory),
		cmocka_unit_test(too_large_is_no_memory),
		cmocka_unit_test(racing_changes_are_counted_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
