/* SPDX-License-Identifier: MIT */
#include "ram/counters.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <cmocka.h>

static void reset_means_zero(void **state)
{
	struct rs_counters counters;
	struct rs_stats stats = { 0 };
	static const struct rs_stats zero;

	(void)state;
	memset(&counters, 0xff, sizeof(counters));
	rs_counters_reset(&counters);
	rs_counters_read(&counters, 0, 0, &stats);
	assert_memory_equal(&stats, &zero, sizeof(stats));
}

static void counts_and_what_follows_from_them(void **state)
{
	struct rs_counters counters;
	struct rs_stats stats = { 0 };

	(void)state;
	rs_counters_reset(&counters);
	rs_counter_set(counters.transferred, 1000);
	rs_counter_set(counters.total, 1 << 20);
	rs_counter_set(counters.duplicate, 5);
	rs_counter_set(counters.normal, 7);
	rs_counter_add(counters.normal, 2);
	rs_counter_set(counters.zero_run_pages, 3);
	rs_counter_set(counters.dirty_sync_count, 4);
	rs_counter_set(counters.dirty_pages_rate, 11);
	rs_counter_set(counters.wire_bytes, 1234);
	rs_counter_set(counters.bits_per_second, 2500000);
	rs_counter_set(counters.pages_per_second, 77);
	rs_counter_set(counters.expected_downtime_ms, 300);
	rs_counter_set(counters.xbzrle_cache_size, 1 << 26);
	rs_counter_set(counters.xbzrle_bytes, 501);
	rs_counter_set(counters.xbzrle_pages, 502);
	rs_counter_set(counters.xbzrle_cache_miss, 503);
	rs_counter_set(counters.xbzrle_cache_miss_rate, 250000);
	rs_counter_set(counters.xbzrle_encoding_rate, 7500000);
	rs_counter_set(counters.xbzrle_overflow, 504);
	rs_counters_read(&counters, 16384, 10, &stats);
	assert_int_equal(stats.transferred, 1000);
	assert_int_equal(stats.remaining, 10 * 16384);
	assert_int_equal(stats.total, 1 << 20);
	assert_int_equal(stats.duplicate, 5);
	assert_int_equal(stats.normal, 9);
	assert_int_equal(stats.normal_bytes, 9 * 16384);
	assert_int_equal(stats.page_size, 16384);
	assert_int_equal(stats.zero_run_pages, 3);
	assert_int_equal(stats.dirty_sync_count, 4);
	assert_int_equal(stats.dirty_pages_rate, 11);
	assert_int_equal(stats.wire_bytes, 1234);
	assert_true(stats.mbps > 2.4999 && stats.mbps < 2.5001);
	assert_int_equal(stats.pages_per_second, 77);
	assert_int_equal(stats.expected_downtime_ms, 300);
	assert_int_equal(stats.xbzrle_cache_size, 1 << 26);
	assert_int_equal(stats.xbzrle_bytes, 501);
	assert_int_equal(stats.xbzrle_pages, 502);
	assert_int_equal(stats.xbzrle_cache_miss, 503);
	assert_true(stats.xbzrle_cache_miss_rate > 0.2499 && stats.xbzrle_cache_miss_rate < 0.2501);
	assert_true(stats.xbzrle_encoding_rate > 7.499 && stats.xbzrle_encoding_rate < 7.501);
	assert_int_equal(stats.xbzrle_overflow, 504);
}

static void times_between_moments(void **state)
{
	struct rs_counters counters;
	struct rs_stats stats = { 0 };
	uint64_t start = 5 * RS_NS_PER_S;

	(void)state;
	rs_counters_reset(&counters);
	rs_counter_set(counters.start_ns, start);
	rs_counter_set(counters.setup_end_ns, start + 3 * RS_NS_PER_MS);
	rs_counter_set(counters.downtime_start_ns, start + 60 * RS_NS_PER_MS);
	rs_counter_set(counters.downtime_end_ns, start + 62 * RS_NS_PER_MS + 999999);
	rs_counter_set(counters.end_ns, start + 100 * RS_NS_PER_MS);
	rs_counters_read(&counters, 4096, 0, &stats);
	assert_int_equal(stats.setup_time_ms, 3);
	assert_int_equal(stats.total_time_ms, 100);
	assert_int_equal(stats.downtime_ms, 2);
	assert_int_equal(stats.downtime_ns, 2999999);
}

/* What has begun and not ended lasts until now; what ended early took until the end. */
static void times_without_an_end(void **state)
{
	struct rs_counters counters;
	struct rs_stats stats = { 0 };
	uint64_t now = rs_clock_ns();

	(void)state;
	rs_counters_reset(&counters);
	rs_counter_set(counters.start_ns, now - 50 * RS_NS_PER_MS);
	rs_counter_set(counters.downtime_start_ns, now - 20 * RS_NS_PER_MS);
	rs_counters_read(&counters, 4096, 0, &stats);
	assert_true(stats.total_time_ms >= 50);
	assert_true(stats.setup_time_ms >= 50);
	assert_true(stats.downtime_ms >= 20);

	rs_counter_set(counters.end_ns, now - 40 * RS_NS_PER_MS);
	rs_counters_read(&counters, 4096, 0, &stats);
	assert_int_equal(stats.setup_time_ms, 10);
	assert_int_equal(stats.total_time_ms, 10);
}

static bool is_double(size_t offset)
{
	return offset == offsetof(struct rs_stats, mbps) ||
	       offset == offsetof(struct rs_stats, xbzrle_cache_miss_rate) ||
	       offset == offsetof(struct rs_stats, xbzrle_encoding_rate) ||
	       offset == offsetof(struct rs_stats, compress_busy_rate) ||
	       offset == offsetof(struct rs_stats, compress_rate);
}

/* Programs print what the table has: each field of the struct once, under QEMU's names. */
static void the_table_covers_the_struct(void **state)
{
	static const char *const qemu[] = {
		"transferred",
		"remaining",
		"total",
		"duplicate",
		"normal",
		"normal-bytes",
		"dirty-sync-count",
		"dirty-pages-rate",
		"mbps",
		"page-size",
		"pages-per-second",
		"setup-time",
		"downtime",
		"expected-downtime",
		"total-time",
	};
	bool seen[sizeof(struct rs_stats) / 8] = { [0] = true }; /* size */
	const struct rs_stat_info *info = NULL;
	size_t found = 0;

	(void)state;
	while ((info = rs_stat_next(info)) != NULL) {
		assert_int_equal(info->offset % 8, 0);
		assert_false(seen[info->offset / 8]);
		seen[info->offset / 8] = true;
		assert_int_equal(info->is_double, is_double(info->offset));
		for (size_t i = 0; i < sizeof(qemu) / sizeof(qemu[0]); i++)
			found += strcmp(info->name, qemu[i]) == 0;
	}
	for (size_t i = 0; i < sizeof(seen) / sizeof(seen[0]); i++)
		assert_true(seen[i]);
	assert_int_equal(found, sizeof(qemu) / sizeof(qemu[0]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reset_means_zero),
		cmocka_unit_test(counts_and_what_follows_from_them),
		cmocka_unit_test(times_between_moments),
		cmocka_unit_test(times_without_an_end),
		cmocka_unit_test(the_table_covers_the_struct),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
