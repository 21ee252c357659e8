/* SPDX-License-Identifier: MIT */
#include "wire/postcopy.h"

#include "support/assemble.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define NAME_255                                                                                   \
	"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567" \
	"8901234567890123456789012345678901234567890123456789012345678901234567890123456789012345" \
	"6789012345678901234567890123456789012345678901234567890123456789012345678901234"

static uint8_t written[RS_DISCARD_MAX_BYTES];

/* Parse from a block of exactly that size: ASan sees a read too far. The results point into it. */
static uint8_t *exact;

static const uint8_t *exactly(const uint8_t *data, size_t bytes)
{
	free(exact);
	exact = malloc(bytes + !bytes);
	assert_non_null(exact);
	memcpy(exact, data, bytes);
	return exact;
}

static int teardown(void **state)
{
	(void)state;
	free(exact);
	exact = NULL;
	return 0;
}

static void check_written(size_t bytes, const char *text)
{
	uint8_t expected[1024];

	assert_int_equal(bytes, assemble(expected, sizeof(expected), text));
	assert_memory_equal(written, expected, bytes);
}

/* ---- what is good -------------------------------------------------------------------------- */

static void advice(void **state)
{
	const struct rs_postcopy_advice from = { 0x201000, 0x1000 };
	struct rs_postcopy_advice to;
	struct rs_error error = { 0 };

	(void)state;
	rs_postcopy_advice_write(written, &from);
	check_written(16, "64:201000 64:1000");
	assert_int_equal(rs_postcopy_advice_parse(exactly(written, 16), 16, &to, &error), 0);
	assert_int_equal(to.host_page_sizes, 0x201000);
	assert_int_equal(to.target_page_bytes, 0x1000);
}

static void a_discard(void **state)
{
	const struct rs_byte_range ranges[] = { { 0x1000, 0x2000 },
						{ 0xffffffffffffe000, 0x1fff } };
	struct rs_discard discard;
	struct rs_error error = { 0 };

	(void)state;
	size_t bytes = rs_discard_write(written, "pc.ram", ranges, 2);

	check_written(bytes, "8:0 s:pc.ram 8:0 64:1000 64:2000 64:ffffffffffffe000 64:1fff");
	assert_int_equal(rs_discard_parse(exactly(written, bytes), bytes, &discard, &error), 0);
	assert_int_equal(discard.name_bytes, 6);
	assert_memory_equal(discard.name, "pc.ram", 6);
	assert_int_equal(discard.count, 2);
	for (size_t i = 0; i < 2; i++) {
		struct rs_byte_range range = rs_discard_range(&discard, i);

		assert_int_equal(range.start, ranges[i].start);
		assert_int_equal(range.bytes, ranges[i].bytes);
	}
}

static void the_longest_discard(void **state)
{
	struct rs_byte_range ranges[RS_DISCARD_RANGES] = { { 0 } };
	struct rs_discard discard;
	struct rs_error error = { 0 };

	(void)state;
	ranges[11] = (struct rs_byte_range){ 7, 9 };
	size_t bytes = rs_discard_write(written, NAME_255, ranges, RS_DISCARD_RANGES);

	assert_int_equal(bytes, RS_DISCARD_MAX_BYTES);
	assert_int_equal(rs_discard_parse(exactly(written, bytes), bytes, &discard, &error), 0);
	assert_int_equal(discard.name_bytes, 255);
	assert_int_equal(discard.count, RS_DISCARD_RANGES);
	assert_int_equal(rs_discard_range(&discard, 11).bytes, 9);
}

static void requests(void **state)
{
	struct rs_page_request request = {
		.name = "vga", .name_bytes = 3, .start = 0x123456789000, .bytes = 0x200000
	};
	struct rs_page_request parsed;
	struct rs_error error = { 0 };

	(void)state;
	size_t bytes = rs_page_request_write(written, &request);

	check_written(bytes, "64:123456789000 32:200000 s:vga");
	assert_int_equal(
	    rs_page_request_parse(true, exactly(written, bytes), bytes, &parsed, &error), 0);
	assert_int_equal(parsed.start, request.start);
	assert_int_equal(parsed.bytes, request.bytes);
	assert_int_equal(parsed.name_bytes, 3);
	assert_memory_equal(parsed.name, "vga", 3);

	request.name = NULL;
	bytes = rs_page_request_write(written, &request);
	check_written(bytes, "64:123456789000 32:200000");
	assert_int_equal(
	    rs_page_request_parse(false, exactly(written, bytes), bytes, &parsed, &error), 0);
	assert_int_equal(parsed.start, request.start);
	assert_int_equal(parsed.bytes, request.bytes);
	assert_null(parsed.name);
	assert_int_equal(parsed.name_bytes, 0);

	request.name = NAME_255;
	request.name_bytes = 255;
	assert_int_equal(rs_page_request_write(written, &request), RS_PAGE_REQUEST_MAX_BYTES);
}

static void a_bitmaps_name(void **state)
{
	struct rs_error error = { 0 };
	const char *name;
	uint8_t name_bytes;

	(void)state;
	size_t bytes = rs_bitmap_name_write(written, "pc.bios");

	check_written(bytes, "s:pc.bios");
	assert_int_equal(
	    rs_bitmap_name_parse(exactly(written, bytes), bytes, &name, &name_bytes, &error), 0);
	assert_int_equal(name_bytes, 7);
	assert_memory_equal(name, "pc.bios", 7);
	assert_int_equal(rs_bitmap_name_write(written, NAME_255), RS_BITMAP_NAME_MAX_BYTES);
}

/* A page has 8 bytes of bitmap as 64 have. */
static void sizes_of_bitmaps(void **state)
{
	(void)state;
	assert_int_equal(rs_received_bitmap_bytes(0), 0);
	assert_int_equal(rs_received_bitmap_bytes(1), 8);
	assert_int_equal(rs_received_bitmap_bytes(64), 8);
	assert_int_equal(rs_received_bitmap_bytes(65), 16);
	assert_int_equal(rs_received_bitmap_bytes(16386), 2056);
}

/* ---- what is not --------------------------------------------------------------------------- */

enum what { ADVICE, DISCARD, REQUEST, REQUEST_BY_NAME, BITMAP };

static int parse(enum what what, const uint8_t *data, size_t bytes, struct rs_error *error)
{
	struct rs_postcopy_advice advice_;
	struct rs_discard discard;
	struct rs_page_request request;
	const char *name;
	uint8_t name_bytes;

	*error = (struct rs_error){ 0 };
	data = exactly(data, bytes);
	switch (what) {
	case ADVICE:
		return rs_postcopy_advice_parse(data, bytes, &advice_, error);
	case DISCARD:
		return rs_discard_parse(data, bytes, &discard, error);
	case BITMAP:
		return rs_bitmap_name_parse(data, bytes, &name, &name_bytes, error);
	default:
		return rs_page_request_parse(what == REQUEST_BY_NAME, data, bytes, &request, error);
	}
}

static void bad_payloads(void **state)
{
	static const struct {
		enum what what;
		const char *payload, *text;
	} bad[] = {
		{ ADVICE, "", "POSTCOPY_ADVISE: 0 bytes" },
		{ ADVICE, "64:1000 64:1000 8:0", "POSTCOPY_ADVISE: 17 bytes" },
		/* No range; one that is cut; one too much. */
		{ DISCARD, "8:0 s:a 8:0", "no range" },
		{ DISCARD, "8:0 s: 8:0 64:0 64:1000", "no range" },
		{ DISCARD, "8:0 s:abcdefghijklmnopqrst 8:0", "0 bytes are no ranges" },
		{ DISCARD, "8:0 s:ab 8:0 64:0 32:0 8:0 16:0", "15 bytes are no ranges" },
		{ DISCARD, "8:0 s:a 8:0 64:0 64:1000 8:0", "17 bytes are no ranges" },
		{ DISCARD, "8:1 s:a 8:0 64:0 64:1000", "version 1 instead of 0" },
		{ DISCARD, "8:0 s:a 8:1 64:0 64:1000", "no zero byte" },
		{ DISCARD, "8:0 8:13 64:0 64:1000 8:1 8:1", "cut off" },
		{ DISCARD, "8:0 8:12 64:1111111111111111 64:1111111111111111 16:1111",
		  "no zero byte" },
		{ DISCARD, "8:0 s: 8:0 64:0 64:1000 8:0", "empty" },
		{ DISCARD, "8:0 8:2 8:61 8:0 8:0 64:0 64:1000", "a zero byte in it" },
		{ DISCARD, "8:0 s:a 8:0 64:1000 64:fffffffffffff000", "have no end" },
		{ DISCARD, "8:0 s:a 8:0 64:0 64:1000 64:ffffffffffffffff 64:1", "have no end" },
		{ REQUEST, "64:0 32:1000 8:0", "REQ_PAGES: 13 bytes" },
		{ REQUEST, "64:0 16:0 8:0", "REQ_PAGES: 11 bytes" },
		{ REQUEST, "64:fffffffffffff001 32:1000", "have no end" },
		{ REQUEST_BY_NAME, "64:0 16:0 8:0", "REQ_PAGES_ID: 11 bytes" },
		{ REQUEST_BY_NAME, "64:0 32:1000", "cut off" },
		{ REQUEST_BY_NAME, "64:0 32:1000 8:2 8:61", "cut off" },
		{ REQUEST_BY_NAME, "64:0 32:1000 s:a 8:0",
		  "3 bytes where the region's name has 1" },
		{ REQUEST_BY_NAME, "64:0 32:1000 s:", "empty" },
		{ REQUEST_BY_NAME, "64:0 32:1000 8:2 8:0 8:61", "a zero byte in it" },
		{ REQUEST_BY_NAME, "64:fffffffffffff001 32:1000 s:a", "have no end" },
		{ BITMAP, "", "cut off" },
		{ BITMAP, "8:2 8:61", "cut off" },
		{ BITMAP, "s:", "empty" },
		{ BITMAP, "s:a 8:0", "3 bytes where" },
		{ BITMAP, "8:1 8:0", "a zero byte in it" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct rs_error error;
		uint8_t data[256];
		size_t bytes = assemble(data, sizeof(data), bad[i].payload);

		assert_int_equal(parse(bad[i].what, data, bytes, &error), -EINVAL);
		assert_int_equal(error.code, -EINVAL);
		if (strstr(error.text, bad[i].text) == NULL)
			fail_msg("%s: '%s' is not in '%s'", bad[i].payload, bad[i].text,
				 error.text);
	}
}

/* The last byte of memory can be asked for, and discarded. */
static void the_highest_end(void **state)
{
	static const struct {
		enum what what;
		const char *payload;
	} good[] = {
		{ DISCARD, "8:0 s:a 8:0 64:1000 64:ffffffffffffefff" },
		{ REQUEST, "64:ffffffffffffefff 32:1000" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct rs_error error;
		uint8_t data[64];
		size_t bytes = assemble(data, sizeof(data), good[i].payload);

		assert_int_equal(parse(good[i].what, data, bytes, &error), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(advice, teardown),
		cmocka_unit_test_teardown(a_discard, teardown),
		cmocka_unit_test_teardown(the_longest_discard, teardown),
		cmocka_unit_test_teardown(requests, teardown),
		cmocka_unit_test_teardown(a_bitmaps_name, teardown),
		cmocka_unit_test(sizes_of_bitmaps),
		cmocka_unit_test_teardown(bad_payloads, teardown),
		cmocka_unit_test_teardown(the_highest_end, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
