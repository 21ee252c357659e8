/* SPDX-License-Identifier: MIT */
#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void the_most_significant_byte_comes_first(void **state)
{
	static const uint8_t bytes[8] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef };
	uint8_t to[8];

	(void)state;
	rs_put_be16(to, 0x0123);
	assert_memory_equal(to, bytes, 2);
	rs_put_be32(to, 0x01234567);
	assert_memory_equal(to, bytes, 4);
	rs_put_be64(to, 0x0123456789abcdefull);
	assert_memory_equal(to, bytes, 8);
	assert_int_equal(rs_get_be16(bytes), 0x0123);
	assert_int_equal(rs_get_be32(bytes), 0x01234567);
	assert_int_equal(rs_get_be64(bytes), 0x0123456789abcdefull);
}

/* Under UBSan a misaligned access is a failure by itself. */
static void any_address_will_do(void **state)
{
	uint8_t room[24] = { 0 };

	(void)state;
	for (size_t i = 0; i < 8; i++) {
		rs_put_be64(room + i, 0xfedcba9876543210ull + i);
		assert_int_equal(rs_get_be64(room + i), 0xfedcba9876543210ull + i);
		rs_put_be32(room + i, 0xfedcba98u + (uint32_t)i);
		assert_int_equal(rs_get_be32(room + i), 0xfedcba98u + i);
		rs_put_be16(room + i, (uint16_t)(0xfedc + i));
		assert_int_equal(rs_get_be16(room + i), 0xfedc + i);
	}
}

static void nothing_beside_the_value_is_written(void **state)
{
	uint8_t room[12];

	(void)state;
	memset(room, 0xaa, sizeof(room));
	rs_put_be64(room + 2, 0);
	assert_int_equal(room[1], 0xaa);
	assert_int_equal(room[2], 0);
	assert_int_equal(room[9], 0);
	assert_int_equal(room[10], 0xaa);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_most_significant_byte_comes_first),
		cmocka_unit_test(any_address_will_do),
		cmocka_unit_test(nothing_beside_the_value_is_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
