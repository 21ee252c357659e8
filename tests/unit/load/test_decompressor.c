/* SPDX-License-Identifier: MIT */
/* Compressed pages that are loaded, in which order, and by how many threads. */
#include "unit/load/decompressor_subject.h"

#include "support/test_random.h"

#include <dirent.h>

static int setup(void **state)
{
	(void)state;
	subject_open(4096);
	put_list(REGION_BYTES);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	subject_close();
	return 0;
}

/* ---- in place ------------------------------------------------------------------------------ */

static uint8_t expected[REGION_BYTES];

static void fill(uint64_t page)
{
	uint8_t *at = expected + page * subject.page_bytes;
	struct test_random random = { page };

	/* Some get small, some do not. */
	for (uint32_t i = 0; i < subject.page_bytes; i++)
		at[i] =
		    page % 3 == 0 ? (uint8_t)test_random_next(&random) : (uint8_t)(page + i / 100);
}

/* Every seventh page stays as it is. */
static void round_trip(uint32_t page_bytes, const char *threads)
{
	uint64_t pages = (2u << 20) / page_bytes, compressed = 0;
	size_t before;

	subject_open(page_bytes);
	set("decompress-threads", threads);
	put_list(REGION_BYTES);
	before = subject.bytes;
	memset(expected, UNTOUCHED, sizeof(expected));
	for (uint64_t i = 0; i < pages; i++) {
		/* Not in order: QEMU's are not. */
		uint64_t page = i ^ 3;

		if (page % 7 == 6)
			continue;
		fill(page);
		put_compressed(compressed++ == 0 ? "a" : NULL, page, expected + page * page_bytes,
			       page_bytes, (int)(page % 10));
	}
	size_t records = subject.bytes - before;

	put_end();
	load_all();
	assert_memory_equal(subject.memory, expected, REGION_BYTES);
	assert_int_equal(under_way(), 0);
	for (uint64_t page = 0; page < pages; page++) {
		assert_int_equal(rs_bitmap_test(&subject.a->received, page), page % 7 != 6);
		assert_int_equal(rs_bitmap_test(&subject.a->written, page), page % 7 != 6);
	}
	struct rs_counters *counters = &subject.state->counters;

	assert_int_equal(rs_counter_get(counters->compress_pages), compressed);
	assert_int_equal(rs_counter_get(counters->compress_bytes), records - 8 * compressed);
	assert_int_equal(rs_counter_get(counters->transferred), records);
	assert_int_equal(rs_counter_get(counters->normal), 0);
	subject_close();
}

static void pages_come_in_place(void **state)
{
	(void)state;
	for (uint32_t page_bytes = 1024; page_bytes <= 65536; page_bytes *= 2) {
		round_trip(page_bytes, "1");
		round_trip(page_bytes, "3");
	}
	round_trip(4096, "255");
}

/* Neither are threads started that have nothing to do. */
static unsigned threads_now(void)
{
	DIR *tasks = opendir("/proc/self/task");
	unsigned count = 0;

	assert_non_null(tasks);
	while (readdir(tasks) != NULL)
		count++;
	closedir(tasks);
	return count;
}

static void threads_start_with_the_first_page(void **state)
{
	static const struct {
		const char *text;
		unsigned count;
	} cases[] = { { "1", 1 }, { "2", 2 }, { "255", 255 } };
	/* A sanitizer may have a thread of its own. */
	unsigned before = threads_now();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		set("decompress-threads", cases[i].text);
		subject.bytes = 0;
		put_list(REGION_BYTES);
		put_record("a", 0, RS_FLAG_ZERO, 0);
		put_end();
		put_filled("a", 1, 0x11);
		put_end();
		load_all();
		assert_null(decompressor()->pool);
		assert_int_equal(threads_now(), before);
		assert_int_equal(load(), 0);
		assert_int_equal(threads_now(), before + cases[i].count);
		check_filled(subject.memory, 1, 0x11);
		end();
		assert_int_equal(threads_now(), before);
	}
}

/* ---- in order ------------------------------------------------------------------------------ */

#define PAGES_OF_TWO_BATCHES 64u

/* Batches of other pages, so that the page that came before is with a thread. */
static void put_others(void)
{
	for (uint64_t page = 1; page < PAGES_OF_TWO_BATCHES; page++)
		put_filled(NULL, page, (uint8_t)page);
}

static void put_raw(uint64_t page, uint64_t count, uint8_t byte)
{
	static uint8_t filled[4 * 4096];

	memset(filled, byte, count * 4096);
	put_record(NULL, page, RS_FLAG_PAGE | (count > 1 ? RS_FLAG_RUN : 0), count * 4096);
	put(filled, count * 4096);
}

static void put_delta(uint64_t page)
{
	/* Five bytes as they are, one is 0xbb. */
	static const uint8_t delta[] = { 5, 1, 0xbb };

	put_record(NULL, page, RS_FLAG_XBZRLE, sizeof(delta));
	put(delta, sizeof(delta));
}

enum kind { COMPRESSED, ZERO, ZERO_RUN, RAW, RAW_RUN, DELTA, KINDS };

static void put_kind(enum kind kind, uint8_t byte)
{
	if (kind == COMPRESSED)
		put_filled(NULL, 0, byte);
	else if (kind == ZERO)
		put_record(NULL, 0, RS_FLAG_ZERO, 0);
	else if (kind == ZERO_RUN)
		put_record(NULL, 0, RS_FLAG_ZERO | RS_FLAG_RUN, REGION_BYTES);
	else if (kind == DELTA)
		put_delta(0);
	else
		put_raw(0, kind == RAW ? 1 : 4, byte);
}

/* What page 0 is, after it was 0x66 all over and then came again. */
static void check_kind(enum kind kind, uint8_t byte)
{
	if (kind == DELTA) {
		assert_int_equal(subject.memory[5], 0xbb);
		subject.memory[5] = 0x66;
		byte = 0x66;
	}
	check_filled(subject.memory, 0, kind == ZERO || kind == ZERO_RUN ? 0 : byte);
}

static void page_twice(enum kind second, bool in_threads)
{
	subject.bytes = 0;
	put_list(REGION_BYTES);
	put_record("a", 100, RS_FLAG_ZERO, 0);
	put_filled(NULL, 0, 0x66);
	if (in_threads)
		put_others();
	put_kind(second, 0x77);
	put_end();
	begin();
	rs_ram_load_allow_runs(subject.state);
	/* The first page, so that all others are done before it. */
	zlib.slow_call = 1;
	assert_int_equal(load(), 0);
	check_kind(second, 0x77);
	if (in_threads && second != ZERO_RUN)
		for (uint64_t page = 4; page < PAGES_OF_TWO_BATCHES; page++)
			check_filled(subject.memory, page, (uint8_t)page);
	end();
}

/* No writer does that; a reader that lost the order would lose it silently. */
static void a_page_that_comes_again(void **state)
{
	(void)state;
	set("decompress-threads", "3");
	for (enum kind second = 0; second < KINDS; second++) {
		page_twice(second, false);
		page_twice(second, true);
	}
}

static void a_compressed_page_after_others(void **state)
{
	(void)state;
	for (enum kind first = ZERO; first <= RAW_RUN; first++) {
		subject.bytes = 0;
		put_list(REGION_BYTES);
		put_record("a", 100, RS_FLAG_ZERO, 0);
		put_kind(first, 0x55);
		put_filled(NULL, 0, 0x66);
		put_end();
		begin();
		rs_ram_load_allow_runs(subject.state);
		assert_int_equal(load(), 0);
		check_filled(subject.memory, 0, 0x66);
		end();
	}
}

/* Pages are told apart by their low bits; a region with more of them. */
static void more_pages_than_can_be_told_apart(void **state)
{
	enum { MANY = REGION_BYTES / 1024 };

	(void)state;
	subject_close();
	subject_open(1024);
	put_list(REGION_BYTES);
	put_filled("a", 0, 1);
	for (uint64_t page = 1; page < MANY; page++)
		put_filled(NULL, page, (uint8_t)(page % 251 + 1));
	/* And the last page again. */
	put_record(NULL, MANY - 1, RS_FLAG_ZERO, 0);
	put_end();
	load_all();
	for (uint64_t page = 0; page < MANY - 1; page++)
		check_filled(subject.memory, page, (uint8_t)(page % 251 + 1));
	check_filled(subject.memory, MANY - 1, 0);
}

/* ---- what must not meet pages that are under way ------------------------------------------- */

/* It is let go then, and pages in a batch are of one region. */
static void another_region(void **state)
{
	(void)state;
	for (uint64_t page = 1; page < 40; page++) {
		put_filled(page % 5 == 1 ? "a" : NULL, page, 0x11);
		if (page % 5 == 0) {
			put_filled("b", page, 0x22);
			put_filled(NULL, page + 1, 0x33);
		}
	}
	put_end();
	begin();
	zlib.slow_call = 1;
	assert_int_equal(load(), 0);
	for (uint64_t page = 1; page < 40; page++)
		check_filled(subject.memory, page, 0x11);
	for (uint64_t page = 5; page < 40; page += 5) {
		check_filled(subject.other, page, 0x22);
		check_filled(subject.other, page + 1, 0x33);
	}
	check_filled(subject.other, 1, UNTOUCHED);
}

static unsigned seen;

static int see_resized(void *opaque, struct rs_region *region, uint64_t used_bytes)
{
	(void)opaque;
	assert_ptr_equal(region, subject.b);
	assert_int_equal(used_bytes, REGION_BYTES / 2);
	seen++;
	assert_int_equal(under_way(), 0);
	check_filled(subject.other, REGION_BYTES / 4096 - 1, 0x22);
	return 0;
}

/* Its end may be unmapped then. */
static void a_region_that_gets_smaller(void **state)
{
	(void)state;
	seen = 0;
	subject.ops.region_resized = see_resized;
	put_filled("b", REGION_BYTES / 4096 - 1, 0x22);
	put_list(REGION_BYTES / 2);
	put_end();
	begin();
	zlib.slow_call = 1;
	assert_int_equal(load(), 0);
	assert_int_equal(seen, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_come_in_place),   TEST(threads_start_with_the_first_page),
		TEST(a_page_that_comes_again),           TEST(a_compressed_page_after_others),
		TEST(more_pages_than_can_be_told_apart), TEST(another_region),
		TEST(a_region_that_gets_smaller),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
