/* SPDX-License-Identifier: MIT */
/*
 * What must not depend on the machine, byte order above all: run under emulation of others, where
 * there is no test library. A program of its own with a table of tests.
 */
#include "base/bitmap.h"
#include "base/bytes.h"
#include "base/checked.h"
#include "codec/xbzrle.h"
#include "codec/zero_page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			printf("%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);           \
			return 1;                                                                  \
		}                                                                                  \
	} while (0)

static int big_endian_bytes(void)
{
	static const unsigned char wanted[] = { 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0 };
	unsigned char bytes[9];

	/* At any address. */
	for (size_t at = 0; at < 2; at++) {
		memset(bytes, 0, sizeof(bytes));
		rs_put_be64(bytes + at, 0x123456789abcdef0u);
		CHECK(memcmp(bytes + at, wanted, 8) == 0);
		CHECK(rs_get_be64(bytes + at) == 0x123456789abcdef0u);
		CHECK(rs_get_be32(bytes + at) == 0x12345678u);
		CHECK(rs_get_be16(bytes + at) == 0x1234u);
		rs_put_be32(bytes + at, 0x12345678u);
		CHECK(memcmp(bytes + at, wanted, 4) == 0);
		rs_put_be16(bytes + at, 0x1234u);
		CHECK(memcmp(bytes + at, wanted, 2) == 0);
	}
	return 0;
}

static int checked_arithmetic(void)
{
	CHECK(rs_range_inside(0, 10, 10) && !rs_range_inside(1, 10, 10));
	CHECK(!rs_range_inside(UINT64_MAX, 2, 10) && rs_range_inside(10, 0, 10));
	CHECK(rs_add_saturating(UINT64_MAX, 1) == UINT64_MAX && rs_add_saturating(2, 3) == 5);
	CHECK(rs_align_up(4097, 4096) == 8192 && rs_align_down(4097, 4096) == 4096);
	CHECK(rs_log2(1) == 0 && rs_log2(1ull << 40) == 40);
	return 0;
}

static int bitmaps(void)
{
	struct rs_bitmap bitmap;

	CHECK(rs_bitmap_init(&bitmap, 1000) == 0);
	for (uint64_t first = 0; first < 1000; first += 37)
		for (uint64_t count = 1; first + count <= 1000; count += 61) {
			CHECK(rs_bitmap_set_range(&bitmap, first, count) == count);
			CHECK(rs_bitmap_find_set(&bitmap, 0, 1000) == first);
			CHECK(rs_bitmap_find_clear(&bitmap, first, 1000) == first + count);
			CHECK(rs_bitmap_count(&bitmap) == count);
			CHECK(rs_bitmap_clear_range(&bitmap, 0, 1000) == count);
		}
	/* A bit's place in its word is part of the interface: KVM's bitmaps are ORed by words. */
	CHECK(rs_bitmap_or_word(&bitmap, 1, 1ull << 3) == 1);
	CHECK(rs_bitmap_test(&bitmap, 64 + 3));
	rs_bitmap_fini(&bitmap);
	return 0;
}

static int zero_pages(void)
{
	size_t count;
	const struct rs_is_zero_version *versions = rs_is_zero_versions(&count);
	unsigned char *page = aligned_alloc(4096, 2 * 4096);

	CHECK(page != NULL && count >= 1);
#if defined(__aarch64__)
	CHECK(strcmp(versions[count - 1].name, "neon") == 0);
#endif
	memset(page, 0, 2 * 4096);
	for (size_t v = 0; v < count; v++) {
		CHECK(versions[v].function(page, 4096));
		for (size_t at = 0; at < 4096; at++) {
			page[at] = (unsigned char)(1u << at % 8);
			CHECK(!versions[v].function(page, 4096));
			page[at] = 0;
		}
	}
	for (size_t at = 0; at < 4096; at++) {
		page[4096 + at] = 0x80;
		CHECK(rs_zero_run_pages(page, 2, 4096, true) == 1);
		CHECK(rs_zero_run_pages(page + 4096, 1, 4096, false) == 1);
		page[4096 + at] = 0;
	}
	CHECK(rs_is_zero(page, 8192) && rs_zero_run_pages(page, 2, 4096, true) == 2);
	free(page);
	return 0;
}

/* Every byte of a word by itself, and a delta as it is on the wire. */
static int xbzrle(void)
{
	static const uint8_t known[] = { 5, 1, 1, 94, 3, 1, 1, 1, 0x98, 0x1f, 1, 1 };
	static uint8_t old[4096], new[4096], delta[4096];
	size_t count;
	const struct rs_xbzrle_version *versions = rs_xbzrle_versions(&count);

	for (size_t v = 0; v < count; v++) {
		for (size_t at = 0; at < 300; at++) {
			memset(old, 7, sizeof(old));
			memcpy(new, old, sizeof(old));
			new[at] = 0x87;
			int length = versions[v].encode(old, new, 4096, delta, 4096);

			CHECK(length == (at < 128 ? 3 : 4) && delta[length - 1] == 0x87);
			CHECK(rs_xbzrle_decode(old, 4096, delta, (size_t)length) == 0);
			CHECK(memcmp(old, new, 4096) == 0);
		}
		memset(old, 0, sizeof(old));
		memset(new, 0, sizeof(new));
		new[5] = new[100] = new[101] = new[102] = new[4095] = 1;
		CHECK(versions[v].encode(old, new, 4096, delta, 4096) == (int)sizeof(known));
		CHECK(memcmp(delta, known, sizeof(known)) == 0);
	}
	return 0;
}

static const struct {
	const char *name;
	int (*test)(void);
} tests[] = {
	{ "big-endian bytes", big_endian_bytes },
	{ "checked arithmetic", checked_arithmetic },
	{ "bitmaps", bitmaps },
	{ "zero pages", zero_pages },
	{ "xbzrle", xbzrle },
};

int main(void)
{
	int failures = 0;

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		int failed = tests[i].test();

		printf("%s: %s\n", tests[i].name, failed ? "FAILED" : "ok");
		failures += failed;
	}
	return failures != 0;
}
