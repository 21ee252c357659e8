/* SPDX-License-Identifier: MIT */
/* Records into memory that faults: what is placed when, from which kinds of records, once. */
#include "postcopy_subject.h"

#include <zlib.h>

/* Target pages as large as host pages, and smaller: those are collected. Huge pages are, too. */
static const uint32_t page_sizes[] = { 4096, 1024, 16384 };

#define for_each_subject(units)                                                                    \
	for_each_kind(kind) for (size_t size_ = 0;                                                 \
				 size_ < 3 &&                                                      \
				 (begin_subject(kind, page_sizes[size_], units), true);            \
				 end_subject(), size_++)

static uint64_t received(const struct memory_of *memory)
{
	return rs_bitmap_count(&memory->region->received) * subject.page_bytes;
}

/* ---- what is placed ------------------------------------------------------------------------ */

static void pages_one_by_one(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for_each_subject(4)
	{
		uint64_t unit = subject.unit_bytes, page = subject.page_bytes;

		/* Unit 2 of content, unit 0 of zeros, unit 1 of "b" of both. */
		for (uint64_t at = 2 * unit; at < 3 * unit; at += page)
			put_page(at == 2 * unit ? "a" : NULL, at, 1);
		for (uint64_t at = 0; at < unit; at += page)
			put_zero(NULL, at);
		for (uint64_t at = unit; at < 2 * unit; at += page)
			if (at / page % 2 != 0 || unit == page)
				put_page(at == unit ? "b" : NULL, at, 2);
			else
				put_zero(at == unit ? "b" : NULL, at);
		put_end();
		assert_int_equal(load_made(), 0);
		assert_true(rs_ram_load_is_between_pages(subject.state));
		assert_int_equal(received(&subject.a), 2 * unit);
		assert_int_equal(received(&subject.b), unit);
		assert_true(holds(&subject.a, 2 * unit, unit, 1));
		assert_true(holds(&subject.a, 0, unit, -1));
		for (uint64_t at = unit; at < 2 * unit; at += page)
			assert_true(holds(&subject.b, at, page,
					  at / page % 2 != 0 || unit == page ? 2 : -1));
		assert_int_equal(duplicates(), 0);
		assert_int_equal(rs_counter_get(subject.state->counters.normal) +
				     rs_counter_get(subject.state->counters.duplicate),
				 3 * unit / page);
	}
}

static void runs_of_many_units(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for_each_subject(5)
	{
		uint64_t unit = subject.unit_bytes;

		put_pages("a", unit, 2 * unit, 1);
		put_zeros(NULL, 3 * unit, 2 * unit);
		put_zeros(NULL, 0, unit);
		put_pages("b", 0, 5 * unit, 3);
		put_end();
		assert_int_equal(load_made(), 0);
		assert_int_equal(received(&subject.a), 5 * unit);
		assert_int_equal(received(&subject.b), 5 * unit);
		assert_true(holds(&subject.a, unit, 2 * unit, 1));
		assert_true(holds(&subject.a, 0, unit, -1));
		assert_true(holds(&subject.a, 3 * unit, 2 * unit, -1));
		assert_true(holds(&subject.b, 0, 5 * unit, 3));
		assert_int_equal(rs_ram_load_check_received(subject.state, false), 0);
	}
}

/* Longer than a piece, of a length that is no multiple of one. */
static void a_long_run(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	begin_subject(&kinds[0], 4096, 100);
	put_pages("a", 4096, 97 * 4096, 1);
	put_end();
	assert_int_equal(load_made(), 0);
	assert_int_equal(received(&subject.a), 97 * 4096);
	assert_true(holds(&subject.a, 4096, 97 * 4096, 1));
	end_subject();
}

static void put_compressed(const char *name, uint64_t offset, int level)
{
	uint8_t page[16384], packed[20000];
	uLongf bytes = sizeof(packed);

	for (uint64_t at = 0; at < subject.page_bytes; at += 8) {
		uint64_t word = word_of(offset + at, 7);

		memcpy(page + at, &word, 8);
	}
	assert_int_equal(compress2(packed, &bytes, page, subject.page_bytes, level), Z_OK);
	put_header(offset, RS_FLAG_COMPRESS_PAGE, name, bytes);
	memcpy(subject.data + subject.length, packed, bytes);
	subject.length += bytes;
}

static void compressed_pages(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for (size_t size = 0; size < 3; size++) {
		begin_subject(&kinds[size], page_sizes[size], 3);
		uint64_t unit = subject.unit_bytes, page = subject.page_bytes;

		for (uint64_t at = unit; at < 2 * unit; at += page)
			put_compressed(at == unit ? "a" : NULL, at, 6);
		/* Twice: read, and forgotten. */
		for (uint64_t at = unit; at < 2 * unit; at += page)
			put_compressed(NULL, at, 0);
		for (uint64_t at = 0; at < unit; at += page)
			put_page(NULL, at, 1);
		put_end();
		assert_int_equal(load_made(), 0);
		assert_true(holds(&subject.a, unit, unit, 7));
		assert_true(holds(&subject.a, 0, unit, 1));
		assert_int_equal(duplicates(), unit / page);
		end_subject();
	}
}

static void a_page_with_a_fill(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for (int lax = 0; lax <= 1; lax++) {
		open_subject(&kinds[0], 4096, 3);
		subject.state->load->lax = lax != 0;
		list_regions();
		assert_int_equal(begin_postcopy(), 0);
		put_header(4096, RS_FLAG_ZERO, "a", 0);
		subject.data[subject.length - 1] = 0x42;
		put_end();
		if (lax == 0) {
			check_failure(load_made(), -EINVAL, "region a, offset 0x1000: a zero page");
			assert_int_equal(received(&subject.a), 0);
		} else {
			assert_int_equal(load_made(), 0);
			for (unsigned i = 0; i < 4096; i++)
				assert_int_equal(subject.a.host[4096 + i], 0x42);
		}
		end_subject();
	}
}

/* ---- what came already --------------------------------------------------------------------- */

static void what_came_already_stays(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for_each_subject(5)
	{
		uint64_t unit = subject.unit_bytes, pages = unit / subject.page_bytes;

		put_pages("a", unit, unit, 1);
		put_zeros(NULL, 3 * unit, unit);
		put_end();
		assert_int_equal(load_made(), 0);
		/* Over both, from before the first to behind the last. */
		put_pages("a", 0, 5 * unit, 2);
		put_zeros(NULL, 0, 5 * unit);
		put_end();
		assert_int_equal(load_made(), 0);
		assert_int_equal(duplicates(), (2 + 5) * pages);
		assert_true(holds(&subject.a, 0, unit, 2));
		assert_true(holds(&subject.a, unit, unit, 1));
		assert_true(holds(&subject.a, 2 * unit, unit, 2));
		assert_true(holds(&subject.a, 3 * unit, unit, -1));
		assert_true(holds(&subject.a, 4 * unit, unit, 2));
	}
}

/* What came in precopy and was not discarded stays as well. */
static void what_precopy_brought_stays(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for_each_kind(kind)
	{
		open_subject(kind, 4096, 4);
		list_regions();
		uint64_t unit = subject.unit_bytes;
		struct rs_byte_range ranges[2] = { { unit, unit }, { 3 * unit, unit } };
		uint8_t payload[RS_DISCARD_MAX_BYTES];
		struct rs_discard discard;
		struct rs_error error = { 0 };

		put_pages("a", 0, 4 * unit, 1);
		put_end();
		assert_int_equal(load_made(), 0);
		size_t bytes = rs_discard_write(payload, "a", ranges, 2);

		assert_int_equal(rs_discard_parse(payload, bytes, &discard, &error), 0);
		assert_int_equal(rs_ram_load_discard(subject.state, &discard), 0);
		assert_int_equal(begin_postcopy(), 0);
		put_pages("a", 0, 4 * unit, 2);
		put_end();
		assert_int_equal(load_made(), 0);
		assert_int_equal(duplicates(), 2 * unit / 4096);
		for (uint64_t i = 0; i < 4; i++)
			assert_true(holds(&subject.a, i * unit, unit, i % 2 == 0 ? 1 : 2));
		end_subject();
	}
}

/* ---- host pages in part -------------------------------------------------------------------- */

static void a_host_page_in_parts(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	begin_subject(&kinds[0], 1024, 4);
	put_zero("a", 4096);
	put_zero(NULL, 5120);
	put_end();
	assert_int_equal(load_made(), 0);
	assert_false(rs_ram_load_is_between_pages(subject.state));
	assert_int_equal(received(&subject.a), 0);
	/* The next body goes on, with content behind the zeros. */
	put_pages(NULL, 6144, 1024, 1);
	put_zero(NULL, 7168);
	put_end();
	assert_int_equal(load_made(), 0);
	assert_true(rs_ram_load_is_between_pages(subject.state));
	assert_int_equal(received(&subject.a), 4096);
	assert_true(holds(&subject.a, 4096, 2048, -1));
	assert_true(holds(&subject.a, 6144, 1024, 1));
	assert_true(holds(&subject.a, 7168, 1024, -1));
	end_subject();
}

/* The buffer is used again: what the page before left there must not come along. */
static void zeros_before_content(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for_each_kind(kind)
	{
		begin_subject(kind, 1024, 3);
		uint64_t unit = subject.unit_bytes;

		put_pages("a", 0, unit, 1);
		put_zeros(NULL, unit, 2048);
		put_page(NULL, unit + 2048, 2);
		put_zeros(NULL, unit + 3072, unit - 3072);
		put_end();
		assert_int_equal(load_made(), 0);
		assert_true(holds(&subject.a, unit, 2048, -1));
		assert_true(holds(&subject.a, unit + 2048, 1024, 2));
		assert_true(holds(&subject.a, unit + 3072, unit - 3072, -1));
		end_subject();
	}
}

static void after_a_break_all_is_forgotten(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for_each_kind(kind)
	{
		begin_subject(kind, 1024, 3);
		uint64_t unit = subject.unit_bytes;

		put_page("a", 0, 1);
		put_page(NULL, 1024, 1);
		put_end();
		assert_int_equal(load_made(), 0);
		rs_ram_load_resume(subject.state);
		assert_true(rs_ram_load_is_between_pages(subject.state));
		/* Zeros, where content was staged; and the name state is gone. */
		put_zeros("a", 0, unit);
		put_end();
		assert_int_equal(load_made(), 0);
		assert_true(holds(&subject.a, 0, unit, -1));
		rs_ram_load_resume(subject.state);
		put_zeros(NULL, unit, unit);
		put_end();
		check_failure(load_made(), -EINVAL, "goes on in the region of the one before");
		end_subject();
	}
}

/* ---- what is refused ----------------------------------------------------------------------- */

static void bad_order(void **state)
{
	static const struct {
		uint64_t first, second;
		const char *name, *text;
	} bad[] = {
		{ 1024, 0, "a", "region a, offset 0x400: in the middle of a host page" },
		{ 0, 0, "a",
		  "region a, offset 0x0: a page where the host page at 0x0 of region a goes on at "
		  "0x400" },
		{ 4096, 0, "a",
		  "offset 0x0: a page where the host page at 0x1000 of region a goes on at "
		  "0x1400" },
		{ 0, 4096, "a",
		  "offset 0x1000: a page where the host page at 0x0 of region a goes on at 0x400" },
		{ 0, 1024, "b",
		  "region b, offset 0x400: a page where the host page at 0x0 of region a goes on" },
		{ 0, 2048, "a", "region a, offset 0x800" },
	};

	(void)state;
	FAULTED_BEGIN();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		begin_subject(&kinds[0], 1024, 4);
		put_page("a", bad[i].first, 1);
		put_page(bad[i].name, bad[i].second, 1);
		put_end();
		check_failure(load_made(), -EINVAL, bad[i].text);
		assert_int_equal(received(&subject.a), 0);
		end_subject();
	}
}

static void put_delta(void)
{
	put_header(0, RS_FLAG_XBZRLE, "a", 1);
	subject.data[subject.length++] = 0;
}

static void put_outside(void)
{
	put_pages("a", subject.bytes - 4096, 8192, 1);
}

static void put_rubbish(void)
{
	put_header(0, RS_FLAG_COMPRESS_PAGE, "a", 8);
	memset(subject.data + subject.length, 0xff, 8);
	subject.length += 8;
}

static void put_short(void)
{
	uint8_t packed[100];
	uLongf bytes = sizeof(packed);

	assert_int_equal(compress2(packed, &bytes, (const uint8_t *)"short", 5, 1), Z_OK);
	put_header(0, RS_FLAG_COMPRESS_PAGE, "a", bytes);
	memcpy(subject.data + subject.length, packed, bytes);
	subject.length += bytes;
}

static void put_half(void)
{
	put_page("a", 0, 1);
	subject.length -= 100;
}

static void put_unknown(void)
{
	put_page("c", 0, 1);
}

static void bad_records(void **state)
{
	static const struct {
		void (*put)(void);
		int code;
		const char *text;
	} bad[] = {
		{ put_delta, -EINVAL, "an XBZRLE delta in postcopy" },
		{ put_list, -EINVAL, "a list of regions in postcopy" },
		{ put_outside, -EINVAL, "lie outside" },
		{ put_rubbish, -EINVAL, "region a, offset 0x0: a malformed compressed page" },
		{ put_short, -EINVAL, "region a, offset 0x0: a compressed page of 5 bytes" },
		{ put_half, -ENODATA, "ended" },
		{ put_unknown, -EINVAL, "region c is unknown here" },
	};

	(void)state;
	FAULTED_BEGIN();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct rs_error error;

		begin_subject(&kinds[0], 4096, 4);
		/* The same from the urgent stream, which does not end the session. */
		bad[i].put();
		assert_int_equal(load_urgent(&error), bad[i].code);
		if (strstr(error.text, bad[i].text) == NULL)
			fail_msg("'%s' is not in '%s'", bad[i].text, error.text);
		assert_int_equal(rs_session_code(subject.state), 0);
		bad[i].put();
		check_failure(load_made(), bad[i].code, bad[i].text);
		assert_int_equal(received(&subject.a), 0);
		end_subject();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(pages_one_by_one, subject_teardown),
		cmocka_unit_test_teardown(runs_of_many_units, subject_teardown),
		cmocka_unit_test_teardown(a_long_run, subject_teardown),
		cmocka_unit_test_teardown(compressed_pages, subject_teardown),
		cmocka_unit_test_teardown(a_page_with_a_fill, subject_teardown),
		cmocka_unit_test_teardown(what_came_already_stays, subject_teardown),
		cmocka_unit_test_teardown(what_precopy_brought_stays, subject_teardown),
		cmocka_unit_test_teardown(a_host_page_in_parts, subject_teardown),
		cmocka_unit_test_teardown(zeros_before_content, subject_teardown),
		cmocka_unit_test_teardown(after_a_break_all_is_forgotten, subject_teardown),
		cmocka_unit_test_teardown(bad_order, subject_teardown),
		cmocka_unit_test_teardown(bad_records, subject_teardown),
	};

	return cmocka_run_group_tests(tests, faulted_setup, huge_pages_teardown);
}
