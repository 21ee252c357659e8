/* SPDX-License-Identifier: MIT */
#include "codec/page_copy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Longer than any length of which the implementation makes a difference, and not a multiple. */
enum { LONGEST = 3 * 4096 + 13, MARGIN = 128, FILL = 0xa5 };

static unsigned char from[LONGEST + MARGIN], to[LONGEST + 2 * MARGIN];

static void check(size_t to_at, size_t from_at, size_t bytes)
{
	memset(to, FILL, sizeof(to));
	rs_page_copy(to + MARGIN + to_at, from + from_at, bytes);
	assert_memory_equal(to + MARGIN + to_at, from + from_at, bytes);
	for (size_t i = 0; i < MARGIN + to_at; i++)
		assert_int_equal(to[i], FILL);
	for (size_t i = MARGIN + to_at + bytes; i < sizeof(to); i++)
		assert_int_equal(to[i], FILL);
}

static void it_copies_what_it_is_told_and_no_more(void **state)
{
	static const size_t lengths[] = { 0,    1,    63,   64,   65,   2047, 2048,
					  2049, 2111, 4095, 4096, 8192, 8197, LONGEST };

	(void)state;
	for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++)
		for (size_t to_at = 0; to_at < 67; to_at += to_at < 3 ? 1 : 13)
			for (size_t from_at = 0; from_at < 20; from_at += 7)
				check(to_at, from_at, lengths[l]);
}

static int fill(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(from); i++)
		from[i] = (unsigned char)(i * 2654435761u >> 13);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_copies_what_it_is_told_and_no_more),
	};

	return cmocka_run_group_tests(tests, fill, NULL);
}
