/* SPDX-License-Identifier: MIT */
/*
 * Whole migrations with compressed pages: what is counted at both ends, ends of which only one wants it,
 * and threads that fail. zlib's deflate() is this program's own, which asks the test first.
 */
#include "pair.h"
#include "support/without_libdeflate.h"

#include <dlfcn.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <zlib.h>
#include <cmocka.h>

static struct {
	_Atomic unsigned calls;
	unsigned failing_call;            /* counted from 1; 0: none */
	struct rs_state *cancelled_state; /* by the first call */
} zlib;

int deflate(z_streamp z, int flush)
{
	int (*real)(z_streamp, int) = (int (*)(z_streamp, int))dlsym(RTLD_NEXT, "deflate");
	unsigned call = atomic_fetch_add(&zlib.calls, 1) + 1;

	if (call == 1 && zlib.cancelled_state != NULL)
		assert_int_equal(rs_migrate_cancel(zlib.cancelled_state), 0);
	return call == zlib.failing_call ? Z_STREAM_ERROR : real(z, flush);
}

static int setup(void **state)
{
	static struct pair pair;

	memset(&zlib, 0, sizeof(zlib));
	pair_open_small(&pair);
	pair_set_param(&pair, "compress", "on");
	*state = &pair;
	return 0;
}

static int teardown(void **state)
{
	pair_close(*state);
	return 0;
}

static struct rs_stats stats_of(const struct guest *guest)
{
	struct rs_stats stats = { .size = sizeof(stats) };

	assert_int_equal(rs_stats_get(guest->state, &stats), 0);
	return stats;
}

/* The guest was never stopped, and no page of it was sent. */
static void check_stays(struct pair *pair)
{
	assert_true(pair->from->running && !pair->to->running);
	assert_int_equal(stats_of(pair->from).transferred, 0);
	assert_int_equal(stats_of(pair->to).transferred, 0);
}

/* As if nothing had happened; without compression, which the new destination does not have. */
static void move_on(struct pair *pair)
{
	zlib.failing_call = 0;
	zlib.cancelled_state = NULL;
	assert_int_equal(rs_param_set(pair->from->state, "compress", "off"), 0);
	pair_move_on(pair);
}

/* ---- at both ends -------------------------------------------------------------------------- */

static void both_ends_count_the_same(void **state)
{
	static const char *const machines[] = { "", "pc" };
	struct pair *pair = *state;

	for (unsigned i = 0; i < 2; i++) {
		struct transfer transfer;

		pair_set_param(pair, "machine", machines[i]);
		pair_migrate(pair, NULL, NULL, &transfer);
		pair_check_moved(pair, &transfer);
		struct rs_stats out = stats_of(pair->from), in = stats_of(pair->to);

		assert_true(out.compress_pages > 200);
		assert_int_equal(out.compress_pages, in.compress_pages);
		assert_int_equal(out.compress_bytes, in.compress_bytes);
		assert_int_equal(out.normal, in.normal);
		assert_int_equal(out.transferred, in.transferred);
		assert_int_equal(in.compress_busy, 0);
		assert_true(atomic_load(&zlib.calls) >= out.compress_pages);
		pair_new_destination(pair);
		pair_set_param(pair, "compress", "on");
		guest_run_again(pair->from);
	}
}

/* ---- at one end only ----------------------------------------------------------------------- */

static void only_at_the_source(void **state)
{
	struct pair *pair = *state;
	struct transfer transfer;

	assert_int_equal(rs_param_set(pair->to->state, "compress", "off"), 0);
	pair_migrate(pair, NULL, NULL, &transfer);
	assert_int_equal(transfer.out.result, -EPROTONOSUPPORT);
	assert_string_equal(transfer.out.error.text,
			    "the destination lacks the feature 'compress'");
	assert_int_equal(transfer.in.result, -EOPNOTSUPP);
	assert_string_equal(transfer.in.error.text,
			    "the source compresses pages, and the parameter "
			    "compress is off here");
	assert_int_equal(atomic_load(&zlib.calls), 0);
	check_stays(pair);
	move_on(pair);
}

static void only_at_the_destination(void **state)
{
	struct pair *pair = *state;
	struct transfer transfer;

	assert_int_equal(rs_param_set(pair->from->state, "compress", "off"), 0);
	pair_migrate(pair, NULL, NULL, &transfer);
	pair_check_moved(pair, &transfer);
	assert_int_equal(stats_of(pair->to).compress_pages, 0);
}

/* ---- threads that fail, or are not needed any more ----------------------------------------- */

static void a_thread_that_fails(void **state)
{
	struct pair *pair = *state;

	for (unsigned call = 1; call < 300; call += 23) {
		struct transfer transfer;

		atomic_store(&zlib.calls, 0);
		zlib.failing_call = call;
		pair_migrate(pair, NULL, NULL, &transfer);
		assert_int_equal(transfer.out.result, -EIO);
		assert_non_null(strstr(transfer.out.error.text, "region "));
		assert_non_null(
		    strstr(transfer.out.error.text, "000: compressing the page: stream error"));
		assert_true(transfer.in.result < 0);
		assert_true(pair->from->running && !pair->to->running);
		pair_check_sane(pair);
		pair_new_destination(pair);
		pair_set_param(pair, "compress", "on");
	}
	move_on(pair);
}

/* The pages that were handed over are finished, and no others are begun. */
static void a_cancel_leaves_little_to_compress(void **state)
{
	struct pair *pair = *state;
	struct transfer transfer;

	pair_set_param(pair, "compress-threads", "1");
	zlib.cancelled_state = pair->from->state;
	pair_migrate(pair, NULL, NULL, &transfer);
	assert_int_equal(transfer.out.result, -ECANCELED);
	assert_true(transfer.in.result < 0);
	assert_in_range(atomic_load(&zlib.calls), 1, 5 * 16);
	move_on(pair);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(both_ends_count_the_same),
		TEST(only_at_the_source),
		TEST(only_at_the_destination),
		TEST(a_thread_that_fails),
		TEST(a_cancel_leaves_little_to_compress),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
