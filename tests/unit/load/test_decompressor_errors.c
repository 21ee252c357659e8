/* SPDX-License-Identifier: MIT */
/* Compressed pages that are refused, and threads that cannot be had for them. */
#include "unit/load/decompressor_subject.h"

#include "support/missing_call.h"
#include "support/test_random.h"

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

/* ---- contents ------------------------------------------------------------------------------ */

static uint8_t noise[3 * 4096];

static void put_noise(const char *name, uint64_t page, size_t bytes)
{
	struct test_random random = { 7 };

	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)test_random_next(&random);
	put_compressed(name, page, noise, bytes, 1);
}

static void damaged_data(void **state)
{
	(void)state;
	put_filled("a", 1, 0x11);
	put_noise(NULL, 5, 4096);
	subject.data[subject.bytes - 1] ^= 1; /* of the check sum */
	put_filled(NULL, 6, 0x11);
	put_end();
	load_refused(-EINVAL, "region a, offset 0x5000: a malformed compressed page: incorrect "
			      "data check");
	/* What was under way was waited for. */
	assert_int_equal(under_way(), 0);
	check_filled(subject.memory, 1, 0x11);
	check_filled(subject.memory, 4, UNTOUCHED);
	check_filled(subject.memory, 7, UNTOUCHED);
}

/* Whichever thread is the first to find one. */
static void the_first_damaged_page_is_named(void **state)
{
	(void)state;
	put_filled("b", 0, 0x11);
	for (uint64_t page = 1; page < 200; page++) {
		put_filled(NULL, page, 0x11);
		if (page == 33 || page == 64 || page == 150)
			subject.data[subject.bytes - 1] ^= 1;
	}
	put_end();
	begin();
	zlib.slow_call = 34;
	assert_int_equal(load(), -EINVAL);
	plain_error_check(subject.state, RS_ERROR_OF_MIGRATION, "region b, offset 0x21000: a ");
}

/* It does not go on until the end of the body. */
static void a_damaged_page_ends_the_load(void **state)
{
	enum { PAGES = 2000 };

	(void)state;
	put_noise("a", 0, 4096);
	subject.data[subject.bytes - 1] ^= 1;
	for (uint64_t page = 1; page < PAGES; page++)
		put_filled(NULL, page, 0x11);
	put_end();
	load_refused(-EINVAL, "region a, offset 0x0: a malformed compressed page");
	assert_true(rs_stream_bytes_read(subject.stream) < subject.bytes / 2);
	check_filled(subject.memory, PAGES - 1, UNTOUCHED);
}

static void what_is_no_page(void **state)
{
	static const uint8_t rubbish[] = { 0xff, 0xff, 0xff, 0xff };

	(void)state;
	put_content("a", 2, rubbish, sizeof(rubbish));
	put_end();
	load_refused(-EINVAL, "region a, offset 0x2000: a malformed compressed page: incorrect "
			      "header check");
}

static void too_long(void **state)
{
	static const uint8_t long_page[4097] = { 0 };

	(void)state;
	put_compressed("a", 2, long_page, 4097, 1);
	put_end();
	load_refused(-EINVAL, "region a, offset 0x2000: a malformed compressed page");
	check_filled(subject.memory, 3, UNTOUCHED);
}

/* A page that QEMU takes: the rest of it stays as it was. */
static void too_short(void **state)
{
	static const uint8_t short_page[4095] = { 0 };

	(void)state;
	for (int lax = 0; lax < 2; lax++) {
		subject.bytes = 0;
		set("lax", lax ? "on" : "off");
		put_list(REGION_BYTES);
		put_compressed("a", 2, short_page, sizeof(short_page), 1);
		put_end();
		if (lax)
			load_all();
		else
			load_refused(-EINVAL,
				     "region a, offset 0x2000: a compressed page of 4095 bytes");
		assert_int_equal(subject.memory[3 * 4096 - 2], 0);
		assert_int_equal(subject.memory[3 * 4096 - 1], UNTOUCHED);
		end();
	}
}

/* ---- lengths ------------------------------------------------------------------------------- */

/* Noise, stored as it is: longer than a page. */
static void the_longest_content(void **state)
{
	(void)state;
	put_noise("a", 1, 4096);
	size_t stored = subject.bytes;

	put_compressed(NULL, 2, noise, 4096, 0);
	assert_true(subject.bytes - stored > 8 + 4 + 4096);
	put_end();
	load_all();
	assert_memory_equal(subject.memory + 4096, noise, 4096);
	assert_memory_equal(subject.memory + 2 * 4096, noise, 4096);
}

static void lengths_that_no_page_has(void **state)
{
	static const struct {
		size_t bytes;
		const char *text;
	} cases[] = {
		{ 0, "a compressed page of 0 bytes" },
		{ 4111, "a compressed page of 4111 bytes" },
		{ 1 << 20, "a compressed page of 1048576 bytes" },
	};
	static const uint8_t content[1 << 20];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		subject.bytes = 0;
		put_list(REGION_BYTES);
		put_content("a", 1, content, cases[i].bytes);
		put_end();
		load_refused(-EINVAL, cases[i].text);
		/* It was seen before a thread had to do with it. */
		assert_null(decompressor()->pool);
		end();
	}
}

static void a_stream_that_ends_inside_a_page(void **state)
{
	(void)state;
	put_filled("a", 1, 0x11);
	size_t before = subject.bytes;

	put_noise(NULL, 2, 4096);
	size_t whole = subject.bytes;

	for (size_t bytes = before + 12; bytes < whole; bytes += 97) {
		memset(subject.memory, UNTOUCHED, 4 * 4096);
		subject.bytes = bytes;
		load_refused(-ENODATA, "the stream ended");
		assert_int_equal(under_way(), 0);
		check_filled(subject.memory, 1, 0x11);
		check_filled(subject.memory, 2, UNTOUCHED);
		end();
	}
}

/* ---- without ------------------------------------------------------------------------------- */

static void without_the_parameter(void **state)
{
	(void)state;
	set("compress", "off");
	put_filled("a", 1, 0x11);
	put_end();
	load_refused(-EOPNOTSUPP, "a compressed page, but the parameter compress is off");
	assert_null(decompressor()->pool);
	check_filled(subject.memory, 1, UNTOUCHED);
}

static void no_memory_for_a_thread(void **state)
{
	(void)state;
	set("decompress-threads", "4");
	zlib.inits = 2;
	put_filled("a", 1, 0x11);
	put_end();
	load_refused(-ENOMEM,
		     "parameter decompress-threads: 4 threads: no memory to decompress pages");
	assert_null(decompressor()->pool);
}

static int load_without_threads(void)
{
	/* pthread_create() uses the one or the other. */
	if (!missing_call(SYS_clone3, EAGAIN) || !missing_call(SYS_clone, EAGAIN))
		return MISSING_CALL_NOT_POSSIBLE;
	if (load() != -EAGAIN)
		return 1;
	return strcmp(plain_error_text(subject.state, RS_ERROR_OF_MIGRATION),
		      "parameter decompress-threads: 2 threads: worker thread 0 cannot start: "
		      "Resource temporarily unavailable") != 0;
}

static void no_threads(void **state)
{
	(void)state;
	put_filled("a", 1, 0x11);
	put_end();
	begin();
	int result = in_a_child(load_without_threads);

	if (result == MISSING_CALL_NOT_POSSIBLE)
		skip();
	assert_int_equal(result, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(damaged_data),
		TEST(the_first_damaged_page_is_named),
		TEST(a_damaged_page_ends_the_load),
		TEST(what_is_no_page),
		TEST(too_long),
		TEST(too_short),
		TEST(the_longest_content),
		TEST(lengths_that_no_page_has),
		TEST(a_stream_that_ends_inside_a_page),
		TEST(without_the_parameter),
		TEST(no_memory_for_a_thread),
		TEST(no_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
