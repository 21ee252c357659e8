/* SPDX-License-Identifier: MIT */
/* Numbers that look random and come back with their seed (SplitMix64; Steele, Lea, Flood 2014). */
#ifndef RS_TESTS_TEST_RANDOM_H
#define RS_TESTS_TEST_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct test_random {
	uint64_t state;
};

static inline uint64_t test_mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static inline uint64_t test_random_next(struct test_random *random)
{
	return test_mix(random->state += 0x9e3779b97f4a7c15u);
}

/* 0 to limit - 1. */
static inline uint64_t test_random_below(struct test_random *random, uint64_t limit)
{
	return test_random_next(random) % limit;
}

static inline bool test_random_one_in(struct test_random *random, uint64_t times)
{
	return test_random_below(random, times) == 0;
}

#endif
