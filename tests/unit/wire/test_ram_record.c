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
					       vector->run_bytes);

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
		const struct rs_record_rules rules = { .page_bytes = vector->page_bytes, .runs = true };
		struct rs_error error = { 0 };
		struct rs_record record;

		print_message("%s\n", vector->what);
		assert_int_equal(parse_by_steps(vector->encoded, vector->bytes, &rules, &record,
						&error),
				 vector->bytes);
		assert_int_equal(record.kind, vector->kind);
		assert_int_equal(record.address, vector->address);
		assert_int_equal(record.bytes, vector->length);
		assert_int_equal(record.fill, 0);
		if (vector->name == NULL) {
			assert_null(record.name);
			continue;
		}
		assert_int_equal(record.name_bytes, strlen(vector->name));
		assert_memory_equal(record.name, vector->name, record.name_bytes);
	}
}

/* What flags without CONTINUE mean. 0 bytes: refused with that errno. */
static int expected_kind(unsigned flags, bool runs)
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
		return runs ? (int)RS_RECORD_ZERO_RUN : -EINVAL;
	case RS_FLAG_PAGE | RS_FLAG_MEM_SIZE:
		return runs ? (int)RS_RECORD_PAGE_RUN : -EINVAL;
	case RS_FLAG_XBZRLE:
	case RS_FLAG_COMPRESS_PAGE:
	case RS_FLAG_HOOK:
		return -EOPNOTSUPP;
	default:
		return -EINVAL;
	}
}

static void check_flags(uint32_t page_bytes, unsigned flags, bool runs)
{
	const struct rs_record_rules rules = { .page_bytes = page_bytes, .runs = runs };
	/* Whatever follows the word reads as: name "r", length of one page, then zeros. */
	uint8_t data[64] = { [8] = 1, 'r' };
	unsigned plain = flags & ~(unsigned)RS_FLAG_CONTINUE;
	int expected = expected_kind(plain, runs);
	struct rs_error error = { 0 };
	struct rs_record record;
	size_t need;

	rs_put_be64(data, (3ull << 32) | flags);
	rs_put_be64(data + (flags & RS_FLAG_CONTINUE ? 8 : 10), page_bytes);
	int result = rs_record_parse(data, sizeof(data), &rules, &record, &need, &error);

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
			check_flags(page_sizes[i], flags, false);
			check_flags(page_sizes[i], flags, true);
		}
}

static void what_is_not_supported_is_called_by_name(void **state)
{
	static const struct {
		unsigned flags;
		const char *text;
	} cases[] = {
		{ RS_FLAG_XBZRLE, "XBZRLE" },
		{ RS_FLAG_COMPRESS_PAGE, "compressed" },
		{ RS_FLAG_HOOK, "RDMA" },
	};
	const struct rs_record_rules rules = { .page_bytes = 4096, .runs = false };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rs_error error = { 0 };
		struct rs_record record;
		uint8_t data[8];
		size_t need;

		rs_put_be64(data, 0x1000 | cases[i].flags);
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
	};
	const struct rs_record_rules rules = { .page_bytes = 4096, .runs = true };

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
			     const char *name, uint64_t run_bytes)
{
	const struct rs_record_rules rules = { .page_bytes = page_bytes, .runs = true };
	uint8_t data[RS_RECORD_MAX_BYTES];
	struct rs_error error = { 0 };
	struct rs_record record;
	size_t bytes = rs_record_write(data, address, flags, name, run_bytes);

	assert_true(bytes <= RS_RECORD_MAX_BYTES);
	assert_int_equal(parse_by_steps(data, bytes, &rules, &record, &error), bytes);
	assert_int_equal(record.address, address);
	assert_int_equal(record.bytes, flags & RS_FLAG_RUN ? run_bytes : page_bytes);
	if (name == NULL) {
		assert_null(record.name);
		return;
	}
	assert_int_equal(record.name_bytes, strlen(name));
	assert_memory_equal(record.name, name, record.name_bytes);
}

static void pages_there_and_back(void **state)
{
	static const unsigned flags[] = { RS_FLAG_ZERO, RS_FLAG_PAGE, RS_FLAG_ZERO | RS_FLAG_RUN,
					  RS_FLAG_PAGE | RS_FLAG_RUN };
	char longest[LONGEST_NAME + 1];
	const char *names[] = { NULL, "r", "pc.ram", longest };

	(void)state;
	memset(longest, 'n', LONGEST_NAME);
	longest[LONGEST_NAME] = '\0';
	for (size_t p = 0; p < PAGE_SIZES; p++) {
		uint64_t page = page_sizes[p];
		const uint64_t places[] = { 0, page, 77 * page, (1ull << 40) - page,
					    UINT64_MAX - page + 1 };

		for (size_t f = 0; f < 4; f++)
			for (size_t n = 0; n < 4; n++)
				for (size_t a = 0; a < 5; a++)
					check_round_trip(page_sizes[p], places[a], flags[f],
							 names[n], (a + 1) * page);
	}
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
