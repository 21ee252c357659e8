/* SPDX-License-Identifier: MIT */
#include "ram/param.h"

#include "base/error.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static enum rs_param_id id_of(const char *name)
{
	enum rs_param_id id = RS_PARAM_COUNT;

	assert_non_null(rs_param_find(name, &id));
	return id;
}

static void the_table_is_walked_whole(void **state)
{
	const struct rs_param_info *info = NULL;
	unsigned count = 0;

	(void)state;
	while ((info = rs_param_next(info)) != NULL) {
		enum rs_param_id id;

		assert_ptr_equal(rs_param_find(info->name, &id), info);
		assert_int_equal(id, count);
		assert_true(strlen(info->help) > 10);
		assert_non_null(info->unit);
		assert_true(info->min <= info->max);
		count++;
	}
	assert_int_equal(count, RS_PARAM_COUNT);
}

static void defaults_are_those_of_qemu(void **state)
{
	static const struct {
		const char *name, *value;
	} defaults[] = {
		{ "max-bandwidth", "134217728" }, /* 128 MiB/s */
		{ "downtime-limit", "300" },
		{ "x-ignore-shared", "off" },
		{ "x-clear-bitmap-shift", "18" },
		{ "machine", "" },
		{ "xbzrle", "off" },
		{ "xbzrle-cache-size", "67108864" },
	};
	struct rs_params params;
	char value[64];

	(void)state;
	memset(&params, 0xff, sizeof(params));
	rs_params_init(&params, 4096);
	for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++) {
		enum rs_param_id id = id_of(defaults[i].name);

		assert_int_equal(rs_params_get(&params, id, value, sizeof(value)),
				 strlen(defaults[i].value));
		assert_string_equal(value, defaults[i].value);
	}
}

/* Every default can be set, and reads back as it stands in the table. */
static void every_default_is_a_legal_value(void **state)
{
	const struct rs_param_info *info = NULL;
	struct rs_params params;
	char value[RS_PARAM_STRING_BYTES];

	(void)state;
	rs_params_init(&params, 4096);
	while ((info = rs_param_next(info)) != NULL) {
		struct rs_error error = { 0 };

		assert_int_equal(rs_params_set(&params, id_of(info->name), info->def, &error), 0);
		rs_params_get(&params, id_of(info->name), value, sizeof(value));
		assert_string_equal(value, info->def);
	}
}

static void texts_and_what_they_mean(void **state)
{
	static const struct {
		const char *name, *text;
		int result;
		const char *value;
	} cases[] = {
		/* numbers */
		{ "downtime-limit", "0", 0, "0" },
		{ "downtime-limit", "2000000", 0, "2000000" },
		{ "downtime-limit", "2000001", -ERANGE, NULL },
		{ "downtime-limit", "007", 0, "7" },
		{ "downtime-limit", "0x10", 0, "16" },
		{ "downtime-limit", "0XfF", 0, "255" },
		{ "downtime-limit", "0x", -EINVAL, NULL },
		{ "downtime-limit", "0x-1", -EINVAL, NULL },
		{ "downtime-limit", "", -EINVAL, NULL },
		{ "downtime-limit", " 5", -EINVAL, NULL },
		{ "downtime-limit", "5 ", -EINVAL, NULL },
		{ "downtime-limit", "-1", -EINVAL, NULL },
		{ "downtime-limit", "+1", -EINVAL, NULL },
		{ "downtime-limit", "1.5", -EINVAL, NULL },
		{ "downtime-limit", "five", -EINVAL, NULL },
		{ "downtime-limit", "18446744073709551616", -ERANGE, NULL },
		/* suffixes: bytes only */
		{ "downtime-limit", "1k", -EINVAL, NULL },
		{ "max-bandwidth", "1k", 0, "1024" },
		{ "max-bandwidth", "3K", 0, "3072" },
		{ "max-bandwidth", "128M", 0, "134217728" },
		{ "max-bandwidth", "1g", 0, "1073741824" },
		{ "max-bandwidth", "2T", 0, "2199023255552" },
		{ "max-bandwidth", "0x10k", 0, "16384" },
		{ "max-bandwidth", "1kb", -EINVAL, NULL },
		{ "max-bandwidth", "1P", -EINVAL, NULL },
		{ "max-bandwidth", "k", -EINVAL, NULL },
		{ "max-bandwidth", "0k", 0, "0" },
		{ "max-bandwidth", "16777216T", -ERANGE, NULL },
		{ "max-bandwidth", "18446744073709551615", -ERANGE, NULL },
		{ "max-bandwidth", "18446744073709551", 0, "18446744073709551" },
		{ "max-bandwidth", "18446744073709552", -ERANGE, NULL },
		{ "max-device-state", "1T", 0, "1099511627776" },
		{ "max-device-state", "1099511627777", -ERANGE, NULL },
		/* a lower bound */
		{ "x-clear-bitmap-shift", "5", -ERANGE, NULL },
		{ "x-clear-bitmap-shift", "6", 0, "6" },
		{ "x-clear-bitmap-shift", "31", 0, "31" },
		{ "x-clear-bitmap-shift", "32", -ERANGE, NULL },
		/* switches */
		{ "x-ignore-shared", "on", 0, "on" },
		{ "x-ignore-shared", "off", 0, "off" },
		{ "x-ignore-shared", "true", 0, "on" },
		{ "x-ignore-shared", "false", 0, "off" },
		{ "x-ignore-shared", "yes", 0, "on" },
		{ "x-ignore-shared", "no", 0, "off" },
		{ "x-ignore-shared", "1", 0, "on" },
		{ "x-ignore-shared", "0", 0, "off" },
		{ "x-ignore-shared", "2", -EINVAL, NULL },
		{ "x-ignore-shared", "On", -EINVAL, NULL },
		{ "x-ignore-shared", "", -EINVAL, NULL },
		/* texts */
		{ "machine", "pc-i440fx-7.2", 0, "pc-i440fx-7.2" },
		{ "machine", "", 0, "" },
		{ "uuid", "00112233-4455-6677-8899-AABBCCDDEEFF", 0,
		  "00112233-4455-6677-8899-aabbccddeeff" },
		{ "uuid", "", 0, "" },
		{ "uuid", "00112233", -EINVAL, NULL },
		{ "lax", "on", 0, "on" },
		/* whole pages, and a power of two of them; pages are of 4 KiB here */
		{ "xbzrle-cache-size", "4096", 0, "4096" },
		{ "xbzrle-cache-size", "64k", 0, "65536" },
		{ "xbzrle-cache-size", "1T", 0, "1099511627776" },
		{ "xbzrle-cache-size", "2048", -EINVAL, NULL },
		{ "xbzrle-cache-size", "4095", -EINVAL, NULL },
		{ "xbzrle-cache-size", "12k", -EINVAL, NULL },
		{ "xbzrle-cache-size", "65537", -EINVAL, NULL },
		{ "xbzrle-cache-size", "0", -ERANGE, NULL },
		{ "xbzrle-cache-size", "2T", -ERANGE, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum rs_param_id id = id_of(cases[i].name);
		struct rs_error error = { 0 };
		struct rs_params params;
		char before[64], value[64];

		print_message("%s = '%s'\n", cases[i].name, cases[i].text);
		rs_params_init(&params, 4096);
		rs_params_get(&params, id, before, sizeof(before));
		assert_int_equal(rs_params_set(&params, id, cases[i].text, &error),
				 cases[i].result);
		assert_int_equal(error.code, cases[i].result);
		rs_params_get(&params, id, value, sizeof(value));
		/* What is refused changes nothing. */
		assert_string_equal(value, cases[i].result == 0 ? cases[i].value : before);
		if (cases[i].result != 0)
			assert_non_null(strstr(error.text, cases[i].name));
	}
}

static void a_refusal_names_the_range(void **state)
{
	struct rs_error error = { 0 };
	struct rs_params params;

	(void)state;
	rs_params_init(&params, 4096);
	rs_params_set(&params, RS_PARAM_DOWNTIME_LIMIT, "2000001", &error);
	assert_string_equal(
	    error.text, "parameter downtime-limit: '2000001' is not a number from 0 to 2000000 ms");
	error = (struct rs_error){ 0 };
	rs_params_set(&params, RS_PARAM_X_CLEAR_BITMAP_SHIFT, "x", &error);
	assert_string_equal(error.text,
			    "parameter x-clear-bitmap-shift: 'x' is not a number from 6 to 31");
	error = (struct rs_error){ 0 };
	rs_params_set(&params, RS_PARAM_X_IGNORE_SHARED, "maybe", &error);
	assert_string_equal(error.text, "parameter x-ignore-shared: 'maybe' is neither on nor off");
	error = (struct rs_error){ 0 };
	rs_params_set(&params, RS_PARAM_XBZRLE_CACHE_SIZE, "96M", &error);
	assert_string_equal(error.text, "parameter xbzrle-cache-size: '96M' is not a power of two "
					"from 4096 to 1099511627776 bytes");
	error = (struct rs_error){ 0 };
	rs_params_set(&params, RS_PARAM_XBZRLE_CACHE_SIZE, "0", &error);
	assert_string_equal(error.text, "parameter xbzrle-cache-size: '0' is not a power of two "
					"from 4096 to 1099511627776 bytes");
}

/* The smallest cache holds one page, of whatever size pages are. */
static void a_cache_holds_a_page(void **state)
{
	(void)state;
	for (uint32_t page_bytes = 1024; page_bytes <= 65536; page_bytes *= 2) {
		struct rs_params params;
		char text[32];

		rs_params_init(&params, page_bytes);
		snprintf(text, sizeof(text), "%u", page_bytes);
		assert_int_equal(rs_params_set(&params, RS_PARAM_XBZRLE_CACHE_SIZE, text, NULL), 0);
		snprintf(text, sizeof(text), "%u", page_bytes / 2);
		assert_true(rs_params_set(&params, RS_PARAM_XBZRLE_CACHE_SIZE, text, NULL) < 0);
		assert_int_equal(rs_params_number(&params, RS_PARAM_XBZRLE_CACHE_SIZE), page_bytes);
	}
}

static void texts_have_an_end(void **state)
{
	char text[RS_PARAM_STRING_BYTES + 1], value[RS_PARAM_STRING_BYTES];
	struct rs_error error = { 0 };
	struct rs_params params;

	(void)state;
	memset(text, 'm', sizeof(text));
	rs_params_init(&params, 4096);
	text[RS_PARAM_STRING_BYTES] = '\0';
	assert_int_equal(rs_params_set(&params, RS_PARAM_MACHINE, text, &error), -EINVAL);
	assert_non_null(strstr(error.text, "machine"));
	text[RS_PARAM_STRING_BYTES - 1] = '\0';
	assert_int_equal(rs_params_set(&params, RS_PARAM_MACHINE, text, NULL), 0);
	assert_int_equal(rs_params_get(&params, RS_PARAM_MACHINE, value, sizeof(value)), 255);
	assert_string_equal(value, text);
}

/* A refused one leaves the last; an empty one takes it away. */
static void a_uuid_as_bytes(void **state)
{
	uint8_t uuid[RS_UUID_BYTES];
	struct rs_error error = { 0 };
	struct rs_params params;

	(void)state;
	rs_params_init(&params, 4096);
	assert_false(rs_params_uuid(&params, uuid));
	assert_int_equal(rs_params_set(&params, RS_PARAM_UUID,
				       "00112233-4455-6677-8899-aabbccddeeff", &error),
			 0);
	assert_int_equal(rs_params_set(&params, RS_PARAM_UUID, "none", &error), -EINVAL);
	assert_string_equal(error.text, "parameter uuid: 'none' is no uuid");
	assert_true(rs_params_uuid(&params, uuid));
	assert_int_equal(uuid[15], 0xff);
	assert_int_equal(rs_params_set(&params, RS_PARAM_UUID, "", NULL), 0);
	assert_false(rs_params_uuid(&params, uuid));
}

static void values_need_room(void **state)
{
	struct rs_params params;
	char value[4] = "zzz";

	(void)state;
	rs_params_init(&params, 4096);
	/* "300" and its end take four bytes. */
	assert_int_equal(rs_params_get(&params, RS_PARAM_DOWNTIME_LIMIT, value, 4), 3);
	assert_string_equal(value, "300");
	assert_int_equal(rs_params_get(&params, RS_PARAM_DOWNTIME_LIMIT, value, 3), -ENOSPC);
	assert_int_equal(rs_params_get(&params, RS_PARAM_DOWNTIME_LIMIT, NULL, 0), -ENOSPC);
}

static void unknown_names(void **state)
{
	static const char *const names[] = { "", "downtime", "downtime-limits", "Max-Bandwidth" };
	enum rs_param_id id;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_null(rs_param_find(names[i], &id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_is_walked_whole),
		cmocka_unit_test(defaults_are_those_of_qemu),
		cmocka_unit_test(every_default_is_a_legal_value),
		cmocka_unit_test(texts_and_what_they_mean),
		cmocka_unit_test(a_refusal_names_the_range),
		cmocka_unit_test(texts_have_an_end),
		cmocka_unit_test(a_cache_holds_a_page),
		cmocka_unit_test(a_uuid_as_bytes),
		cmocka_unit_test(values_need_room),
		cmocka_unit_test(unknown_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
