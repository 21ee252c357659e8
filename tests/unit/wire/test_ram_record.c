/* SPDX-License-Identifier: MIT */
#include "wire/ram_record.h"

#include "base/bytes.h"
#include "cross/wire_vectors.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define LONGEST_NAME 255

static const uint32_t page_sizes[] = { 1024, 2048, 4096, 8192, 16384, 32768, 65536 };

#define PAGE_SIZES (sizeof(page_sizes) / sizeof(page_sizes[0]))

/*
 * Give the parser a byte more at a time, each time in a block of exactly that size, so that ASan
 * sees a read too far. However much is there, it must want more than it has, and never more
 * than the header really has: a loader would wait for bytes that do not come.
 */
static int parse_by_steps(const uint8_t *data, size_t bytes, const struct rs_record_rules *rules,
			  struct rs_record *record, struct rs_error *error)
{
	for (size_t have = 0; have <= bytes; have++) {
		uint8_t *some = malloc(have + 1);
		size_t need = 0;

		assert_non_null(some);
		memcpy(some + 1, data, have);
		int result = rs_record_parse(some + 1, have, rules, record, &need, error);

		if (result == 0) {
			assert_true(need > have);
			assert_true(need <= bytes);
		}
		/* Names point into the data: the caller's, which lives on. */
		if (result > 0 && record->name != NULL)
			record->name = (const char *)data + (record->name - (char *)some - 1);
		free(some);
		if (result != 0)
			return result;
	}
	fail_msg("a whole record is not enough");
	return 0;
}

static void encodings_are_those_of_the_format(void **state)
{
	(void)state;
	for (size_t i = 0; i < RECORD_VECTORS; i++) {
		const struct record_vector *vector = &record_vectors[i];
		uint8_t to[RS_RECORD_MAX_BYTES];
		size_t bytes = rs_record_write(to, vector->address, vector->flags, vector->name,
					       vector->written);

		print_message("%s\n", vector->what);
		assert_int_equal(bytes, vector->bytes);
		assert_memory_equal(to, vector->encoded, bytes);
	}
}

static void encodings_are_read_in_any_pieces(void **state)
{
	(void)state;
	for (size_t i = 0; i < RECORD_VECTORS; i++) {
		const struct record_vector *vector = &record_vectors[i];
		const struct rs_record_rules rules = { .page_bytes = vector->page_bytes,
						       .runs = true,
						       .compressed_limit =
							   VECTOR_COMPRESSED_LIMIT };
		struct rs_error error = { 0 };
		struct rs_record record;

		print_message("%s\n", vector->what);
		assert_int_equal(parse_by_steps(vector->encoded, vector->bytes, &rules, &record,
						&error),
				 vector->bytes);
		assert_int_equal(record.kind, vector->kind);
		assert_int_equal(record.address, vector->address);
		assert_int_equal(record.bytes, vector->length);
		assert_int_equal(record.content, vector->content);
		assert_int_equal(record.fill, 0);
		if (vector->name == NULL) {
			assert_null(record.name);
			continue;
		}
		assert_int_equal(record.name_bytes, strlen(vector->name));
		assert_memory_equal(record.name, vector->name, record.name_bytes);
	}
}

/* What flags without CONTINUE mean, or the errno with which they are refused. */
static int expected_kind(unsigned flags, const struct rs_record_rules *rules)
{
	switch (flags) {
	case RS_FLAG_EOS:
		return RS_RECORD_EOS;
	case RS_FLAG_MEM_SIZE:
		return RS_RECORD_BLOCK_LIST;
	case RS_FLAG_ZERO:
		return RS_RECORD_ZERO;
	case RS_FLAG_PAGE:
		return RS_RECORD_PAGE;
	case RS_FLAG_MULTIFD_FLUSH:
		return RS_RECORD_FLUSH;
	case RS_FLAG_ZERO | RS_FLAG_MEM_SIZE:
		return rules->runs ? (int)RS_RECORD_ZERO_RUN : -EINVAL;
	case RS_FLAG_PAGE | RS_FLAG_MEM_SIZE:
		return rules->runs ? (int)RS_RECORD_PAGE_RUN : -EINVAL;
	case RS_FLAG_XBZRLE:
		return rules->page_bytes <= 16384 ? (int)RS_RECORD_XBZRLE : -EOPNOTSUPP;
	case RS_FLAG_COMPRESS_PAGE:
		return rules->compressed_limit != 0 ? (int)RS_RECORD_COMPRESSED : -EOPNOTSUPP;
	case RS_FLAG_HOOK:
		return -EOPNOTSUPP;
	default:
		return -EINVAL;
	}
}

/* Whatever follows the word and the name, whose end is at, is a good header of the kind. */
static void put_rest(uint8_t *at, unsigned flags, uint32_t page_bytes)
{
	switch (flags) {
	case RS_FLAG_XBZRLE:
		*at = RS_XBZRLE_ENCODING;
		rs_put_be16(at + 1, 5);
		break;
	case RS_FLAG_COMPRESS_PAGE:
		rs_put_be32(at, 5);
		break;
	default:
		rs_put_be64(at, page_bytes);
	}
}

static void check_flags(const struct rs_record_rules *rules, unsigned flags)
{
	uint8_t data[64] = { [8] = 1, 'r' };
	unsigned plain = flags & ~(unsigned)RS_FLAG_CONTINUE;
	int expected = expected_kind(plain, rules);
	struct rs_error error = { 0 };
	struct rs_record record;
	size_t need;

	rs_put_be64(data, (3ull << 32) | flags);
	put_rest(data + (flags & RS_FLAG_CONTINUE ? 8 : 10), plain, rules->page_bytes);
	int result = rs_record_parse(data, sizeof(data), rules, &record, &need, &error);

	if (expected < 0) {
		char word[32];

		assert_int_equal(result, expected);
		assert_int_equal(error.code, expected);
		snprintf(word, sizeof(word), "0x%llx", (3ull << 32) | flags);
		assert_non_null(strstr(error.text, word));
		return;
	}
	assert_true(result >= 8);
	assert_int_equal(error.code, 0);
	assert_int_equal(record.kind, expected);
	assert_int_equal(record.address, 3ull << 32);
}

static void every_combination_of_flags(void **state)
{
	(void)state;
	for (size_t i = 0; i < PAGE_SIZES; i++)
		for (unsigned flags = 0; flags < page_sizes[i]; flags++) {
			struct rs_record_rules rules = { .page_bytes = page_sizes[i] };

			check_flags(&rules, flags);
			rules.runs = true;
			check_flags(&rules, flags);
			rules.compressed_limit = 5;
			check_flags(&rules, flags);
		}
}

static void what_is_not_supported_is_called_by_name(void **state)
{
	static const struct {
		uint32_t page_bytes;
		unsigned flags;
		const char *text;
	} cases[] = {
		{ 32768, RS_FLAG_XBZRLE, "an XBZRLE page, which may have at most 16384 bytes" },
		{ 4096, RS_FLAG_COMPRESS_PAGE,
		  "a compressed page, but the parameter compress is off" },
		{ 4096, RS_FLAG_HOOK, "RDMA" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct rs_record_rules rules = { .page_bytes = cases[i].page_bytes };
		struct rs_error error = { 0 };
		struct rs_record record;
		uint8_t data[8];
		size_t need;

		rs_put_be64(data, 0x10000 | cases[i].flags);
		assert_int_equal(rs_record_parse(data, 8, &rules, &record, &need, &error),
				 -EOPNOTSUPP);
		assert_non_null(strstr(error.text, cases[i].text));
	}
}

static void bad_headers(void **state)
{
	static const struct {
		const char *what;
		size_t bytes;
		uint8_t data[32];
	} cases[] = {
		{ "empty name", 9, { 0, 0, 0, 0, 0, 0, 0x10, 0x08, 0 } },
		{ "zero byte in a name", 11, { 0, 0, 0, 0, 0, 0, 0x10, 0x08, 2, 'r', 0 } },
		{ "zero byte first", 11, { 0, 0, 0, 0, 0, 0, 0x10, 0x08, 2, 0, 'r' } },
		{ "run of nothing", 16, { 0, 0, 0, 0, 0, 0, 0x10, 0x26 } },
		{ "run of a part of a page",
		  16,
		  { 0, 0, 0, 0, 0, 0, 0x10, 0x26, 0, 0, 0, 0, 0, 0, 0x10, 0x01 } },
		{ "run of half a page",
		  16,
		  { 0, 0, 0, 0, 0, 0, 0x10, 0x2c, 0, 0, 0, 0, 0, 0, 0x08, 0x00 } },
		{ "encoding 0", 11, { 0, 0, 0, 0, 0, 0, 0x10, 0x60, 0, 0, 3 } },
		{ "encoding 2", 11, { 0, 0, 0, 0, 0, 0, 0x10, 0x60, 2, 0, 3 } },
		{ "encoding 2, named", 13, { 0, 0, 0, 0, 0, 0, 0x10, 0x40, 1, 'r', 2, 0, 3 } },
		{ "delta longer than a page", 11, { 0, 0, 0, 0, 0, 0, 0x10, 0x60, 1, 0x10, 1 } },
		{ "longest delta", 11, { 0, 0, 0, 0, 0, 0, 0x10, 0x60, 1, 0xff, 0xff } },
		{ "delta of a region without a name", 9, { 0, 0, 0, 0, 0, 0, 0x10, 0x40, 0 } },
		{ "compressed to nothing", 12, { 0, 0, 0, 0, 0, 0, 0x11, 0x20, 0, 0, 0, 0 } },
		{ "compressed, and over the limit",
		  12,
		  { 0, 0, 0, 0, 0, 0, 0x11, 0x20, 0, 0, 0x10, 0x0f } },
		{ "compressed, and far over the limit",
		  12,
		  { 0, 0, 0, 0, 0, 0, 0x11, 0x20, 0xff, 0xff, 0xff, 0xff } },
	};
	const struct rs_record_rules rules = { .page_bytes = 4096,
					       .runs = true,
					       .compressed_limit = 0x100e };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rs_error error = { 0 };
		struct rs_record record;

		print_message("%s\n", cases[i].what);
		assert_int_equal(parse_by_steps(cases[i].data, cases[i].bytes, &rules, &record,
						&error),
				 -EINVAL);
		assert_int_equal(error.code, -EINVAL);
		assert_string_not_equal(error.text, "");
	}
}

static void a_fill_is_told(void **state)
{
	static const uint8_t data[9] = { 0, 0, 0, 0, 0, 0, 0x10, 0x22, 0xa5 };
	const struct rs_record_rules rules = { .page_bytes = 4096, .runs = false };
	struct rs_error error = { 0 };
	struct rs_record record;

	(void)state;
	assert_int_equal(parse_by_steps(data, 9, &rules, &record, &error), 9);
	assert_int_equal(record.kind, RS_RECORD_ZERO);
	assert_int_equal(record.fill, 0xa5);
}

/* QEMU takes these; so do we. */
static void harmless_oddities(void **state)
{
	static const uint8_t words[][8] = {
		{ 0, 0, 0, 0, 0, 0, 0x10, 0x10 }, /* EOS with an address */
		{ 0, 0, 0, 0, 0, 0, 0x00, 0x30 }, /* EOS with CONTINUE */
	};
	const struct rs_record_rules rules = { .page_bytes = 4096, .runs = false };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct rs_error error = { 0 };
		struct rs_record record;

		assert_int_equal(parse_by_steps(words[i], 8, &rules, &record, &error), 8);
		assert_int_equal(record.kind, RS_RECORD_EOS);
	}
}

/* ---- there and back ------------------------------------------------------------------------ */

static void check_round_trip(uint32_t page_bytes, uint64_t address, unsigned flags,
			     const char *name, uint64_t length)
{
	const struct rs_record_rules rules = { .page_bytes = page_bytes,
					       .runs = true,
					       .compressed_limit = UINT32_MAX };
	bool encoded = (flags & (RS_FLAG_XBZRLE | RS_FLAG_COMPRESS_PAGE)) != 0;
	uint8_t data[RS_RECORD_MAX_BYTES];
	struct rs_error error = { 0 };
	struct rs_record record;
	size_t bytes = rs_record_write(data, address, flags, name, length);

	assert_true(bytes <= RS_RECORD_MAX_BYTES);
	assert_int_equal(parse_by_steps(data, bytes, &rules, &record, &error), bytes);
	assert_int_equal(record.address, address);
	assert_int_equal(record.bytes, flags & RS_FLAG_RUN ? length : page_bytes);
	assert_int_equal(record.content, encoded                ? length
					 : flags & RS_FLAG_PAGE ? record.bytes
								: 0);
	if (name == NULL) {
		assert_null(record.name);
		return;
	}
	assert_int_equal(record.name_bytes, strlen(name));
	assert_memory_equal(record.name, name, record.name_bytes);
}

static void check_pages_of(uint32_t page_bytes, const char *name)
{
	static const unsigned flags[] = { RS_FLAG_ZERO, RS_FLAG_PAGE, RS_FLAG_ZERO | RS_FLAG_RUN,
					  RS_FLAG_PAGE | RS_FLAG_RUN };
	static const uint64_t contents[] = { 1, 127, 128, 1000, 1024 };
	uint64_t page = page_bytes;
	const uint64_t places[] = { 0, page, 77 * page, (1ull << 40) - page,
				    UINT64_MAX - page + 1 };

	for (size_t a = 0; a < 5; a++) {
		for (size_t f = 0; f < 4; f++)
			check_round_trip(page_bytes, places[a], flags[f], name, (a + 1) * page);
		check_round_trip(page_bytes, places[a], RS_FLAG_COMPRESS_PAGE, name,
				 contents[a] << 20);
		if (page_bytes <= 16384)
			check_round_trip(page_bytes, places[a], RS_FLAG_XBZRLE, name, contents[a]);
	}
}

static void pages_there_and_back(void **state)
{
	char longest[LONGEST_NAME + 1];
	const char *names[] = { NULL, "r", "pc.ram", longest };

	(void)state;
	memset(longest, 'n', LONGEST_NAME);
	longest[LONGEST_NAME] = '\0';
	for (size_t p = 0; p < PAGE_SIZES; p++)
		for (size_t n = 0; n < 4; n++)
			check_pages_of(page_sizes[p], names[n]);
}

/* ---- the list of regions ------------------------------------------------------------------- */

static int parse_entry_by_steps(const uint8_t *data, size_t bytes, bool with_address,
				struct rs_block_entry *entry, struct rs_error *error)
{
	for (size_t have = 0; have <= bytes; have++) {
		uint8_t *some = malloc(have + 1);
		size_t need = 0;

		assert_non_null(some);
		memcpy(some + 1, data, have);
		int result =
		    rs_block_entry_parse(some + 1, have, with_address, entry, &need, error);

		if (result == 0) {
			assert_true(need > have);
			assert_true(need <= bytes);
		}
		if (result > 0)
			entry->name = (const char *)data + (entry->name - (char *)some - 1);
		free(some);
		if (result != 0)
			return result;
	}
	fail_msg("a whole entry is not enough");
	return 0;
}

static void entries_of_the_list(void **state)
{
	(void)state;
	for (size_t i = 0; i < ENTRY_VECTORS; i++) {
		const struct entry_vector *vector = &entry_vectors[i];
		uint8_t to[RS_BLOCK_ENTRY_MAX_BYTES];
		struct rs_error error = { 0 };
		struct rs_block_entry entry;

		assert_int_equal(rs_block_entry_write(to, &vector->entry, vector->with_address),
				 vector->bytes);
		assert_memory_equal(to, vector->encoded, vector->bytes);
		assert_int_equal(parse_entry_by_steps(vector->encoded, vector->bytes,
						      vector->with_address, &entry, &error),
				 vector->bytes);
		assert_int_equal(entry.name_bytes, vector->entry.name_bytes);
		assert_memory_equal(entry.name, vector->entry.name, entry.name_bytes);
		assert_int_equal(entry.used_bytes, vector->entry.used_bytes);
		assert_int_equal(entry.guest_address, vector->entry.guest_address);
	}
}

static void the_longest_entry(void **state)
{
	char name[LONGEST_NAME];
	const struct rs_block_entry from = { name, LONGEST_NAME, UINT64_MAX - 4095, UINT64_MAX };
	uint8_t data[RS_BLOCK_ENTRY_MAX_BYTES];
	struct rs_error error = { 0 };
	struct rs_block_entry entry;

	(void)state;
	memset(name, 'x', sizeof(name));
	assert_int_equal(rs_block_entry_write(data, &from, true), RS_BLOCK_ENTRY_MAX_BYTES);
	assert_int_equal(parse_entry_by_steps(data, sizeof(data), true, &entry, &error),
			 RS_BLOCK_ENTRY_MAX_BYTES);
	assert_int_equal(entry.name_bytes, LONGEST_NAME);
	assert_int_equal(entry.used_bytes, from.used_bytes);
	assert_int_equal(entry.guest_address, from.guest_address);
}

static void bad_entries(void **state)
{
	static const uint8_t empty[9] = { 0 };
	static const uint8_t zero_byte[11] = { 2, 'r', 0 };
	struct rs_error error = { 0 };
	struct rs_block_entry entry;

	(void)state;
	assert_int_equal(parse_entry_by_steps(empty, sizeof(empty), false, &entry, &error),
			 -EINVAL);
	error.code = 0;
	assert_int_equal(parse_entry_by_steps(zero_byte, sizeof(zero_byte), false, &entry, &error),
			 -EINVAL);
	assert_int_equal(error.code, -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(encodings_are_those_of_the_format),
		cmocka_unit_test(encodings_are_read_in_any_pieces),
		cmocka_unit_test(every_combination_of_flags),
		cmocka_unit_test(what_is_not_supported_is_called_by_name),
		cmocka_unit_test(bad_headers),
		cmocka_unit_test(a_fill_is_told),
		cmocka_unit_test(harmless_oddities),
		cmocka_unit_test(pages_there_and_back),
		cmocka_unit_test(entries_of_the_list),
		cmocka_unit_test(the_longest_entry),
		cmocka_unit_test(bad_entries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
