/* SPDX-License-Identifier: MIT */
#include "codec/zlib_page.h"

#include "base/bytes.h"
#include "support/guarded_memory.h"
#include "support/test_random.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

enum { LARGEST = 65536 };

static const size_t page_sizes[] = { 1024, 4096, 16384, LARGEST };
#define PAGE_SIZES (sizeof(page_sizes) / sizeof(page_sizes[0]))

static uint8_t page[LARGEST], back[LARGEST + 64], deflated[2 * LARGEST];

/* ---- pages of several kinds ---------------------------------------------------------------- */

static void fill_zero(size_t bytes, struct test_random *random)
{
	(void)random;
	memset(page, 0, bytes);
}

/* Few letters, and words that come again. */
static void fill_text(size_t bytes, struct test_random *random)
{
	for (size_t i = 0; i < bytes; i++) {
		size_t before = 1 + (size_t)test_random_below(random, 200);

		page[i] = (uint8_t)('a' + test_random_below(random, 12));
		if (test_random_one_in(random, 8) && before <= i)
			for (size_t run = 3 + before % 20; run > 0 && i < bytes; run--, i++)
				page[i] = page[i - before];
	}
}

/* The second half is the first one: found only in a window of nearly a page. */
static void fill_twice(size_t bytes, struct test_random *random)
{
	for (size_t i = 0; i < bytes; i++)
		page[i] = i < bytes / 2 ? (uint8_t)test_random_next(random) : page[i - bytes / 2];
}

/* The last bytes are the first ones, as far away as a page has them. */
static void fill_ends_alike(size_t bytes, struct test_random *random)
{
	memset(page, 7, bytes);
	for (size_t i = 0; i < 300; i++)
		page[i] = page[bytes - 300 + i] = (uint8_t)test_random_next(random);
}

static void fill_noise(size_t bytes, struct test_random *random)
{
	for (size_t i = 0; i < bytes; i++)
		page[i] = (uint8_t)test_random_next(random);
}

static void (*const fills[])(size_t bytes, struct test_random *random) = {
	fill_zero, fill_text, fill_twice, fill_ends_alike, fill_noise,
};
#define FILLS (sizeof(fills) / sizeof(fills[0]))

/* ---- deflating ----------------------------------------------------------------------------- */

/* Any zlib reads it: here with the defaults, and by a function that takes whole streams only. */
static void check_with_zlib(size_t bytes, int length)
{
	uLongf got = sizeof(back);

	assert_int_equal(uncompress(back, &got, deflated, (uLong)length), Z_OK);
	assert_int_equal(got, bytes);
	assert_memory_equal(back, page, bytes);
}

static void check_with_ours(struct rs_inflater *inflater, size_t bytes, int length)
{
	const char *reason = NULL;

	memset(back, 0xee, sizeof(back));
	assert_int_equal(rs_inflate_page(inflater, deflated, (size_t)length, back, bytes, &reason),
			 bytes);
	assert_null(reason);
	assert_memory_equal(back, page, bytes);
	for (size_t i = 0; i < 64; i++)
		assert_int_equal(back[bytes + i], 0xee);
}

/* As zlib does it by itself: compressBound() is room for it. */
static size_t reference_length(size_t bytes, int level)
{
	static uint8_t to[2 * LARGEST];
	uLongf length = sizeof(to);

	assert_int_equal(compress2(to, &length, page, (uLong)bytes, level), Z_OK);
	return length;
}

static int deflate_all(struct rs_deflater *deflater, size_t limit)
{
	const char *reason = NULL;

	memset(deflated, 0xee, sizeof(deflated));
	int length = rs_deflate_page(deflater, page, deflated, limit, &reason);

	assert_null(reason);
	for (size_t i = 0; i < 64; i++)
		assert_int_equal(deflated[limit + i], 0xee);
	return length;
}

/* Every page size and level; one deflater for pages of all kinds in turns, so that each one comes after
 * each other one. Not a byte more in all than zlib needs with its defaults. */
static void round_trips(void **state)
{
	struct rs_inflater inflater;
	struct test_random random = { 20261124 };

	(void)state;
	assert_int_equal(rs_inflater_init(&inflater), 0);
	for (size_t s = 0; s < PAGE_SIZES; s++)
		for (int level = 0; level <= 9; level++) {
			struct rs_deflater deflater;
			size_t bytes = page_sizes[s], bound = rs_deflated_page_bound(bytes);
			size_t total = 0, reference = 0;

			assert_int_equal(rs_deflater_init(&deflater, level, bytes), 0);
			for (size_t i = 0; i < FILLS * FILLS; i++) {
				fills[i % 2 == 0 ? i / 2 % FILLS : i / FILLS](bytes, &random);
				int length = deflate_all(&deflater, bound + RS_DEFLATE_SLACK);

				assert_in_range(length, 1, bound);
				total += (size_t)length;
				reference += reference_length(bytes, level);
				check_with_zlib(bytes, length);
				check_with_ours(&inflater, bytes, length);
			}
			if (total > reference)
				fail_msg("level %d, pages of %zu: %zu bytes, of zlib %zu", level,
					 bytes, total, reference);
			rs_deflater_fini(&deflater);
		}
	rs_inflater_fini(&inflater);
}

/* With a little room the stream is the same, with less than it needs there is none. And after
 * such a page the next one is right. */
static void every_limit(void **state)
{
	static uint8_t whole[2 * LARGEST];
	struct test_random random = { 1 };
	struct rs_deflater deflater;

	(void)state;
	assert_int_equal(rs_deflater_init(&deflater, 1, 4096), 0);
	for (size_t i = 0; i < FILLS; i++) {
		fills[i](4096, &random);
		int length = deflate_all(&deflater, 2 * rs_deflated_page_bound(4096));

		memcpy(whole, deflated, (size_t)length);
		for (size_t limit = 0; limit < (size_t)length; limit += 1 + limit / 64)
			assert_int_equal(deflate_all(&deflater, limit), RS_DEFLATE_NO_GAIN);
		assert_int_equal(deflate_all(&deflater, (size_t)length - 1), RS_DEFLATE_NO_GAIN);
		int exactly = deflate_all(&deflater, (size_t)length);

		assert_true(exactly == length || exactly == RS_DEFLATE_NO_GAIN);
		assert_int_equal(deflate_all(&deflater, (size_t)length + RS_DEFLATE_SLACK), length);
		assert_memory_equal(deflated, whole, (size_t)length);
	}
	rs_deflater_fini(&deflater);
}

static void noise_does_not_shrink(void **state)
{
	(void)state;
	for (size_t s = 0; s < PAGE_SIZES; s++)
		for (int level = 0; level <= 9; level++) {
			struct test_random random = { s };
			struct rs_deflater deflater;

			assert_int_equal(rs_deflater_init(&deflater, level, page_sizes[s]), 0);
			fill_noise(page_sizes[s], &random);
			assert_int_equal(deflate_all(&deflater, page_sizes[s] - 1),
					 RS_DEFLATE_NO_GAIN);
			rs_deflater_fini(&deflater);
		}
}

/* QEMU's own bound, which its destination holds a record to. */
static void bound(void **state)
{
	(void)state;
	assert_int_equal(rs_deflated_page_bound(4096), 4110);
	assert_int_equal(rs_deflated_page_bound(LARGEST), compressBound(LARGEST));
}

static void impossible_deflaters(void **state)
{
	static const struct {
		int level;
		size_t page_bytes;
	} rows[] = {
		{ -1, 4096 }, { 10, 4096 }, { 1, 0 }, { 1, 256 }, { 1, 4095 }, { 1, 1u << 21 }
	};
	struct rs_deflater deflater;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(rs_deflater_init(&deflater, rows[i].level, rows[i].page_bytes),
				 -EINVAL);
}

/* Neither the page's nor the stream's borders are passed by a single byte. */
static void nothing_outside_is_touched(void **state)
{
	struct guarded_memory from, to, again;
	struct rs_deflater deflater;
	struct rs_inflater inflater;
	struct test_random random = { 5 };
	const char *reason;

	(void)state;
	assert_int_equal(guarded_memory_init(&from, 4096), 0);
	assert_int_equal(guarded_memory_init(&to, 4096), 0);
	assert_int_equal(guarded_memory_init(&again, 4096), 0);
	assert_int_equal(rs_deflater_init(&deflater, 1, 4096), 0);
	assert_int_equal(rs_inflater_init(&inflater), 0);
	for (size_t i = 0; i < 20 * FILLS; i++) {
		fills[i % FILLS](4096, &random);
		memcpy(from.data, page, 4096);
		int length = rs_deflate_page(&deflater, from.data, to.data, 4096, &reason);

		if (length == RS_DEFLATE_NO_GAIN)
			continue;
		uint8_t *end = to.data + 4096 - length;

		memmove(end, to.data, (size_t)length);
		assert_int_equal(rs_inflate_page(&inflater, end, (size_t)length, again.data, 4096,
						 &reason),
				 4096);
		assert_memory_equal(again.data, page, 4096);
		/* What does not fit is not begun behind the page. */
		assert_int_equal(rs_inflate_page(&inflater, end, (size_t)length, again.data + 2048,
						 2048, &reason),
				 -EINVAL);
	}
	rs_inflater_fini(&inflater);
	rs_deflater_fini(&deflater);
	guarded_memory_fini(&from);
	guarded_memory_fini(&to);
	guarded_memory_fini(&again);
}

/* ---- streams of others --------------------------------------------------------------------- */

/* Stored, so that a row can be read: 78 01, then last block or not, length, its complement, the bytes,
 * and Adler-32. The page has 8 bytes. */
static void odd_streams(void **state)
{
	static const struct {
		const char *what;
		int result;
		const char *reason;
		size_t bytes;
		uint8_t data[40];
	} rows[] = {
		{ "a page", 8, NULL, 19,
		  "\x78\x01\x01\x08\x00\xf7\xff"
		  "abcdefgh"
		  "\x0e\x00\x03\x25" },
		{ "two blocks", 8, NULL, 24,
		  "\x78\x01\x00\x04\x00\xfb\xff"
		  "abcd"
		  "\x01\x04\x00\xfb\xff"
		  "efgh"
		  "\x0e\x00\x03\x25" },
		{ "a window of 256 bytes", 8, NULL, 19,
		  "\x08\x1d\x01\x08\x00\xf7\xff"
		  "abcdefgh"
		  "\x0e\x00\x03\x25" },
		{ "a byte less", 7, NULL, 18,
		  "\x78\x01\x01\x07\x00\xf8\xff"
		  "abcdefg"
		  "\x0a\xdb\x02\xbd" },
		{ "an empty one", 0, NULL, 11, "\x78\x01\x01\x00\x00\xff\xff\x00\x00\x00\x01" },
		{ "an empty block behind the page", 8, NULL, 24,
		  "\x78\x01\x00\x08\x00\xf7\xff"
		  "abcdefgh"
		  "\x01\x00\x00\xff\xff"
		  "\x0e\x00\x03\x25" },
		{ "nothing", -EINVAL, "it breaks off", 0, "" },
		{ "half a header", -EINVAL, "it breaks off", 1, "\x78" },
		{ "half a block", -EINVAL, "it breaks off", 10,
		  "\x78\x01\x01\x08\x00\xf7\xff"
		  "abc" },
		{ "no check sum", -EINVAL, "it breaks off", 15,
		  "\x78\x01\x01\x08\x00\xf7\xff"
		  "abcdefgh" },
		{ "half a check sum", -EINVAL, "it breaks off", 17,
		  "\x78\x01\x01\x08\x00\xf7\xff"
		  "abcdefgh"
		  "\x0e\x00" },
		{ "no last block", -EINVAL, "it breaks off", 15,
		  "\x78\x01\x00\x08\x00\xf7\xff"
		  "abcdefgh" },
		{ "another check sum", -EINVAL, "incorrect data check", 19,
		  "\x78\x01\x01\x08\x00\xf7\xff"
		  "abcdefgh"
		  "\x0e\x00\x03\x26" },
		{ "a byte more", -EINVAL, "it is longer than a page", 20,
		  "\x78\x01\x01\x09\x00\xf6\xff"
		  "abcdefghi"
		  "\x11\x8e\x03\x8e" },
		{ "a second one", -EINVAL, "more follows its end", 38,
		  "\x78\x01\x01\x08\x00\xf7\xff"
		  "abcdefgh"
		  "\x0e\x00\x03\x25"
		  "\x78\x01\x01\x08\x00\xf7\xff"
		  "abcdefgh"
		  "\x0e\x00\x03\x25" },
		{ "a zero behind it", -EINVAL, "more follows its end", 20,
		  "\x78\x01\x01\x08\x00\xf7\xff"
		  "abcdefgh"
		  "\x0e\x00\x03\x25\x00" },
		{ "zeros", -EINVAL, "unknown compression method", 8, "" },
		{ "gzip", -EINVAL, "incorrect header check", 8, "\x1f\x8b\x08" },
		{ "another method", -EINVAL, "unknown compression method", 8, "\x77\x85" },
		{ "a window that is too large", -EINVAL, "invalid window size", 8, "\x88\x1c" },
		{ "a dictionary", -EINVAL, "it needs a dictionary", 8, "\x78\x20\x01\x02\x03\x04" },
		{ "a fourth kind of block", -EINVAL, "invalid block type", 4, "\x78\x01\x07" },
		{ "lengths that do not fit", -EINVAL, "invalid stored block lengths", 8,
		  "\x78\x01\x01\x08\x00\xf7\xfe" },
		/* Fixed codes: a match before anything was written. */
		{ "from before the page", -EINVAL, "invalid distance too far back", 8,
		  "\x78\x01\x03\x02\x00\x00" },
	};
	struct rs_inflater inflater;
	uint8_t to[16];

	(void)state;
	assert_int_equal(rs_inflater_init(&inflater), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *reason = NULL;

		print_message("%s\n", rows[i].what);
		memset(to, '.', sizeof(to));
		assert_int_equal(rs_inflate_page(&inflater, rows[i].data, rows[i].bytes, to, 8,
						 &reason),
				 rows[i].result);
		if (rows[i].reason == NULL)
			assert_null(reason);
		else
			assert_string_equal(reason, rows[i].reason);
		assert_memory_equal(to + 8, "........", 8);
		if (rows[i].result >= 0) {
			assert_memory_equal(to, "abcdefgh", (size_t)rows[i].result);
			assert_memory_equal(to + rows[i].result, "........",
					    8 - (size_t)rows[i].result);
		}
	}
	rs_inflater_fini(&inflater);
}

/* Whoever wrote the page in words or in its own order: what lies behind the end of a shorter stream stays. */
static void the_rest_of_a_short_page_stays(void **state)
{
	struct rs_inflater inflater;
	struct test_random random = { 31 };
	z_stream z = { .next_in = page };
	const char *reason;

	(void)state;
	assert_int_equal(rs_inflater_init(&inflater), 0);
	for (size_t bytes = 600; bytes < 4096; bytes += 97) {
		fill_text(bytes, &random);
		assert_int_equal(deflateInit(&z, 6), Z_OK);
		z.next_in = page;
		z.avail_in = (uInt)bytes;
		z.next_out = deflated;
		z.avail_out = sizeof(deflated);
		assert_int_equal(deflate(&z, Z_SYNC_FLUSH), Z_OK);
		size_t length = z.total_out;

		/* Empty blocks, so that the input's end is far away when the page's is near. */
		for (unsigned i = 0; i < 20; i++, length += 5)
			memcpy(deflated + length, "\x00\x00\x00\xff\xff", 5);
		memcpy(deflated + length, "\x01\x00\x00\xff\xff", 5);
		rs_put_be32(deflated + length + 5, (uint32_t)adler32(1, page, (uInt)bytes));
		length += 9;
		deflateEnd(&z);
		memset(back, 0xee, 4096);
		assert_int_equal(rs_inflate_page(&inflater, deflated, length, back, 4096, &reason),
				 bytes);
		assert_memory_equal(back, page, bytes);
		for (size_t i = bytes; i < 4096; i++)
			assert_int_equal(back[i], 0xee);
	}
	rs_inflater_fini(&inflater);
}

/* Each bit of a stream: it is refused, or the page is the right one. */
static void damage_is_noticed(void **state)
{
	struct test_random random = { 9 };
	struct rs_deflater deflater;
	struct rs_inflater inflater;
	const char *reason;
	unsigned taken = 0;

	(void)state;
	assert_int_equal(rs_deflater_init(&deflater, 6, 1024), 0);
	assert_int_equal(rs_inflater_init(&inflater), 0);
	fill_text(1024, &random);
	int length = deflate_all(&deflater, 1024);

	assert_in_range(length, 1, 1023);
	for (size_t bit = 0; bit < (size_t)length * 8; bit++) {
		deflated[bit / 8] ^= (uint8_t)(1u << bit % 8);
		reason = NULL;
		int got = rs_inflate_page(&inflater, deflated, (size_t)length, back, 1024, &reason);

		deflated[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (got == -EINVAL) {
			assert_non_null(reason);
			continue;
		}
		assert_int_equal(got, 1024);
		assert_memory_equal(back, page, 1024);
		taken++;
	}
	/* The bits between the last block and the check sum mean nothing. */
	assert_in_range(taken, 0, 7);
	rs_inflater_fini(&inflater);
	rs_deflater_fini(&deflater);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trips),
		cmocka_unit_test(every_limit),
		cmocka_unit_test(noise_does_not_shrink),
		cmocka_unit_test(bound),
		cmocka_unit_test(impossible_deflaters),
		cmocka_unit_test(nothing_outside_is_touched),
		cmocka_unit_test(odd_streams),
		cmocka_unit_test(the_rest_of_a_short_page_stays),
		cmocka_unit_test(damage_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
