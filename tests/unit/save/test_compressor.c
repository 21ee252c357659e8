/* SPDX-License-Identifier: MIT */
/* What becomes of pages that are compressed, and what is counted. */
#include "unit/save/compressor_subject.h"

#include <pthread.h>

static int setup(void **state)
{
	(void)state;
	subject_open(4096);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	subject_close();
	return 0;
}

/* ---- what is sent -------------------------------------------------------------------------- */

static void round_trip(uint32_t page_bytes, const char *level, const char *threads)
{
	uint64_t pages = (2u << 20) / page_bytes + 3;

	subject_open(page_bytes);
	set("compress-level", level);
	subject_start(threads);
	fill_text(0, 0, pages);
	send(0, 0, 2);
	send(0, 2, pages - 2);
	drain_and_load();
	check_arrived(0, 0, pages);
	assert_int_equal(COUNT(compress_pages), pages - 1);
	assert_int_equal(COUNT(normal), 1);
	subject_close();
}

static void what_is_compressed_comes_back(void **state)
{
	static const char *const levels[] = { "1", "6", "9" };
	static const char *const threads[] = { "1", "2", "7", "255" };

	(void)state;
	for (uint32_t page_bytes = 1024; page_bytes <= 65536; page_bytes *= 2)
		for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
			round_trip(page_bytes, levels[i], threads[page_bytes / 1024 % 3]);
	round_trip(4096, "1", threads[3]);
}

/* Records come in the order of the pages, whatever they became and whoever finished first. */
static void records_are_in_order(void **state)
{
	enum { RUN = 400 };
	char expected[RUN * 8] = "r:p0";

	(void)state;
	subject_start("5");
	fill_text(0, 0, RUN);
	/* Noise takes longest, and alternates unevenly with batches of 16 pages. */
	for (unsigned page = 7; page + 10 < RUN; page += 25)
		fill_noise(0, page, 10);
	for (unsigned page = 1; page < RUN; page++) {
		size_t used = strlen(expected);
		bool noise = page >= 7 && (page - 7) % 25 < 10 && page - (page - 7) % 25 + 10 < RUN;

		snprintf(expected + used, sizeof(expected) - used, " %c%u", noise ? 'p' : 'c',
			 page);
	}
	for (unsigned page = 0; page < RUN; page += 50)
		send(0, page, 50);
	assert_string_equal(drain_and_load(), expected);
	check_arrived(0, 0, RUN);
}

/* QEMU's reader needs to know a region before it is asked to decompress a page of it. */
static void the_first_page_of_a_region_goes_in_full(void **state)
{
	(void)state;
	subject_start("2");
	fill_text(0, 0, 8);
	fill_text(1, 0, 8);
	send(0, 3, 2);
	assert_string_equal(drain_and_load(), "r:p3 c4");
	/* The region of the last record reaches over the end of a body. */
	send(0, 5, 1);
	assert_string_equal(drain_and_load(), "c5");
	send(1, 0, 3);
	assert_string_equal(drain_and_load(), "s:p0 c1 c2");
	send(0, 0, 1);
	assert_string_equal(drain_and_load(), "r:p0");
	send(0, 6, 2);
	assert_string_equal(drain_and_load(), "c6 c7");
	check_arrived(0, 3, 5);
	check_arrived(1, 0, 3);
}

/* What another record says of the region before does as well. */
static void a_zero_page_names_a_region(void **state)
{
	const void *data;

	(void)state;
	subject_start("2");
	fill_text(0, 1, 1);
	rs_record_writer_zero(&subject.writer, subject.regions[0], 0, 1);
	rs_record_writer_flush(&subject.writer);
	subject.seen_bytes = (size_t)rs_stream_memory(subject.writer.stream, &data);
	subject.last = 0;
	send(0, 1, 1);
	assert_string_equal(drain_and_load(), "c1");
	check_arrived(0, 1, 1);
}

static void nothing_is_under_way_after_a_drain(void **state)
{
	(void)state;
	subject_start("3");
	fill_text(0, 0, SUBJECT_PAGES);
	for (unsigned count = 1; count < 150; count += 7) {
		uint64_t before = COUNT(normal) + COUNT(compress_pages);

		send(0, 0, count);
		rs_compressor_drain(&subject.compressor);
		assert_int_equal(rs_worker_pool_pending(subject.compressor.pool), 0);
		assert_int_equal(COUNT(normal) + COUNT(compress_pages) - before, count);
	}
	load();
	/* What the guest writes now is not in it, but for what went by reference. */
	memset(subject.there[0], 0, SUBJECT_BYTES);
	send(0, 0, 40);
	rs_compressor_drain(&subject.compressor);
	memset(page_at(0, 0), 0xff, 40 * 4096);
	load();
	fill_text(0, 0, 40);
	check_arrived(0, 0, 40);
}

/* A drain without pages, and one after another. */
static void a_drain_of_nothing(void **state)
{
	(void)state;
	rs_compressor_drain(&subject.compressor);
	rs_compressor_count(&subject.compressor);
	subject_start("2");
	assert_string_equal(drain_and_load(), "");
	assert_string_equal(drain_and_load(), "");
	assert_int_equal(atomic_load(&zlib.calls), 0);
}

static atomic_bool writing;

static void *write_pages(void *unused)
{
	(void)unused;
	for (unsigned value = 1; atomic_load(&writing); value++)
		for (unsigned page = 0; page < 64; page++)
			for (unsigned i = 0; i < 4096; i += 64)
				__atomic_store_n(page_at(0, page) + i, (uint8_t)value % 8,
						 __ATOMIC_RELAXED);
	return NULL;
}

/* Then every stream is of some copy of the page: it inflates, and each byte is one that was there. */
static void pages_that_are_being_written(void **state)
{
	pthread_t thread;

	(void)state;
	subject_start("2");
	send(0, 70, 1);
	atomic_store(&writing, true);
	assert_int_equal(pthread_create(&thread, NULL, write_pages, NULL), 0);
	for (unsigned round = 0; round < 20; round++) {
		send(0, 0, 64);
		drain_and_load();
		for (unsigned i = 0; i < 64 * 4096; i++)
			assert_true(subject.there[0][i] < (i % 64 == 0 ? 8 : 1));
	}
	atomic_store(&writing, false);
	pthread_join(thread, NULL);
	/* zlib as it is today copies what it is given; that is not to be relied on. */
	assert_false(atomic_load(&zlib.live));
}

/* ---- what goes in full --------------------------------------------------------------------- */

/* The record would have 4 bytes more than one in full. */
static void a_page_that_hardly_shrinks(void **state)
{
	unsigned compressed = 0, full = 0;

	(void)state;
	subject_start("2");
	/* From pages that gain some hundred bytes to such as gain none, in small steps. */
	for (unsigned page = 1; page < 300; page++) {
		fill_noise(0, page, 1);
		memset(page_at(0, page), 0, 310 - page);
	}
	send(0, 0, 300);
	drain_and_load();
	check_arrived(0, 0, 300);
	for (const char *at = subject.got; *at != '\0'; at++) {
		compressed += *at == 'c';
		full += *at == 'p';
	}
	/* load() looks at the length of each. */
	assert_true(compressed > 100 && full > 5);
}

static void level_0_compresses_nothing(void **state)
{
	(void)state;
	set("compress-level", "0");
	subject_start("2");
	fill_text(0, 0, 5);
	send(0, 0, 5);
	assert_string_equal(drain_and_load(), "r:p0 p1 p2 p3 p4");
	check_arrived(0, 0, 5);
	assert_int_equal(COUNT(compress_pages), 0);
	assert_int_equal(COUNT(compress_bytes), 0);
	assert_int_equal(COUNT(normal), 5);
}

/* ---- what is counted ----------------------------------------------------------------------- */

static void statistics(void **state)
{
	(void)state;
	subject_start("2");
	fill_text(0, 0, 40);
	fill_noise(0, 10, 5);
	send(0, 0, 40);
	drain_and_load();
	assert_int_equal(COUNT(compress_pages), 34);
	assert_int_equal(COUNT(compress_busy), 0);
	assert_int_equal(COUNT(normal), 6);
	/* Lengths and contents, without the words. */
	assert_int_equal(COUNT(compress_bytes), 34 * 4 + subject.content_bytes);
	assert_int_equal(COUNT(transferred), subject.seen_bytes);
}

static bool near(uint64_t millionths, double expected)
{
	double off = (double)millionths / 1e6 - expected;

	return off > -1e-5 && off < 1e-5;
}

/* Of the pages and bytes since the last time. */
static void rates(void **state)
{
	struct rs_counters *counters = &subject.state->counters;

	(void)state;
	subject_start("2");
	fill_text(0, 0, 100);
	send(0, 0, 51);
	drain_and_load();
	rs_counter_set(counters->handled, 60);
	rs_counter_set(counters->compress_busy, 15);
	rs_compressor_count(&subject.compressor);
	uint64_t bytes = COUNT(compress_bytes);

	assert_true(near(COUNT(compress_busy_rate), 0.25));
	assert_true(near(COUNT(compress_rate), 50.0 * 4096 / (double)bytes));
	/* A period without compressed pages has a busy rate; the other one stays. */
	rs_counter_set(counters->handled, 160);
	rs_counter_set(counters->compress_busy, 115);
	rs_compressor_count(&subject.compressor);
	assert_true(near(COUNT(compress_busy_rate), 1));
	assert_true(near(COUNT(compress_rate), 50.0 * 4096 / (double)bytes));
	/* One without pages changes nothing. */
	rs_compressor_count(&subject.compressor);
	assert_true(near(COUNT(compress_busy_rate), 1));
	memset(page_at(0, 60), 'x', 10 * 4096);
	send(0, 60, 10);
	drain_and_load();
	rs_counter_set(counters->handled, 170);
	rs_compressor_count(&subject.compressor);
	assert_true(near(COUNT(compress_busy_rate), 0));
	assert_true(
	    near(COUNT(compress_rate), 10.0 * 4096 / (double)(COUNT(compress_bytes) - bytes)));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_compressed_comes_back),
		TEST(records_are_in_order),
		TEST(the_first_page_of_a_region_goes_in_full),
		TEST(a_zero_page_names_a_region),
		TEST(nothing_is_under_way_after_a_drain),
		TEST(a_drain_of_nothing),
		TEST(pages_that_are_being_written),
		TEST(a_page_that_hardly_shrinks),
		TEST(level_0_compresses_nothing),
		TEST(statistics),
		TEST(rates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
