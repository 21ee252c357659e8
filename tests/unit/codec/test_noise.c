/* SPDX-License-Identifier: MIT */
#include "codec/noise.h"
#include "support/test_random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <zlib.h>
#include <cmocka.h>

#define PAGE_MAX 65536u

static uint8_t page[PAGE_MAX];
static struct test_random random_state = { 20 };

static void fill_random(size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		page[i] = (uint8_t)(test_random_next(&random_state) >> 24);
}

static size_t deflated_bytes(size_t bytes)
{
	static uint8_t out[2 * PAGE_MAX];
	uLongf length = sizeof(out);

	assert_int_equal(compress2(out, &length, page, bytes, 1), Z_OK);
	return length;
}

static void random_pages_are_noise(void **state)
{
	(void)state;
	for (size_t bytes = 1024; bytes <= PAGE_MAX; bytes *= 2) {
		unsigned found = 0;

		for (unsigned i = 0; i < 200; i++) {
			fill_random(0, bytes);
			found += rs_looks_like_noise(page, bytes);
		}
		/* A short page may look uneven by chance: it is tried then, and goes in full. */
		assert_true(found >= 195);
	}
}

/* A page that is part noise is worth a try, wherever the rest of it is. */
static void a_page_with_order_in_it_is_none(void **state)
{
	static const char text[] = "A line of a log, one of many that look much the same.\n";

	(void)state;
	for (size_t bytes = 1024; bytes <= PAGE_MAX; bytes *= 4) {
		memset(page, 0, bytes);
		assert_false(rs_looks_like_noise(page, bytes));
		for (size_t i = 0; i < bytes; i++)
			page[i] = (uint8_t)text[i % (sizeof(text) - 1)];
		assert_false(rs_looks_like_noise(page, bytes));
		fill_random(0, bytes);
		memset(page, 0, bytes / 8);
		assert_false(rs_looks_like_noise(page, bytes));
		fill_random(0, bytes);
		memset(page + bytes - bytes / 8, 'x', bytes / 8);
		assert_false(rs_looks_like_noise(page, bytes));
	}
}

/* Every byte equally often, but the same words again and again. */
static void repeated_words_are_none(void **state)
{
	(void)state;
	for (size_t bytes = 4096; bytes <= PAGE_MAX; bytes *= 4) {
		fill_random(0, bytes);
		for (size_t i = 1024; i + 64 <= bytes; i += 256)
			memcpy(page + i, page, 64);
		assert_false(rs_looks_like_noise(page, bytes));
		for (size_t i = 0; i < bytes; i++)
			page[i] = (uint8_t)(i * 7);
		assert_false(rs_looks_like_noise(page, bytes));
	}
}

/* Random bytes, of which every n-th is always the same: what is lost by calling it noise is little. */
static void little_is_lost(void **state)
{
	unsigned judged = 0;

	(void)state;
	for (size_t step = 2; step < 400; step++) {
		fill_random(0, 4096);
		for (size_t i = 0; i < 4096; i += step)
			page[i] = 0x55;
		if (!rs_looks_like_noise(page, 4096))
			continue;
		judged++;
		assert_true(deflated_bytes(4096) > 4096 - 4096 / 50);
	}
	assert_in_range(judged, 100, 390);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_pages_are_noise),
		cmocka_unit_test(a_page_with_order_in_it_is_none),
		cmocka_unit_test(repeated_words_are_none),
		cmocka_unit_test(little_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
