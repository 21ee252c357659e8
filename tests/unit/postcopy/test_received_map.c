/* SPDX-License-Identifier: MIT */
#include "postcopy/received_map.h"

#include "support/plain_region.h"
#include "support/test_random.h"
#include "wire/postcopy.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define PAGE 4096u

static struct rs_state *states[2]; /* the destination's, the source's */
static struct rs_region *regions[2];
static uint8_t *memory;
static uint64_t pages;

static int make_regions(uint64_t count)
{
	pages = count;
	memory = plain_memory_map(pages * PAGE);
	for (int i = 0; i < 2; i++) {
		states[i] = plain_state(PAGE);
		regions[i] = plain_region_add(states[i], "memory", memory, pages * PAGE, 0);
	}
	/* More bits than pages: the region may be resized. */
	return rs_bitmap_init(&regions[0]->received, pages + 200);
}

static void drop_regions(void)
{
	if (states[0] == NULL)
		return;
	rs_bitmap_fini(&regions[0]->received);
	for (int i = 0; i < 2; i++)
		rs_state_destroy(states[i]);
	plain_memory_unmap(memory, pages * PAGE);
	states[0] = NULL;
}

static int teardown(void **state)
{
	(void)state;
	drop_regions();
	return 0;
}

static struct rs_stream *written(const uint8_t **data, size_t *bytes)
{
	struct rs_stream *stream;
	const void *from;

	assert_int_equal(rs_stream_to_memory(1 << 20, &stream), 0);
	rs_received_map_put(stream, regions[0]);
	ssize_t length = rs_stream_memory(stream, &from);

	assert_true(length > 0);
	*data = from;
	*bytes = (size_t)length;
	return stream;
}

static int get(const uint8_t *data, size_t bytes, uint8_t **bitmap, uint64_t *size,
	       struct rs_error *error)
{
	struct rs_stream *stream;

	*error = (struct rs_error){ 0 };
	assert_int_equal(rs_stream_from_memory(data, bytes, &stream), 0);
	int result = rs_received_map_get(stream, regions[1], bitmap, size, error);

	if (result == 0)
		assert_int_equal(rs_stream_bytes_read(stream), bytes);
	rs_stream_close(stream, NULL);
	return result;
}

static void bits_and_bytes(void **state)
{
	static const uint8_t expected[] = { 0, 0, 0,    0,    0,    0,    0,    16,   0x01, 0x82, 0,
					    0, 0, 0,    0,    0x80, 0x03, 0,    0,    0,    0,    0,
					    0, 0, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef };
	const uint8_t *data;
	size_t bytes;

	(void)state;
	assert_int_equal(make_regions(66), 0);
	rs_bitmap_set_range(&regions[0]->received, 0, 1);
	rs_bitmap_set_range(&regions[0]->received, 9, 1);
	rs_bitmap_set_range(&regions[0]->received, 15, 1);
	/* The last two, and others that are beyond the region. */
	rs_bitmap_set_range(&regions[0]->received, 63, 40);
	struct rs_stream *stream = written(&data, &bytes);

	assert_int_equal(bytes, sizeof(expected));
	assert_memory_equal(data, expected, bytes);
	rs_stream_close(stream, NULL);
}

static void there_and_back(void **state)
{
	static const uint64_t counts[] = { 1, 63, 64, 65, 4096, 16386, 100000 };

	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct rs_error error;
		const uint8_t *data;
		uint8_t *bitmap;
		size_t bytes;
		uint64_t size;

		assert_int_equal(make_regions(counts[i]), 0);
		for (uint64_t page = 0; page < pages; page++)
			if (test_mix(page) % 3 == 0)
				rs_bitmap_set_range(&regions[0]->received, page, 1);
		struct rs_stream *stream = written(&data, &bytes);

		assert_int_equal(bytes, 16 + rs_received_bitmap_bytes(pages));
		assert_int_equal(get(data, bytes, &bitmap, &size, &error), 0);
		assert_int_equal(size, rs_received_bitmap_bytes(pages));
		for (uint64_t bit = 0; bit < size * 8; bit++)
			assert_int_equal(bitmap[bit / 8] >> bit % 8 & 1,
					 bit < pages && test_mix(bit) % 3 == 0);
		free(bitmap);
		rs_stream_close(stream, NULL);
		drop_regions();
	}
}

/* QEMU's may be set. */
static void bits_behind_the_last_page(void **state)
{
	uint8_t data[24] = { 0, 0, 0, 0, 0, 0, 0, 8 }, *bitmap;
	struct rs_error error;
	uint64_t size;

	(void)state;
	assert_int_equal(make_regions(11), 0);
	memset(data + 8, 0xff, 8);
	memcpy(data + 16, "\x01\x23\x45\x67\x89\xab\xcd\xef", 8);
	assert_int_equal(get(data, sizeof(data), &bitmap, &size, &error), 0);
	assert_memory_equal(bitmap, "\xff\x07\0\0\0\0\0\0", 8);
	free(bitmap);
}

static void bad_bitmaps(void **state)
{
	static const struct {
		uint8_t size[8];
		uint8_t end;
		size_t bytes;
		int code;
		const char *text;
	} bad[] = {
		{ { 0 }, 0xef, 24, -EINVAL, "a received bitmap of 0 bytes instead of 8" },
		{ { 0, 0, 0, 0, 0, 0, 0, 2 }, 0xef, 24, -EINVAL, "of 2 bytes" },
		{ { 0, 0, 0, 0, 0, 0, 0, 16 }, 0xef, 24, -EINVAL, "of 16 bytes" },
		{ { 0x10, 0, 0, 0, 0, 0, 0, 8 }, 0xef, 24, -EINVAL, "of 1152921504606846984 " },
		{ { 0, 0, 0, 0, 0, 0, 0, 8 }, 0xee, 24, -EINVAL, "ends with 0x123456789abcdee" },
		{ { 0, 0, 0, 0, 0, 0, 0, 8 }, 0xef, 23, -ENODATA, "region memory" },
		{ { 0, 0, 0, 0, 0, 0, 0, 8 }, 0xef, 8, -ENODATA, "region memory" },
		{ { 0, 0, 0, 0, 0, 0, 0, 8 }, 0xef, 3, -ENODATA, "region memory" },
	};

	(void)state;
	assert_int_equal(make_regions(11), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint8_t data[24] = { 0 }, *bitmap;
		struct rs_error error;
		uint64_t size;

		memcpy(data, bad[i].size, 8);
		memcpy(data + 16, "\x01\x23\x45\x67\x89\xab\xcd\xef", 8);
		data[23] = bad[i].end;
		assert_int_equal(get(data, bad[i].bytes, &bitmap, &size, &error), bad[i].code);
		assert_null(bitmap);
		if (strstr(error.text, bad[i].text) == NULL)
			fail_msg("'%s' is not in '%s'", bad[i].text, error.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(bits_and_bytes, teardown),
		cmocka_unit_test_teardown(there_and_back, teardown),
		cmocka_unit_test_teardown(bits_behind_the_last_page, teardown),
		cmocka_unit_test_teardown(bad_bitmaps, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
