/* SPDX-License-Identifier: MIT */
/*
 * The parsers of wire/ by themselves: each asks for more bytes until it knows, never reads one that
 * it was not given, and what it accepts is written again as it was.
 *
 * Input: a byte of options, then the bytes to parse.
 */
#include "base/bytes.h"
#include "fuzz/exactly.h"
#include "wire/feature.h"
#include "wire/ram_record.h"

#define OPTION_RUNS 0x04
#define OPTION_ADDRESS 0x08
#define OPTION_COMPRESSED 0x10

/* ---- records ------------------------------------------------------------------------------- */

/* What the writer is given as the length. */
static uint64_t written_length(const struct rs_record *record)
{
	bool encoded = record->kind == RS_RECORD_XBZRLE || record->kind == RS_RECORD_COMPRESSED;

	return encoded ? record->content : record->bytes;
}

static void check_content(const struct rs_record *record, const struct rs_record_rules *rules)
{
	switch (record->kind) {
	case RS_RECORD_PAGE:
	case RS_RECORD_PAGE_RUN:
		CHECK(record->content == record->bytes);
		break;
	case RS_RECORD_XBZRLE:
		CHECK(record->content <= rules->page_bytes && rules->page_bytes <= 16384);
		break;
	case RS_RECORD_COMPRESSED:
		CHECK(record->content > 0 && record->content <= rules->compressed_limit);
		break;
	default:
		CHECK(record->content == 0);
	}
}

static void write_again(const struct rs_record *record, const struct rs_record_rules *rules,
			const uint8_t *data, int bytes)
{
	static const unsigned flags_of[] = {
		[RS_RECORD_EOS] = RS_FLAG_EOS,
		[RS_RECORD_BLOCK_LIST] = RS_FLAG_MEM_SIZE,
		[RS_RECORD_ZERO] = RS_FLAG_ZERO,
		[RS_RECORD_PAGE] = RS_FLAG_PAGE,
		[RS_RECORD_ZERO_RUN] = RS_FLAG_ZERO | RS_FLAG_RUN,
		[RS_RECORD_PAGE_RUN] = RS_FLAG_PAGE | RS_FLAG_RUN,
		[RS_RECORD_FLUSH] = RS_FLAG_MULTIFD_FLUSH,
		[RS_RECORD_XBZRLE] = RS_FLAG_XBZRLE,
		[RS_RECORD_COMPRESSED] = RS_FLAG_COMPRESS_PAGE,
	};
	uint8_t written[RS_RECORD_MAX_BYTES], expected[RS_RECORD_MAX_BYTES];
	char name[256] = "";

	CHECK((size_t)bytes <= sizeof(written));
	CHECK((record->address & (rules->page_bytes - 1)) == 0);
	CHECK(record->bytes != 0 && (record->bytes & (rules->page_bytes - 1)) == 0);
	if (record->name != NULL)
		memcpy(name, record->name, record->name_bytes);
	size_t length = rs_record_write(written, record->address, flags_of[record->kind],
					record->name != NULL ? name : NULL, written_length(record));

	/* What a reader ignores and a writer does not say. */
	memcpy(expected, data, (size_t)bytes);
	if (record->kind == RS_RECORD_EOS || record->kind == RS_RECORD_BLOCK_LIST ||
	    record->kind == RS_RECORD_FLUSH)
		expected[7] &= (uint8_t)~RS_FLAG_CONTINUE;
	if (record->kind == RS_RECORD_ZERO)
		expected[bytes - 1] = 0;
	CHECK(length == (size_t)bytes && memcmp(written, expected, length) == 0);
}

static void parse_record(const uint8_t *data, size_t bytes, const struct rs_record_rules *rules)
{
	size_t have = RS_RECORD_MIN_BYTES, need;

	while (have <= bytes) {
		uint8_t *copy = exactly(data, have);
		struct rs_error error = { 0 };
		struct rs_record record;
		int result = rs_record_parse(copy, have, rules, &record, &need, &error);

		CHECK((result < 0) == (error.code != 0) && (result >= 0 || error.code == result));
		if (result > 0) {
			CHECK((size_t)result <= have);
			check_content(&record, rules);
			write_again(&record, rules, copy, result);
		}
		free(copy);
		if (result != 0)
			return;
		CHECK(need > have && need <= RS_RECORD_MAX_BYTES);
		have = need;
	}
}

static void parse_block_entry(const uint8_t *data, size_t bytes, bool with_address)
{
	size_t have = RS_BLOCK_ENTRY_MIN_BYTES, need;

	while (have <= bytes) {
		uint8_t *copy = exactly(data, have), written[RS_BLOCK_ENTRY_MAX_BYTES];
		struct rs_error error = { 0 };
		struct rs_block_entry entry;
		int result = rs_block_entry_parse(copy, have, with_address, &entry, &need, &error);

		CHECK((result < 0) == (error.code != 0));
		if (result > 0) {
			CHECK((size_t)result <= have);
			CHECK(rs_block_entry_write(written, &entry, with_address) ==
			      (size_t)result);
			CHECK(memcmp(written, copy, (size_t)result) == 0);
		}
		free(copy);
		if (result != 0)
			return;
		CHECK(need > have && need <= RS_BLOCK_ENTRY_MAX_BYTES);
		have = need;
	}
}

/* ---- features ------------------------------------------------------------------------------ */

static void parse_features(const uint8_t *data, size_t bytes)
{
	struct rs_features features, again;
	uint8_t *copy = exactly(data, bytes), written[RS_FEATURES_MAX_BYTES];
	struct rs_error error = { 0 };
	int result = rs_features_parse(copy, bytes, &features, &error);

	free(copy);
	CHECK((result < 0) == (error.code != 0));
	if (result != 0)
		return;
	CHECK(strlen(features.unknown) < sizeof(features.unknown));
	size_t length = rs_features_write(written, &features);

	CHECK(length <= sizeof(written));
	CHECK(rs_features_parse(written, length, &again, NULL) == 0);
	CHECK(again.present == features.present && again.unknown[0] == '\0');
	CHECK(memcmp(again.session, features.session, sizeof(again.session)) == 0);
	CHECK((features.present == 0) == (rs_feature_name(features.present)[0] == '\0'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static const uint32_t page_sizes[] = { 1024, 4096, 16384, 65536 };

	if (bytes == 0)
		return 0;
	struct rs_record_rules rules = { .page_bytes = page_sizes[data[0] & 3],
					 .runs = (data[0] & OPTION_RUNS) != 0 };

	if (data[0] & OPTION_COMPRESSED)
		rules.compressed_limit = 2 * rules.page_bytes;
	parse_record(data + 1, bytes - 1, &rules);
	parse_block_entry(data + 1, bytes - 1, (data[0] & OPTION_ADDRESS) != 0);
	parse_features(data + 1, bytes - 1);
	return 0;
}
