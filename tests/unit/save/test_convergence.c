/* SPDX-License-Identifier: MIT */
#include "save/convergence.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define T0 (1000 * RS_NS_PER_S)

static uint64_t at_ms(uint64_t ms)
{
	return T0 + ms * RS_NS_PER_MS;
}

/* ---- periods between syncs ----------------------------------------------------------------- */

/* A period ends with the first sync that comes more than 1000 ms after its start, and its rate
 * is newly dirty * 1000 / ms, in whole numbers. */
static void scripted_syncs(void **state)
{
	static const struct {
		uint64_t ms, newly_dirty;
		bool ended;
		uint64_t rate;
	} script[] = {
		{ 0, 5, false, 0 }, /* the first sync begins the first period */
		{ 400, 10, false, 0 },
		{ 1000, 100, false, 0 },     /* exactly 1000 ms are not enough */
		{ 1001, 1, true, 115 },      /* 116 * 1000 / 1001 = 115.88 */
		{ 1002, 1, false, 0 },       /* a new period since 1001 */
		{ 2001, 2, false, 0 },       /* 1000 ms again */
		{ 2002, 4, true, 6 },        /* 7 * 1000 / 1001 */
		{ 5002, 0, true, 0 },        /* nothing dirty */
		{ 15002, 1, true, 0 },       /* 1000 / 10000 = 0.1 */
		{ 17002, 3999, true, 1999 }, /* 1999.5 */
	};
	struct rs_period period = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(script) / sizeof(script[0]); i++) {
		uint64_t rate = 12345;
		bool ended =
		    rs_period_sync(&period, at_ms(script[i].ms), script[i].newly_dirty, &rate);

		print_message("at %llu ms\n", (unsigned long long)script[i].ms);
		assert_int_equal(ended, script[i].ended);
		assert_int_equal(rate, ended ? script[i].rate : 12345);
	}
}

static void many_pages_do_not_overflow(void **state)
{
	struct rs_period period = { 0 };
	uint64_t rate, pages = 1ull << 40; /* 4 PiB of small pages */

	(void)state;
	rs_period_sync(&period, T0, 0, &rate);
	assert_true(rs_period_sync(&period, at_ms(2000), pages, &rate));
	assert_int_equal(rate, pages / 2);
}

/* ---- rates of XBZRLE ----------------------------------------------------------------------- */

/* Misses are counted against pages of every kind, and bytes against whole pages that were found. */
static void rates_of_deltas(void **state)
{
	static const struct {
		struct rs_delta_counts from, to;
		double misses, encoding;
	} cases[] = {
		/* handled, misses, hits, bytes */
		{ { 0 }, { 100, 25, 10, 4096 }, 0.25, 10 },
		{ { 1000, 400, 300, 5000 }, { 1200, 500, 310, 6024 }, 0.5, 40 },
		{ { 0 }, { 8, 8, 0, 0 }, 1, 0 },
		/* All that was found had not changed. */
		{ { 0 }, { 10, 0, 10, 0 }, 0, 0 },
		/* Overflows cost what a page costs. */
		{ { 0 }, { 4, 0, 4, 4 * 4096 }, 0, 1 },
		{ { 5, 1, 1, 1 }, { 1ull << 41, 1ull << 40, 1, 1 }, 0.5, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rs_delta_rates rates = { -1, -1 };

		print_message("case %zu\n", i);
		assert_true(rs_delta_rates(&cases[i].from, &cases[i].to, 4096, &rates));
		assert_true(rates.misses > cases[i].misses - 1e-9 &&
			    rates.misses < cases[i].misses + 1e-9);
		assert_true(rates.encoding > cases[i].encoding - 1e-9 &&
			    rates.encoding < cases[i].encoding + 1e-9);
	}
}

/* A period without pages leaves the rates of the last one. */
static void no_pages_no_rates(void **state)
{
	const struct rs_delta_counts same = { 100, 25, 10, 4096 };
	struct rs_delta_rates rates = { 0.5, 7 };

	(void)state;
	assert_false(rs_delta_rates(&same, &same, 4096, &rates));
	assert_true(rates.misses == 0.5 && rates.encoding == 7);
}

/* ---- rates of compressed pages -------------------------------------------------------------- */

/* Pages that found no thread are counted against pages of every kind, and bytes against whole pages. */
static void rates_of_compressed_pages(void **state)
{
	static const struct {
		struct rs_compress_counts from, to;
		double busy, compression;
	} cases[] = {
		/* handled, busy, pages, bytes */
		{ { 0 }, { 100, 25, 10, 4096 }, 0.25, 10 },
		{ { 1000, 400, 300, 5000 }, { 1200, 500, 310, 6024 }, 0.5, 40 },
		{ { 0 }, { 8, 8, 0, 0 }, 1, 0 },
		/* Only zero pages. */
		{ { 50, 5, 10, 1000 }, { 60, 5, 10, 1000 }, 0, 0 },
		{ { 5, 1, 1, 1 }, { 1ull << 41, 1ull << 40, 1, 1 }, 0.5, 0 },
		{ { 0 }, { 1ull << 42, 0, 1ull << 40, 1ull << 50 }, 0, 4 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rs_compress_rates rates = { -1, -1 };

		print_message("case %zu\n", i);
		assert_true(rs_compress_rates(&cases[i].from, &cases[i].to, 4096, &rates));
		assert_true(rates.busy > cases[i].busy - 1e-9 && rates.busy < cases[i].busy + 1e-9);
		assert_true(rates.compression > cases[i].compression - 1e-9 &&
			    rates.compression < cases[i].compression + 1e-9);
	}
}

static void no_pages_no_rates_of_compressed_pages(void **state)
{
	const struct rs_compress_counts same = { 100, 25, 10, 4096 };
	struct rs_compress_rates rates = { 0.5, 7 };

	(void)state;
	assert_false(rs_compress_rates(&same, &same, 4096, &rates));
	assert_true(rates.busy == 0.5 && rates.compression == 7);
}

/* ---- windows of bandwidth ------------------------------------------------------------------ */

static void scripted_windows(void **state)
{
	static const struct {
		uint64_t ms, bytes, pages;
		bool ended;
		uint64_t bytes_per_second, pages_per_second, window_bytes;
	} script[] = {
		{ 0, 1000, 0, false, 0, 0, 0 },
		{ 99, 5000, 10, false, 0, 0, 0 },
		{ 100, 101000, 30, true, 1000000, 300, 100000 }, /* since the start, 1000 bytes */
		{ 199, 201000, 60, false, 1000000, 300, 100000 },
		{ 350, 601000, 280, true, 2000000, 1000, 500000 },
		{ 450, 601000, 280, true, 0, 0, 0 }, /* nothing moved */
	};
	struct rs_window window = { 0 };

	(void)state;
	rs_window_start(&window, T0, 1000, 0);
	for (size_t i = 0; i < sizeof(script) / sizeof(script[0]); i++) {
		print_message("at %llu ms\n", (unsigned long long)script[i].ms);
		assert_int_equal(rs_window_look(&window, at_ms(script[i].ms), script[i].bytes,
						script[i].pages),
				 script[i].ended);
		assert_int_equal(window.bytes_per_second, script[i].bytes_per_second);
		assert_int_equal(window.pages_per_second, script[i].pages_per_second);
		assert_int_equal(window.bytes, script[i].window_bytes);
	}
}

/* Windows of any length: what counts is the real time, not 100 ms. */
static void a_window_that_was_late(void **state)
{
	struct rs_window window = { 0 };

	(void)state;
	rs_window_start(&window, T0, 0, 0);
	assert_false(rs_window_look(&window, T0 + 100 * RS_NS_PER_MS - 1, 1, 1));
	assert_true(rs_window_look(&window, at_ms(4000), 4000000, 8));
	assert_int_equal(window.bytes_per_second, 1000000);
	assert_int_equal(window.pages_per_second, 2);
}

static void the_threshold(void **state)
{
	static const struct {
		uint64_t bytes_per_second, limit_ms, threshold;
	} cases[] = {
		{ 0, 300, 0 }, /* before the first window: only a clean guest completes */
		{ 1000000, 0, 0 },
		{ 1000000, 300, 300000 },
		{ 1000000000, 300, 300000000 },
		{ 1, 2000000, 2000 },
		{ 100000000000, 2000000, 200000000000000 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct rs_window window = { .bytes_per_second = cases[i].bytes_per_second };

		assert_int_equal(rs_window_threshold(&window, cases[i].limit_ms),
				 cases[i].threshold);
	}
}

static void the_expected_downtime(void **state)
{
	static const struct {
		uint64_t bytes_per_second, bytes, ms;
	} cases[] = {
		{ 0, 0, UINT64_MAX },
		{ 0, 4096, UINT64_MAX },
		{ 1000000, 0, 0 },
		{ 1000000, 999, 0 },
		{ 1000000, 1500, 1 },
		{ 1000000, 1000000, 1000 },
		{ 125000000, 1ull << 40, 8796093 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct rs_window window = { .bytes_per_second = cases[i].bytes_per_second };

		assert_int_equal(rs_window_ms_for(&window, cases[i].bytes), cases[i].ms);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scripted_syncs),
		cmocka_unit_test(many_pages_do_not_overflow),
		cmocka_unit_test(scripted_windows),
		cmocka_unit_test(a_window_that_was_late),
		cmocka_unit_test(the_threshold),
		cmocka_unit_test(the_expected_downtime),
		cmocka_unit_test(rates_of_deltas),
		cmocka_unit_test(no_pages_no_rates),
		cmocka_unit_test(rates_of_compressed_pages),
		cmocka_unit_test(no_pages_no_rates_of_compressed_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
