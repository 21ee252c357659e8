/* SPDX-License-Identifier: MIT */
/* How much a test does: more in long runs, less where each case takes several times as long. */
#ifndef RS_TESTS_TEST_SCALE_H
#define RS_TESTS_TEST_SCALE_H

#include <stdbool.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEST_HAS_SANITIZER true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TEST_HAS_SANITIZER true
#endif
#endif
#ifndef TEST_HAS_SANITIZER
#define TEST_HAS_SANITIZER false
#endif

static inline bool test_is_long(void)
{
	return getenv("RS_TEST_LONG") != NULL;
}

/* With a sanitizer, and not in a long run. */
static inline bool test_is_short(void)
{
	return TEST_HAS_SANITIZER && !test_is_long();
}

#endif
