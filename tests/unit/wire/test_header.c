/* SPDX-License-Identifier: MIT */
#include "wire/header.h"

#include "support/assemble.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define BASE "t:QEVM 32:3 8:7 32:2 t:pc "
#define PAGE_BITS "8:5 s:configuration/target-page-bits 32:1 32:e "
#define CAPABILITIES "8:5 s:configuration/capabilities 32:1 "
#define UUID "8:5 s:configuration/uuid 32:1 64:1122334455667788 64:99aabbccddeeff00 "

/* Give a parser just what it asks for, from blocks of exactly that size. Its last word. */
static int parse(const uint8_t *data, size_t bytes, struct rs_header *header,
		 struct rs_error *error)
{
	size_t want = RS_HEADER_MIN_BYTES;

	for (;;) {
		size_t need = 0;

		if (want > bytes)
			return 0;
		uint8_t *copy = malloc(want);

		assert_non_null(copy);
		memcpy(copy, data, want);
		error->code = 0;
		int result = rs_header_parse(copy, want, header, &need, error);

		free(copy);
		if (result != 0)
			return result;
		/* It always makes progress, and never wants what is not sure to come. */
		assert_true(need > want);
		want = need;
	}
}

static int parse_text(const char *text, struct rs_header *header, struct rs_error *error)
{
	static uint8_t data[32768];

	return parse(data, assemble(data, sizeof(data), text), header, error);
}

static void plain(void **state)
{
	struct rs_header header;
	struct rs_error error;

	(void)state;
	assert_int_equal(parse_text(BASE "8:1", &header, &error), 15);
	assert_string_equal(header.machine, "pc");
	assert_int_equal(header.page_bits, 12);
	assert_false(header.has_page_bits || header.ignore_shared || header.mapped_ram ||
		     header.has_uuid);
}

static void all_subsections_there_and_back(void **state)
{
	static const char text[] = BASE PAGE_BITS CAPABILITIES "32:1 s:x-ignore-shared " UUID "8:8";
	uint8_t data[RS_HEADER_MAX_BYTES], again[RS_HEADER_MAX_BYTES];
	size_t bytes = assemble(data, sizeof(data), text) - 1;
	struct rs_header header;
	struct rs_error error;

	(void)state;
	assert_int_equal(parse_text(text, &header, &error), bytes);
	assert_int_equal(header.page_bits, 14);
	assert_true(header.has_page_bits && header.ignore_shared && header.has_uuid);
	assert_int_equal(header.uuid[0], 0x11);
	assert_int_equal(header.uuid[15], 0);
	assert_int_equal(rs_header_write(again, &header), bytes);
	assert_memory_equal(again, data, bytes);
}

static void the_longest_that_is_written(void **state)
{
	struct rs_header header = { .page_bits = 16, .ignore_shared = true, .has_uuid = true };
	uint8_t data[RS_HEADER_MAX_BYTES + 1];
	struct rs_header again;
	struct rs_error error;

	(void)state;
	memset(header.machine, 'm', RS_MACHINE_MAX_BYTES);
	size_t bytes = rs_header_write(data, &header);

	assert_true(bytes <= RS_HEADER_MAX_BYTES);
	data[bytes] = 0;
	assert_int_equal(parse(data, bytes + 1, &again, &error), bytes);
	assert_string_equal(again.machine, header.machine);
}

static void capabilities(void **state)
{
	struct rs_header header;
	struct rs_error error;

	(void)state;
	assert_true(
	    parse_text(BASE CAPABILITIES "32:2 s:multifd s:mapped-ram 8:0", &header, &error) > 0);
	assert_true(header.mapped_ram && !header.ignore_shared);
	assert_string_equal(header.unknown, "multifd");
	assert_true(parse_text(BASE CAPABILITIES "32:0 8:0", &header, &error) > 0);
}

/* Cut anywhere it wants more, and says so; nothing is taken for granted. */
static void cut_anywhere(void **state)
{
	static const char text[] = BASE PAGE_BITS CAPABILITIES "32:1 s:x-ignore-shared " UUID "8:8";
	uint8_t data[RS_HEADER_MAX_BYTES];
	size_t bytes = assemble(data, sizeof(data), text);

	(void)state;
	for (size_t have = 0; have < bytes; have++) {
		struct rs_header header;
		struct rs_error error;
		size_t need = 0;

		assert_int_equal(parse(data, have, &header, &error), 0);
		assert_int_equal(rs_header_parse(data, have, &header, &need, &error), 0);
		assert_true(need > have && need <= bytes);
	}
}

static void what_is_no_header(void **state)
{
	static const struct {
		const char *stream, *text;
	} cases[] = {
		{ "t:QEVN 32:3", "it begins with 0x5145564e" },
		{ "t:QEVM 32:2", "version 2 (obsolete)" },
		{ "t:QEVM 32:4", "version 4 instead" },
		{ "t:QEVM 32:3 8:1", "0x01 stands where the configuration should" },
		{ "t:QEVM 32:3 8:7 32:100", "name of 256 bytes" },
		{ "t:QEVM 32:3 8:7 32:ffffffff", "name of 4294967295 bytes" },
		{ "t:QEVM 32:3 8:7 32:2 t:p z:1", "zero byte" },
		{ BASE "8:5 s: 32:1", "name of a subsection is empty" },
		{ BASE "8:5 s:configuration/x 32:1", "unknown subsection configuration/x" },
		{ BASE "8:5 s:configuration/uuid 32:2", "uuid: version 2 instead of 1" },
		{ BASE CAPABILITIES "32:41", "a list of 65 capabilities" },
		{ BASE CAPABILITIES "32:1 s:", "name of a capability is empty" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rs_header header;
		struct rs_error error;

		print_message("%s\n", cases[i].text);
		assert_int_equal(parse_text(cases[i].stream, &header, &error), -EINVAL);
		assert_non_null(strstr(error.text, cases[i].text));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain),
		cmocka_unit_test(all_subsections_there_and_back),
		cmocka_unit_test(the_longest_that_is_written),
		cmocka_unit_test(capabilities),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(what_is_no_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
