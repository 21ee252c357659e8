/* SPDX-License-Identifier: MIT */
#include "codec/xbzrle.h"
#include "support/guarded_memory.h"
#include "support/test_random.h"
#include "support/xbzrle_model.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { LARGEST = RS_XBZRLE_MAX_PAGE_BYTES };

static const size_t page_sizes[] = { 1024, 4096, LARGEST };
#define PAGE_SIZES (sizeof(page_sizes) / sizeof(page_sizes[0]))

static uint8_t old[LARGEST], new[LARGEST], page[LARGEST];
static uint8_t expected[LARGEST], delta[LARGEST + 64];

/* Something that the pages have in common. */
static void fill(size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		old[i] = new[i] = (uint8_t)(i * 7 + i / 256);
}

static void change(size_t first, size_t count, size_t step)
{
	for (size_t i = first; i < first + count; i += step)
		new[i] = (uint8_t)(old[i] + 1 + i % 251);
}

/* Every version writes what the model does, and nothing behind it; what it wrote gives the page. */
static int check_limited(size_t bytes, size_t limit)
{
	size_t count;
	const struct rs_xbzrle_version *versions = rs_xbzrle_versions(&count);
	int length = xbzrle_model_encode(old, new, bytes, expected, limit);

	for (size_t v = 0; v <= count; v++) {
		rs_xbzrle_function *encode = v < count ? versions[v].encode : rs_xbzrle_encode;

		memset(delta, 0xee, sizeof(delta));
		assert_int_equal(encode(old, new, bytes, delta, limit), length);
		for (size_t i = 0; i < 64; i++)
			assert_int_equal(delta[limit + i], 0xee);
		if (length > 0)
			assert_memory_equal(delta, expected, (size_t)length);
	}
	if (length < 0)
		return length;
	memcpy(page, old, bytes);
	assert_int_equal(rs_xbzrle_decode(page, bytes, expected, (size_t)length), 0);
	assert_memory_equal(page, new, bytes);
	return length;
}

static int check(size_t bytes)
{
	return check_limited(bytes, bytes);
}

/* ---- pairs of pages ------------------------------------------------------------------------ */

static void equal_pages(void **state)
{
	(void)state;
	for (size_t i = 0; i < PAGE_SIZES; i++) {
		fill(page_sizes[i]);
		assert_int_equal(check(page_sizes[i]), 0);
	}
}

static void one_byte_anywhere(void **state)
{
	(void)state;
	for (size_t i = 0; i < PAGE_SIZES; i++)
		for (size_t at = 0; at < page_sizes[i]; at++) {
			fill(page_sizes[i]);
			change(at, 1, 1);
			assert_int_equal(check(page_sizes[i]), at < 128 ? 3 : 4);
		}
}

/* Of each length that matters, at either end of the page, and across the borders of blocks. */
static void one_run(void **state)
{
	static const size_t lengths[] = { 2,   7,    8,    9,    15,   16,   17,   31,  32,
					  33,  63,   64,   65,   126,  127,  128,  129, 255,
					  256, 1000, 4094, 4095, 4096, 8191, 16383 };

	(void)state;
	for (size_t i = 0; i < PAGE_SIZES; i++)
		for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
			if (lengths[l] > page_sizes[i])
				continue;
			size_t last = page_sizes[i] - lengths[l];

			for (size_t at = 0; at <= last;
			     at = at < 70 || at >= last ? at + 1 : last) {
				fill(page_sizes[i]);
				change(at, lengths[l], 1);
				check(page_sizes[i]);
			}
		}
}

static void alternating_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; i < PAGE_SIZES; i++)
		for (size_t step = 2; step < 140; step++)
			for (size_t first = 0; first < 2; first++) {
				fill(page_sizes[i]);
				change(first, page_sizes[i] - first, step);
				check(page_sizes[i]);
			}
}

/* A few changes, which an encoder may put aside, and then as many as there can be. */
static void few_runs_then_many(void **state)
{
	(void)state;
	for (size_t i = 0; i < PAGE_SIZES; i++)
		for (size_t few = 0; few <= 40; few++)
			for (size_t first = 0; first < 2; first++) {
				fill(page_sizes[i]);
				change(first, few * 2, 2);
				change(512, 1, 1);
				if (page_sizes[i] > 1024)
					change(1024 - first, page_sizes[i] - 1024 + first, 2);
				check(page_sizes[i]);
			}
}

static void all_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; i < PAGE_SIZES; i++) {
		fill(page_sizes[i]);
		change(0, page_sizes[i], 1);
		assert_int_equal(check(page_sizes[i]), RS_XBZRLE_OVERFLOW);
	}
}

/* Up to where there is just room, and one byte less, and so on. */
static void every_limit(void **state)
{
	static const size_t steps[] = { 2, 3, 17, 64, 130, 700 };

	(void)state;
	for (size_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++)
		for (size_t run = 1; run < steps[s] && run < 40; run += 6) {
			fill(1024);
			for (size_t at = 0; at + run < 1024; at += steps[s])
				change(at, run, 1);
			for (size_t limit = 0; limit <= 1024; limit++)
				check_limited(1024, limit);
		}
}

static void random_pages(void **state)
{
	struct test_random random = { 20261123 };

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		size_t bytes = page_sizes[test_random_below(&random, PAGE_SIZES)];
		uint64_t changes =
		    1 + test_random_below(&random, 1u << test_random_below(&random, 11));

		fill(bytes);
		while (changes-- > 0) {
			size_t at = (size_t)test_random_below(&random, bytes);
			size_t run = 1 + (size_t)test_random_below(
					     &random, 1u << test_random_below(&random, 6));

			change(at, run < bytes - at ? run : bytes - at, 1);
		}
		check_limited(bytes, test_random_one_in(&random, 2)
					 ? bytes
					 : (size_t)test_random_below(&random, bytes + 1));
	}
}

/* Neither page, nor the delta's end, is passed by a single byte. */
static void nothing_outside_is_touched(void **state)
{
	struct guarded_memory a, b, to;
	size_t count;
	const struct rs_xbzrle_version *versions = rs_xbzrle_versions(&count);

	(void)state;
	assert_int_equal(guarded_memory_init(&a, 4096), 0);
	assert_int_equal(guarded_memory_init(&b, 4096), 0);
	assert_int_equal(guarded_memory_init(&to, 4096), 0);
	for (size_t changed = 1; changed <= 4096; changed *= 2)
		for (size_t v = 0; v < count; v++) {
			fill(4096);
			change(4096 - changed, changed, 2);
			memcpy(a.data, old, 4096);
			memcpy(b.data, new, 4096);
			versions[v].encode(a.data, b.data, 4096, to.data, 4096);
		}
	guarded_memory_fini(&a);
	guarded_memory_fini(&b);
	guarded_memory_fini(&to);
}

/* ---- deltas of others ---------------------------------------------------------------------- */

static void odd_deltas(void **state)
{
	static const struct {
		const char *what;
		int result;
		size_t bytes;
		uint8_t delta[8];
	} rows[] = {
		{ "nothing", 0, 0, { 0 } },
		{ "a byte at the start", 0, 3, { 0, 1, 9 } },
		{ "two runs", 0, 6, { 1, 1, 9, 1, 1, 9 } },
		{ "a length that is longer than it has to be", 0, 4, { 0x85, 0, 1, 9 } },
		{ "up to the last byte", 0, 4, { 0xff, 7, 1, 9 } },
		{ "one byte", -EINVAL, 1, { 5 } },
		{ "no different run", -EINVAL, 2, { 0x85, 0 } },
		{ "half a different run", -EINVAL, 2, { 5, 1 } },
		{ "a second run without a same one", -EINVAL, 6, { 1, 1, 9, 0, 1, 9 } },
		{ "a different run of nothing", -EINVAL, 3, { 1, 0, 9 } },
		{ "same to the end of the page, and more", -EINVAL, 5, { 0x80, 8, 1, 9, 9 } },
		{ "same to beyond the page", -EINVAL, 4, { 0xff, 0x7f, 1, 9 } },
		{ "different beyond the page", -EINVAL, 5, { 0xff, 7, 2, 9, 9 } },
		{ "different beyond the delta", -EINVAL, 4, { 0, 3, 9, 9 } },
		{ "a length of three bytes", -EINVAL, 6, { 0x80, 0x80, 1, 1, 9, 9 } },
		{ "a different length of three bytes", -EINVAL, 6, { 0, 0x81, 0x80, 1, 9, 9 } },
		{ "a length, and nothing behind it", -EINVAL, 4, { 0, 1, 9, 1 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s\n", rows[i].what);
		memset(page, 0, 1025);
		page[1024] = 0x77;
		assert_int_equal(rs_xbzrle_decode(page, 1024, rows[i].delta, rows[i].bytes),
				 rows[i].result);
		assert_int_equal(page[1024], 0x77);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_pages),
		cmocka_unit_test(one_byte_anywhere),
		cmocka_unit_test(one_run),
		cmocka_unit_test(alternating_bytes),
		cmocka_unit_test(few_runs_then_many),
		cmocka_unit_test(all_bytes),
		cmocka_unit_test(every_limit),
		cmocka_unit_test(random_pages),
		cmocka_unit_test(nothing_outside_is_touched),
		cmocka_unit_test(odd_deltas),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
