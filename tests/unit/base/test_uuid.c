/* SPDX-License-Identifier: MIT */
#include "base/uuid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static void there_and_back(void **state)
{
	static const char text[] = "00112233-4455-6677-8899-aabbccddeeff";
	uint8_t uuid[RS_UUID_BYTES];
	char again[RS_UUID_TEXT_BYTES];

	(void)state;
	assert_true(rs_uuid_parse(text, uuid));
	for (unsigned i = 0; i < RS_UUID_BYTES; i++)
		assert_int_equal(uuid[i], i * 0x11);
	rs_uuid_format(uuid, again);
	assert_string_equal(again, text);
}

static void capitals_are_read(void **state)
{
	uint8_t uuid[RS_UUID_BYTES];
	char again[RS_UUID_TEXT_BYTES];

	(void)state;
	assert_true(rs_uuid_parse("ABCDEF01-2345-6789-aBcD-eF0123456789", uuid));
	rs_uuid_format(uuid, again);
	assert_string_equal(again, "abcdef01-2345-6789-abcd-ef0123456789");
}

static void what_is_no_uuid(void **state)
{
	static const char *const texts[] = {
		"",
		"-",
		"00112233-4455-6677-8899-aabbccddeef",
		"00112233-4455-6677-8899-aabbccddeeff0",
		"00112233-4455-6677-8899-aabbccddeeff ",
		" 00112233-4455-6677-8899-aabbccddeeff",
		"00112233445566778899aabbccddeeff",
		"0011223-34455-6677-8899-aabbccddeeff",
		"00112233-4455-6677-8899_aabbccddeeff",
		"00112233-4455-6677-8899-aabbccddeefg",
		"0x112233-4455-6677-8899-aabbccddeeff",
		"{0112233-4455-6677-8899-aabbccddeeff",
	};
	uint8_t uuid[RS_UUID_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (rs_uuid_parse(texts[i], uuid))
			fail_msg("'%s' was taken", texts[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(capitals_are_read),
		cmocka_unit_test(what_is_no_uuid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
