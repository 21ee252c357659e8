/* SPDX-License-Identifier: MIT */
/* The list of regions: its order, its names, and walks beside changes. */
#include "ram/region.h"

#include "support/plain_region.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#define PAGE 4096ull

static uint8_t *memory; /* of all of them: nothing is saved here */

static int setup(void **state)
{
	memory = plain_memory_map(PAGE);
	*state = plain_state(4096);
	return 0;
}

static int teardown(void **state)
{
	rs_state_destroy(*state);
	plain_memory_unmap(memory, PAGE);
	return 0;
}

/* Names of all regions in the order of the walk, as one text. */
static const char *walk(struct rs_state *state)
{
	static char text[256];
	struct rs_region *region;

	text[0] = '\0';
	rs_region_for_each (state, region)
		strcat(text, rs_region_name(region));
	return text;
}

static void removal_anywhere(void **state)
{
	static const struct {
		const char *removed, *left;
	} cases[] = {
		{ "a", "bcde" }, { "c", "abde" }, { "e", "abcd" }, { "ab", "cde" },
		{ "de", "abc" }, { "abcde", "" }, { "edcba", "" }, { "bd", "ace" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (char name[] = "a"; name[0] <= 'e'; name[0]++)
			plain_region_add(*state, name, memory, PAGE, 0);
		assert_string_equal(walk(*state), "abcde");
		for (const char *at = cases[i].removed; *at != '\0'; at++)
			assert_int_equal(
			    rs_region_remove(rs_region_find(*state, (char[]){ *at, 0 })), 0);
		assert_string_equal(walk(*state), cases[i].left);
		/* The end of the list is right again, too. */
		plain_region_add(*state, "z", memory, PAGE, 0);
		assert_int_equal(walk(*state)[strlen(cases[i].left)], 'z');
		for (const char *at = "abcdez"; *at != '\0'; at++) {
			struct rs_region *region = rs_region_find(*state, (char[]){ *at, 0 });

			if (strchr(cases[i].removed, *at) != NULL)
				assert_null(region);
			else
				assert_int_equal(rs_region_remove(region), 0);
		}
		assert_string_equal(walk(*state), "");
	}
}

static void thousands_of_regions(void **state)
{
	enum { COUNT = 5000 };
	struct rs_region *region;
	unsigned seen = 0;
	char name[32];

	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(name, sizeof(name), "region-%u", i);
		plain_region_add(*state, name, memory, PAGE, 0);
	}
	rs_region_for_each (*state, region) {
		snprintf(name, sizeof(name), "region-%u", seen++);
		assert_string_equal(rs_region_name(region), name);
	}
	assert_int_equal(seen, COUNT);
	for (unsigned i = 0; i < COUNT; i += 3) {
		snprintf(name, sizeof(name), "region-%u", i);
		assert_int_equal(rs_region_remove(rs_region_find(*state, name)), 0);
	}
	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(name, sizeof(name), "region-%u", i);
		region = rs_region_find(*state, name);
		if (i % 3 == 0) {
			assert_null(region);
			continue;
		}
		assert_non_null(region);
		assert_string_equal(rs_region_name(region), name);
	}
}

static void a_pinned_find_takes_bytes(void **state)
{
	struct rs_region *region = plain_region_add(*state, "abc", memory, PAGE, 0);

	assert_ptr_equal(rs_region_find_pinned(*state, "abcd", 3), region);
	assert_null(rs_region_find_pinned(*state, "abcd", 4));
	assert_null(rs_region_find_pinned(*state, "abc", 2));
	assert_int_equal(region->pins, 1);
	rs_region_unpin(region);
	assert_int_equal(region->pins, 0);
}

struct walker {
	struct rs_state *state;
	_Atomic bool stop;
	uint64_t walks;
};

static void *walk_on_and_on(void *argument)
{
	struct walker *walker = argument;

	while (!walker->stop) {
		struct rs_region *region;

		rs_region_for_each (walker->state, region)
			assert_int_equal(rs_region_max_bytes(region), PAGE);
		walker->walks++;
	}
	return NULL;
}

/* A region is not freed under whoever looks at it: ASan and TSan are the judges. */
static void walks_beside_changes(void **state)
{
	struct walker walker = { .state = *state };
	unsigned rounds = 0;
	pthread_t thread;

	plain_region_add(*state, "first", memory, PAGE, 0);
	assert_int_equal(pthread_create(&thread, NULL, walk_on_and_on, &walker), 0);
	for (; rounds < 300; rounds++) {
		struct rs_region *a = plain_region_add(*state, "a", memory, PAGE, 0);
		struct rs_region *b = plain_region_add(*state, "b", memory, PAGE, 0);

		assert_int_equal(rs_region_remove(rounds % 2 ? a : b), 0);
		assert_int_equal(rs_region_remove(rounds % 2 ? b : a), 0);
	}
	walker.stop = true;
	pthread_join(thread, NULL);
	assert_string_equal(walk(*state), "first");
}

static void *remove_it(void *argument)
{
	assert_int_equal(rs_region_remove(argument), 0);
	return argument;
}

/* The memory may be unmapped when rs_region_remove() returns: not while it is pinned. */
static void removal_waits_for_pins(void **state)
{
	struct rs_region *region = plain_region_add(*state, "r", memory, PAGE, 0);
	struct rs_region *pinned = rs_region_first(*state);
	struct timespec soon;
	pthread_t thread;

	assert_ptr_equal(pinned, region);
	assert_int_equal(pthread_create(&thread, NULL, remove_it, region), 0);
	clock_gettime(CLOCK_REALTIME, &soon);
	soon.tv_nsec += 20000000;
	soon.tv_sec += soon.tv_nsec / 1000000000;
	soon.tv_nsec %= 1000000000;
	assert_int_equal(pthread_timedjoin_np(thread, NULL, &soon), ETIMEDOUT);
	/* It is unlinked, though, or on its way there; and its content still ours to read. */
	assert_string_equal(rs_region_name(pinned), "r");
	assert_null(rs_region_next(pinned));
	pthread_join(thread, NULL);
	assert_null(rs_region_find(*state, "r"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(removal_anywhere),          TEST(thousands_of_regions),
		TEST(a_pinned_find_takes_bytes), TEST(walks_beside_changes),
		TEST(removal_waits_for_pins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
