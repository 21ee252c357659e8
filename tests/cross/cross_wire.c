/* SPDX-License-Identifier: MIT */
/* The layouts of wire/ on this machine: written and read byte for byte as they are anywhere else.
 */
#include "base/bytes.h"
#include "cross/wire_vectors.h"
#include "wire/feature.h"

#include <stdio.h>

static int failures;

static void check(bool good, const char *what, size_t which)
{
	if (good)
		return;
	fprintf(stderr, "FAIL: %s, case %zu\n", what, which);
	failures++;
}

static bool same_name(const char *a, size_t a_bytes, const char *b)
{
	return b == NULL ? a == NULL : a_bytes == strlen(b) && memcmp(a, b, a_bytes) == 0;
}

static void check_record(size_t i)
{
	const struct record_vector *vector = &record_vectors[i];
	const struct rs_record_rules rules = { .page_bytes = vector->page_bytes,
					       .runs = true,
					       .compressed_limit = VECTOR_COMPRESSED_LIMIT };
	uint8_t to[RS_RECORD_MAX_BYTES];
	struct rs_error error = { 0 };
	struct rs_record record = { 0 };
	size_t need;
	size_t bytes =
	    rs_record_write(to, vector->address, vector->flags, vector->name, vector->written);

	check(bytes == vector->bytes && memcmp(to, vector->encoded, bytes) == 0, "write", i);
	for (size_t have = 0; have < vector->bytes; have++) {
		int result = rs_record_parse(vector->encoded, have, &rules, &record, &need, &error);

		check(result == 0 && need > have && need <= vector->bytes, "need more", i);
	}
	int result =
	    rs_record_parse(vector->encoded, vector->bytes, &rules, &record, &need, &error);

	check(result == (int)vector->bytes && record.kind == vector->kind &&
		  record.address == vector->address && record.bytes == vector->length &&
		  (!rs_record_has_pages(&record) || record.content == vector->content) &&
		  record.fill == 0 && same_name(record.name, record.name_bytes, vector->name),
	      "parse", i);
}

static void check_entry(size_t i)
{
	const struct entry_vector *vector = &entry_vectors[i];
	uint8_t to[RS_BLOCK_ENTRY_MAX_BYTES];
	struct rs_error error = { 0 };
	struct rs_block_entry entry = { 0 };
	size_t need;
	size_t bytes = rs_block_entry_write(to, &vector->entry, vector->with_address);

	check(bytes == vector->bytes && memcmp(to, vector->encoded, bytes) == 0, "write entry", i);
	int result = rs_block_entry_parse(vector->encoded, vector->bytes, vector->with_address,
					  &entry, &need, &error);

	check(result == (int)vector->bytes &&
		  same_name(entry.name, entry.name_bytes, vector->entry.name) &&
		  entry.used_bytes == vector->entry.used_bytes &&
		  entry.guest_address == vector->entry.guest_address,
	      "parse entry", i);
}

static void check_features(void)
{
	struct rs_features features = { .present = RS_FEATURE_BIT(RS_FEATURE_SESSION) |
						   RS_FEATURE_BIT(RS_FEATURE_RUNS) |
						   RS_FEATURE_BIT(RS_FEATURE_DEVICE_LENGTHS) |
						   RS_FEATURE_BIT(RS_FEATURE_HANDOVER) };
	unsigned all = features.present;
	uint8_t to[RS_FEATURES_MAX_BYTES];
	struct rs_error error = { 0 };

	memcpy(features.session, session_vector, RS_SESSION_BYTES);
	check(rs_features_write(to, &features) == sizeof(features_vector) &&
		  memcmp(to, features_vector, sizeof(features_vector)) == 0,
	      "write features", 0);
	check(rs_features_parse(features_vector, sizeof(features_vector), &features, &error) == 0 &&
		  features.present == all &&
		  memcmp(features.session, session_vector, RS_SESSION_BYTES) == 0,
	      "parse features", 0);
}

static void check_integers(void)
{
	static const uint8_t bytes[9] = { 0, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef };
	uint8_t to[9] = { 0 };

	check(rs_get_be16(bytes + 1) == 0x0123 && rs_get_be32(bytes + 1) == 0x01234567 &&
		  rs_get_be64(bytes + 1) == 0x0123456789abcdefull,
	      "get integers", 0);
	rs_put_be64(to + 1, 0x0123456789abcdefull);
	check(memcmp(to, bytes, 9) == 0, "put 64 bits", 0);
	rs_put_be32(to + 5, 0x89abcdef);
	rs_put_be16(to + 3, 0x4567);
	check(memcmp(to, bytes, 9) == 0, "put 32 and 16 bits", 0);
}

int main(void)
{
	check_integers();
	for (size_t i = 0; i < RECORD_VECTORS; i++)
		check_record(i);
	for (size_t i = 0; i < ENTRY_VECTORS; i++)
		check_entry(i);
	check_features();
	printf("%zu records, %zu entries, %d failures\n", RECORD_VECTORS, ENTRY_VECTORS, failures);
	return failures != 0;
}
