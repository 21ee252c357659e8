/* SPDX-License-Identifier: MIT */
#include "save/record_writer.h"

#include "support/plain_region.h"

#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#define PAGE 4096u
#define PAGES 16u

static struct rs_region *a, *b;
static uint8_t *memory;
static struct rs_record_writer writer;

static int setup(void **state)
{
	memory = plain_memory_map(2 * PAGES * PAGE);
	for (unsigned page = 0; page < 2 * PAGES; page++)
		memset(memory + page * PAGE, (int)page + 1, PAGE);
	*state = plain_state(PAGE);
	a = plain_region_add(*state, "a", memory, PAGES * PAGE, 0);
	b = plain_region_add(*state, "bb", memory + PAGES * PAGE, PAGES * PAGE, 0);
	memset(&writer, 0, sizeof(writer));
	writer.state = *state;
	writer.counters = &writer.state->counters;
	assert_int_equal(rs_stream_to_memory(1 << 20, &writer.stream), 0);
	return 0;
}

static int teardown(void **state)
{
	rs_stream_close(writer.stream, NULL);
	rs_state_destroy(*state);
	plain_memory_unmap(memory, 2 * PAGES * PAGE);
	return 0;
}

/* ---- what should come out ------------------------------------------------------------------ */

static uint8_t expected[1 << 18];
static size_t expected_bytes;

static void expect(const void *bytes, size_t count)
{
	memcpy(expected + expected_bytes, bytes, count);
	expected_bytes += count;
}

/* Literal bytes, as the format has them. */
#define EXPECT(...) expect((const uint8_t[]){ __VA_ARGS__ }, sizeof((uint8_t[]){ __VA_ARGS__ }))
#define EXPECT_WORD(high, low) EXPECT(0, 0, 0, 0, 0, 0, high, low)

static void expect_content(const struct rs_region *region, unsigned first, unsigned count)
{
	expect(region->host + first * PAGE, count * PAGE);
}

static void check_output(void)
{
	const void *data;

	assert_int_equal(rs_record_writer_flush(&writer), 0);
	ssize_t bytes = rs_stream_memory(writer.stream, &data);

	assert_int_equal(bytes, expected_bytes);
	assert_memory_equal(data, expected, expected_bytes);
}

static uint64_t counter(const _Atomic uint64_t *value)
{
	return *value;
}

static void check_counters(uint64_t normal, uint64_t duplicate, uint64_t transferred)
{
	struct rs_counters *counters = &writer.state->counters;

	assert_int_equal(counter(&counters->normal), normal);
	assert_int_equal(counter(&counters->duplicate), duplicate);
	assert_int_equal(counter(&counters->transferred), transferred);
}

/* ---- QEMU's form --------------------------------------------------------------------------- */

/* The name stands where the region changes; CONTINUE reaches over the end of a body. */
static void qemus_form(void **state)
{
	(void)state;
	expected_bytes = 0;
	rs_record_writer_pages(&writer, a, 1, 2);
	EXPECT_WORD(0x10, 0x08);
	EXPECT(1, 'a');
	expect_content(a, 1, 1);
	EXPECT_WORD(0x20, 0x28);
	expect_content(a, 2, 1);

	rs_record_writer_zero(&writer, a, 3, 2);
	EXPECT_WORD(0x30, 0x22);
	EXPECT(0);
	EXPECT_WORD(0x40, 0x22);
	EXPECT(0);

	rs_record_writer_end(&writer);
	EXPECT_WORD(0, 0x10);

	rs_record_writer_zero(&writer, a, 5, 1);
	EXPECT_WORD(0x50, 0x22);
	EXPECT(0);
	rs_record_writer_zero(&writer, b, 0, 1);
	EXPECT_WORD(0, 0x02);
	EXPECT(2, 'b', 'b', 0);
	rs_record_writer_pages(&writer, b, 15, 1);
	EXPECT_WORD(0xf0, 0x28);
	expect_content(b, 15, 1);
	rs_record_writer_pages(&writer, a, 0, 1);
	EXPECT_WORD(0, 0x08);
	EXPECT(1, 'a');
	expect_content(a, 0, 1);
	rs_record_writer_end(&writer);
	EXPECT_WORD(0, 0x10);
	check_output();
	/* End marks do not count as transferred, as in QEMU's pages; the rest does. */
	check_counters(4, 4, expected_bytes - 2 * 8);
}

/* ---- copies, deltas, compressed pages --------------------------------------------------------------------- */

static uint64_t delta_bytes(void)
{
	return counter(&writer.state->counters.xbzrle_bytes);
}

/* What is sent is not the region's memory, but what was given. */
static void copies_of_pages(void **state)
{
	static uint8_t copies[3 * PAGE];

	(void)state;
	expected_bytes = 0;
	for (size_t i = 0; i < sizeof(copies); i++)
		copies[i] = (uint8_t)(i / 7);
	rs_record_writer_copies(&writer, a, 4, 1, copies);
	EXPECT_WORD(0x40, 0x08);
	EXPECT(1, 'a');
	expect(copies, PAGE);
	rs_record_writer_copies(&writer, a, 5, 2, copies + PAGE);
	EXPECT_WORD(0x50, 0x28);
	expect(copies + PAGE, PAGE);
	EXPECT_WORD(0x60, 0x28);
	expect(copies + 2 * PAGE, PAGE);
	writer.runs = true;
	rs_record_writer_copies(&writer, a, 7, 3, copies);
	EXPECT_WORD(0x70, 0x2c);
	EXPECT(0, 0, 0, 0, 0, 0, 0x30, 0);
	expect(copies, 3 * PAGE);
	check_output();
	check_counters(6, 0, expected_bytes);
	assert_int_equal(delta_bytes(), 0);
}

/* A delta is copied, counts as bytes of deltas without the word, and not as a page. */
static void deltas(void **state)
{
	uint8_t delta[300] = { 0x05, 0x02, 0xaa, 0xbb };

	(void)state;
	expected_bytes = 0;
	rs_record_writer_delta(&writer, b, 2, delta, 4);
	EXPECT_WORD(0x20, 0x40);
	EXPECT(2, 'b', 'b', 1, 0, 4, 0x05, 0x02, 0xaa, 0xbb);
	assert_int_equal(delta_bytes(), 3 + 3 + 4);
	memset(delta, 0xcc, sizeof(delta));
	/* Zero pages that wait go first. */
	writer.runs = true;
	rs_record_writer_zero(&writer, b, 3, 2);
	rs_record_writer_delta(&writer, b, 5, delta, sizeof(delta));
	EXPECT_WORD(0x30, 0x26);
	EXPECT(0, 0, 0, 0, 0, 0, 0x20, 0);
	EXPECT_WORD(0x50, 0x60);
	EXPECT(1, 1, 0x2c);
	memset(delta, 0xcc, sizeof(delta));
	expect(delta, sizeof(delta));
	memset(delta, 0, sizeof(delta));
	check_output();
	assert_int_equal(delta_bytes(), 10 + 3 + sizeof(delta));
	check_counters(0, 2, expected_bytes);
}

/* Compressed data are copied, count as bytes of compressed pages without the word, and the page as one
 * of those. */
static void compressed(void **state)
{
	struct rs_counters *counters = &writer.state->counters;
	uint8_t data[300] = { 0x78, 0x01, 0xaa };

	(void)state;
	expected_bytes = 0;
	/* Zero pages that wait go first. */
	writer.runs = true;
	rs_record_writer_zero(&writer, b, 3, 2);
	rs_record_writer_compressed(&writer, b, 5, data, 3);
	EXPECT_WORD(0x30, 0x06);
	EXPECT(2, 'b', 'b', 0, 0, 0, 0, 0, 0, 0x20, 0);
	EXPECT_WORD(0x51, 0x20);
	EXPECT(0, 0, 0, 3, 0x78, 0x01, 0xaa);
	assert_int_equal(counter(&counters->compress_bytes), 4 + 3);
	memset(data, 0xcc, sizeof(data));
	rs_record_writer_compressed(&writer, a, 2, data, sizeof(data));
	EXPECT_WORD(0x21, 0x00);
	EXPECT(1, 'a', 0, 0, 1, 0x2c);
	expect(data, sizeof(data));
	memset(data, 0, sizeof(data));
	check_output();
	assert_int_equal(counter(&counters->compress_bytes), 7 + 2 + 4 + sizeof(data));
	assert_int_equal(counter(&counters->compress_pages), 2);
	assert_int_equal(delta_bytes(), 0);
	check_counters(0, 2, expected_bytes);
}

/* ---- native form --------------------------------------------------------------------------- */

static void runs_of_pages(void **state)
{
	(void)state;
	writer.runs = true;
	expected_bytes = 0;
	rs_record_writer_pages(&writer, a, 1, 3);
	EXPECT_WORD(0x10, 0x0c);
	EXPECT(1, 'a', 0, 0, 0, 0, 0, 0, 0x30, 0);
	expect_content(a, 1, 3);
	/* A run of one is a page. */
	rs_record_writer_pages(&writer, a, 5, 1);
	EXPECT_WORD(0x50, 0x28);
	expect_content(a, 5, 1);
	rs_record_writer_pages(&writer, b, 0, 16);
	EXPECT_WORD(0, 0x0c);
	EXPECT(2, 'b', 'b', 0, 0, 0, 0, 0, 1, 0, 0);
	expect_content(b, 0, 16);
	check_output();
	check_counters(20, 0, expected_bytes);
}

static void zero_runs_are_joined(void **state)
{
	(void)state;
	writer.runs = true;
	expected_bytes = 0;
	rs_record_writer_zero(&writer, a, 0, 1);
	rs_record_writer_zero(&writer, a, 1, 2);
	rs_record_writer_zero(&writer, a, 3, 4);
	/* Not adjacent. */
	rs_record_writer_zero(&writer, a, 8, 1);
	EXPECT_WORD(0, 0x06);
	EXPECT(1, 'a', 0, 0, 0, 0, 0, 0, 0x70, 0);
	/* Adjacent by number, but in another region. */
	rs_record_writer_zero(&writer, b, 9, 2);
	EXPECT_WORD(0x80, 0x22);
	EXPECT(0);
	/* Content in between: what waits goes first. */
	rs_record_writer_pages(&writer, b, 11, 1);
	EXPECT_WORD(0x90, 0x06);
	EXPECT(2, 'b', 'b', 0, 0, 0, 0, 0, 0, 0x20, 0);
	EXPECT_WORD(0xb0, 0x28);
	expect_content(b, 11, 1);
	rs_record_writer_zero(&writer, b, 12, 2);
	/* Backwards is not adjacent. */
	rs_record_writer_zero(&writer, b, 10, 2);
	EXPECT_WORD(0xc0, 0x26);
	EXPECT(0, 0, 0, 0, 0, 0, 0x20, 0);
	/* The end of a body is the end of a run. */
	rs_record_writer_end(&writer);
	EXPECT_WORD(0xa0, 0x26);
	EXPECT(0, 0, 0, 0, 0, 0, 0x20, 0);
	EXPECT_WORD(0, 0x10);
	rs_record_writer_zero(&writer, b, 12, 1);
	EXPECT_WORD(0xc0, 0x22);
	EXPECT(0);
	check_output();
	check_counters(1, 15, expected_bytes - 8);
}

/* Nothing that waits is lost by a flush, nor does it come twice. */
static void a_flush_writes_what_waits(void **state)
{
	(void)state;
	writer.runs = true;
	expected_bytes = 0;
	rs_record_writer_zero(&writer, a, 2, 2);
	EXPECT_WORD(0x20, 0x06);
	EXPECT(1, 'a', 0, 0, 0, 0, 0, 0, 0x20, 0);
	check_output();
	check_output();
	rs_record_writer_zero(&writer, a, 4, 1);
	EXPECT_WORD(0x40, 0x22);
	EXPECT(0);
	check_output();
}

/* ---- the list ------------------------------------------------------------------------------ */

static void the_list_of_regions(void **state)
{
	(void)state;
	expected_bytes = 0;
	rs_record_writer_list(&writer, false);
	EXPECT(0, 0, 0, 0, 0, 2, 0x00, 0x04);
	EXPECT(1, 'a', 0, 0, 0, 0, 0, 1, 0, 0);
	EXPECT(2, 'b', 'b', 0, 0, 0, 0, 0, 1, 0, 0);
	check_output();
	assert_int_equal(counter(&writer.state->counters.total), 2 * PAGES * PAGE);
	/* The first page record has a name all the same. */
	rs_record_writer_zero(&writer, a, 0, 1);
	EXPECT_WORD(0, 0x02);
	EXPECT(1, 'a', 0);
	check_output();
}

static void the_list_with_addresses(void **state)
{
	const struct rs_region_config config = {
		.size = sizeof(config),
		.name = "c",
		.host = memory,
		.used_bytes = PAGE,
		.guest_address = 0x123456789abcdef0,
		.flags = RS_REGION_IGNORED,
	};

	assert_int_equal(rs_region_add(*state, &config, NULL), 0);
	expected_bytes = 0;
	rs_record_writer_list(&writer, true);
	EXPECT(0, 0, 0, 0, 0, 2, 0x10, 0x04);
	EXPECT(1, 'a', 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	EXPECT(2, 'b', 'b', 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	EXPECT(1, 'c', 0, 0, 0, 0, 0, 0, 0x10, 0, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0);
	check_output();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(qemus_form),           TEST(runs_of_pages),
		TEST(zero_runs_are_joined), TEST(a_flush_writes_what_waits),
		TEST(the_list_of_regions),  TEST(the_list_with_addresses),
		TEST(copies_of_pages),      TEST(deltas),
		TEST(compressed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
