/* SPDX-License-Identifier: MIT */
#include "wire/feature.h"

#include "base/bytes.h"
#include "cross/wire_vectors.h"

#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>

#define ALL                                                                                        \
	(RS_FEATURE_BIT(RS_FEATURE_SESSION) | RS_FEATURE_BIT(RS_FEATURE_RUNS) |                    \
	 RS_FEATURE_BIT(RS_FEATURE_DEVICE_LENGTHS) | RS_FEATURE_BIT(RS_FEATURE_HANDOVER))

/* Parse from a block of exactly that size: ASan sees a read too far. */
static int parse(const void *data, size_t bytes, struct rs_features *features,
		 struct rs_error *error)
{
	uint8_t *copy = malloc(bytes + 1);

	assert_non_null(copy);
	memcpy(copy + 1, data, bytes);
	error->code = 0;
	int result = rs_features_parse(copy + 1, bytes, features, error);

	free(copy);
	return result;
}

static void the_list_is_that_of_the_format(void **state)
{
	struct rs_features features = { .present = ALL };
	uint8_t to[RS_FEATURES_MAX_BYTES];
	struct rs_error error;

	(void)state;
	memcpy(features.session, session_vector, RS_SESSION_BYTES);
	assert_int_equal(rs_features_write(to, &features), sizeof(features_vector));
	assert_memory_equal(to, features_vector, sizeof(features_vector));

	assert_int_equal(parse(features_vector, sizeof(features_vector), &features, &error), 0);
	assert_int_equal(features.present, ALL);
	assert_memory_equal(features.session, session_vector, RS_SESSION_BYTES);
	assert_string_equal(features.unknown, "");
}

static void every_set_there_and_back(void **state)
{
	(void)state;
	for (unsigned present = 0; present <= ALL; present += 2) {
		struct rs_features from = { .present = present }, features;
		uint8_t to[RS_FEATURES_MAX_BYTES];
		struct rs_error error;
		size_t bytes = rs_features_write(to, &from);

		assert_true(bytes <= sizeof(to));
		assert_int_equal(parse(to, bytes, &features, &error), 0);
		assert_int_equal(features.present, present);
	}
}

/* Cut anywhere, the list is refused, except between two features. */
static void a_list_that_is_cut(void **state)
{
	struct rs_features features;
	struct rs_error error;

	(void)state;
	for (size_t bytes = 0; bytes < sizeof(features_vector); bytes++) {
		bool between = bytes == 0 || bytes == 28 || bytes == 37 || bytes == 56;

		assert_int_equal(parse(features_vector, bytes, &features, &error),
				 between ? 0 : -EINVAL);
		assert_int_equal(error.code, between ? 0 : -EINVAL);
	}
}

static void bad_features(void **state)
{
	static const struct {
		const char *what, *text;
		size_t bytes;
		uint8_t list[64];
	} cases[] = {
		{ "no room for a name", "name is cut off", 4, { 0, 9, 0, 0 } },
		{ "name longer than the value", "name is cut off", 7, { 0, 9, 0, 3, 3, 'a', 'b' } },
		{ "runs with a value", "runs", 10, { 0, 2, 0, 6, 4, 'r', 'u', 'n', 's', 1 } },
		{ "a short session",
		  "session",
		  13,
		  { 0, 1, 0, 9, 7, 's', 'e', 's', 's', 'i', 'o', 'n', 1 } },
		{ "runs twice",
		  "twice",
		  18,
		  { 0, 2, 0, 5, 4, 'r', 'u', 'n', 's', 0, 2, 0, 5, 4, 'r', 'u', 'n', 's' } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rs_features features;
		struct rs_error error;

		print_message("%s\n", cases[i].what);
		assert_int_equal(parse(cases[i].list, cases[i].bytes, &features, &error), -EINVAL);
		assert_non_null(strstr(error.text, cases[i].text));
	}
}

static void what_is_unknown_is_kept_by_name(void **state)
{
	static const struct {
		const char *unknown;
		size_t bytes;
		uint8_t list[32];
	} cases[] = {
		{ "zstd", 9, { 0x12, 0x34, 0, 5, 4, 'z', 's', 't', 'd' } },
		{ "zstd", 10, { 0x12, 0x34, 0, 6, 4, 'z', 's', 't', 'd', 0xff } },
		{ "a?b?", 9, { 0, 9, 0, 5, 4, 'a', '\n', 'b', 0 } },
		{ "0x12ab", 5, { 0x12, 0xab, 0, 1, 0 } },
		/* the first of several */
		{ "one", 16, { 0, 9, 0, 4, 3, 'o', 'n', 'e', 0, 10, 0, 4, 3, 't', 'w', 'o' } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rs_features features;
		struct rs_error error;

		assert_int_equal(parse(cases[i].list, cases[i].bytes, &features, &error), 0);
		assert_int_equal(features.present, 0);
		assert_string_equal(features.unknown, cases[i].unknown);
	}
}

static void a_long_unknown_name_is_cut(void **state)
{
	uint8_t list[4 + 1 + 255] = { 0, 9, 1, 0, 255 };
	struct rs_features features;
	struct rs_error error;

	(void)state;
	memset(list + 5, 'x', 255);
	assert_int_equal(parse(list, sizeof(list), &features, &error), 0);
	assert_int_equal(strlen(features.unknown), sizeof(features.unknown) - 1);
}

static void names(void **state)
{
	(void)state;
	assert_string_equal(rs_feature_name(0), "");
	assert_string_equal(rs_feature_name(1u << 31), "");
	assert_string_equal(rs_feature_name(RS_FEATURE_BIT(RS_FEATURE_HANDOVER)), "handover");
	assert_string_equal(rs_feature_name(ALL), "session");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_list_is_that_of_the_format),
		cmocka_unit_test(every_set_there_and_back),
		cmocka_unit_test(a_list_that_is_cut),
		cmocka_unit_test(bad_features),
		cmocka_unit_test(what_is_unknown_is_kept_by_name),
		cmocka_unit_test(a_long_unknown_name_is_cut),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
