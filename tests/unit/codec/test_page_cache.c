/* SPDX-License-Identifier: MIT */
#include "codec/page_cache.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <cmocka.h>

#define PAGE 4096u
#define SLOTS 16u

static struct rs_page_cache cache;

static int setup(void **state)
{
	(void)state;
	return rs_page_cache_init(&cache, SLOTS * PAGE, PAGE);
}

static int teardown(void **state)
{
	(void)state;
	rs_page_cache_fini(&cache);
	return 0;
}

/* Addresses with slot and turn: pages of one slot have different turns. */
static uint64_t at(uint64_t slot, uint64_t turn)
{
	return (turn * SLOTS + slot) * PAGE;
}

static bool insert(uint64_t address, uint64_t generation, int content)
{
	uint8_t *copy = rs_page_cache_insert(&cache, address, generation);

	if (copy != NULL)
		memset(copy, content, PAGE);
	return copy != NULL;
}

static bool holds(const uint8_t *page, int content)
{
	for (unsigned i = 0; i < PAGE; i++)
		if (page[i] != content)
			return false;
	return true;
}

static void check_found(uint64_t address, uint64_t generation, int content)
{
	const uint8_t *found = rs_page_cache_find(&cache, address, generation);

	assert_non_null(found);
	assert_true(holds(found, content));
}

/* ---- sizes --------------------------------------------------------------------------------- */

static void sizes_are_powers_of_two(void **state)
{
	static const struct {
		uint64_t bytes;
		size_t page_bytes;
		int result;
	} cases[] = {
		{ 65536, 4096, 0 },
		{ 4096, 4096, 0 },
		{ 1ull << 32, 4096, 0 },
		{ 16384, 16384, 0 },
		{ 1024, 1024, 0 },
		{ 2048, 4096, -EINVAL },
		{ 0, 4096, -EINVAL },
		{ 65537, 4096, -EINVAL },
		{ 3 * 4096, 4096, -EINVAL },
		{ 65536, 0, -EINVAL },
		{ 65536, 3000, -EINVAL },
		/* More than any address space has. */
		{ 1ull << 60, 1 << 30, -ENOMEM },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rs_page_cache other = { .items = NULL };

		print_message("%llu bytes, pages of %zu\n", (unsigned long long)cases[i].bytes,
			      cases[i].page_bytes);
		assert_int_equal(rs_page_cache_init(&other, cases[i].bytes, cases[i].page_bytes),
				 cases[i].result);
		if (cases[i].result != 0) {
			assert_null(other.items);
			assert_null(other.data);
			continue;
		}
		assert_int_equal(other.page_bytes, cases[i].page_bytes);
		assert_int_equal(other.max_num_items, cases[i].bytes / cases[i].page_bytes);
		assert_int_equal(other.num_items, 0);
		rs_page_cache_fini(&other);
	}
}

static void no_cache_is_nothing_to_release(void **state)
{
	struct rs_page_cache none = { .items = NULL };

	(void)state;
	rs_page_cache_fini(&none);
	rs_page_cache_fini(&none);
	/* A cache that was released is none either. */
	rs_page_cache_fini(&cache);
	assert_null(cache.items);
	assert_null(cache.data);
	assert_int_equal(cache.max_num_items, 0);
}

/* ---- looking up ---------------------------------------------------------------------------- */

static void what_was_inserted_is_found(void **state)
{
	(void)state;
	/* Address 0 is a page like any other, and an empty slot does not hold it. */
	for (uint64_t slot = 0; slot < SLOTS; slot++)
		assert_null(rs_page_cache_find(&cache, at(slot, 0), 1));
	for (uint64_t slot = 0; slot < SLOTS; slot++) {
		assert_true(insert(at(slot, slot % 3), 1, (int)slot + 1));
		assert_int_equal(cache.num_items, slot + 1);
	}
	for (uint64_t slot = 0; slot < SLOTS; slot++) {
		check_found(at(slot, slot % 3), 1, (int)slot + 1);
		assert_null(rs_page_cache_find(&cache, at(slot, slot % 3 + 1), 1));
		assert_null(rs_page_cache_find(&cache, at(slot, slot % 3 + (1ull << 40)), 1));
	}
	assert_int_equal(cache.num_items, SLOTS);
}

/* Runs of misses go out in one piece, because neighbours have neighbouring slots. */
static void neighbours_lie_side_by_side(void **state)
{
	uint8_t *first = rs_page_cache_insert(&cache, at(3, 7), 1);

	(void)state;
	for (uint64_t i = 1; i < SLOTS - 3; i++)
		assert_ptr_equal(rs_page_cache_insert(&cache, at(3 + i, 7), 1), first + i * PAGE);
	assert_ptr_equal(rs_page_cache_insert(&cache, at(0, 8), 1), first - 3 * (ptrdiff_t)PAGE);
}

static void the_same_page_replaces_itself(void **state)
{
	(void)state;
	assert_true(insert(at(5, 1), 1, 10));
	assert_true(insert(at(5, 1), 1, 20));
	check_found(at(5, 1), 1, 20);
	assert_true(insert(at(5, 1), 2, 30));
	check_found(at(5, 1), 2, 30);
	assert_int_equal(cache.num_items, 1);
}

/* ---- age ----------------------------------------------------------------------------------- */

/* A page keeps its slot for two generations: that in which it was seen last, and the next. */
static void a_slot_is_kept_for_two_generations(void **state)
{
	static const struct {
		uint64_t seen, then;
		bool taken;
	} cases[] = {
		{ 1, 1, false },
		{ 1, 2, false },
		{ 1, 3, true },
		{ 1, 100, true },
		{ 77, 77, false },
		{ 77, 78, false },
		{ 77, 79, true },
		{ 1ull << 33, (1ull << 33) + 1, false },
		{ 1ull << 33, (1ull << 33) + 2, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("seen in %llu, wanted in %llu\n", (unsigned long long)cases[i].seen,
			      (unsigned long long)cases[i].then);
		teardown(NULL);
		setup(NULL);
		assert_true(insert(at(2, 0), cases[i].seen, 1));
		assert_int_equal(insert(at(2, 1), cases[i].then, 2), cases[i].taken);
		assert_int_equal(cache.num_items, 1);
		check_found(at(2, cases[i].taken), cases[i].then, cases[i].taken ? 2 : 1);
		assert_null(rs_page_cache_find(&cache, at(2, !cases[i].taken), cases[i].then));
	}
}

/* To be found makes a page younger, to be looked for in vain nobody. */
static void a_hit_renews_the_age(void **state)
{
	(void)state;
	assert_true(insert(at(9, 0), 1, 1));
	check_found(at(9, 0), 3, 1);
	assert_false(insert(at(9, 1), 4, 2));
	assert_null(rs_page_cache_find(&cache, at(9, 1), 5));
	assert_true(insert(at(9, 1), 5, 2));
	/* So does to be inserted again. */
	assert_true(insert(at(9, 1), 7, 3));
	assert_false(insert(at(9, 0), 8, 4));
	assert_true(insert(at(9, 0), 9, 4));
	check_found(at(9, 0), 9, 4);
}

/* A refusal changes nothing, neither the content nor how long it stays. */
static void a_refusal_leaves_the_slot_alone(void **state)
{
	(void)state;
	assert_true(insert(at(0, 0), 1, 1));
	for (unsigned turn = 1; turn < 50; turn++)
		assert_false(insert(at(0, turn), 2, 99));
	assert_true(insert(at(0, 50), 3, 2));
	check_found(at(0, 50), 3, 2);
}

static void one_slot_for_all(void **state)
{
	(void)state;
	teardown(NULL);
	assert_int_equal(rs_page_cache_init(&cache, PAGE, PAGE), 0);
	assert_int_equal(cache.max_num_items, 1);
	assert_true(insert(123 * PAGE, 1, 1));
	assert_false(insert(0, 1, 2));
	assert_false(insert(0, 2, 2));
	check_found(123 * PAGE, 1, 1);
	assert_true(insert(0, 3, 2));
	assert_null(rs_page_cache_find(&cache, 123 * PAGE, 3));
	check_found(0, 3, 2);
	assert_int_equal(cache.num_items, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(sizes_are_powers_of_two),
		TEST(no_cache_is_nothing_to_release),
		TEST(what_was_inserted_is_found),
		TEST(neighbours_lie_side_by_side),
		TEST(the_same_page_replaces_itself),
		TEST(a_slot_is_kept_for_two_generations),
		TEST(a_hit_renews_the_age),
		TEST(a_refusal_leaves_the_slot_alone),
		TEST(one_slot_for_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
