/* SPDX-License-Identifier: MIT */
/* Creation, parameters, errors and names: what a state offers while nothing runs. */
#include "support/plain_region.h"

#include <ramsync/ramsync.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void the_version(void **unused)
{
	char text[32];

	(void)unused;
	snprintf(text, sizeof(text), "%d.%d.%d", RS_VERSION_MAJOR, RS_VERSION_MINOR,
		 RS_VERSION_PATCH);
	assert_string_equal(rs_version_text(), text);
}

static void page_sizes(void **unused)
{
	static const struct {
		uint32_t bytes;
		int result;
		uint32_t settled;
	} cases[] = {
		{ 0, 0, 4096 },        { 1024, 0, 1024 },      { 2048, 0, 2048 },
		{ 4096, 0, 4096 },     { 16384, 0, 16384 },    { 65536, 0, 65536 },
		{ 512, -EINVAL, 0 },   { 131072, -EINVAL, 0 }, { 4095, -EINVAL, 0 },
		{ 12288, -EINVAL, 0 }, { 1, -EINVAL, 0 },      { UINT32_MAX, -EINVAL, 0 },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct rs_state_config config = { sizeof(config), cases[i].bytes };
		struct rs_state *state = NULL;

		assert_int_equal(rs_state_create(&config, &state), cases[i].result);
		if (cases[i].result != 0) {
			assert_null(state);
			continue;
		}
		assert_int_equal(rs_state_page_bytes(state), cases[i].settled);
		rs_state_destroy(state);
	}
	rs_state_destroy(NULL);
}

static void configurations_of_other_versions(void **unused)
{
	struct {
		struct rs_state_config config;
		uint64_t tail;
	} later = { .config = { sizeof(later), 16384 } };
	struct rs_state *state = NULL;

	(void)unused;
	memset((char *)&later + sizeof(later.config), 0, sizeof(later) - sizeof(later.config));
	assert_int_equal(rs_state_create(NULL, &state), 0);
	assert_int_equal(rs_state_page_bytes(state), 4096);
	rs_state_destroy(state);
	assert_int_equal(rs_state_create(&later.config, &state), 0);
	assert_int_equal(rs_state_page_bytes(state), 16384);
	rs_state_destroy(state);
	state = NULL;
	later.tail = 1;
	assert_int_equal(rs_state_create(&later.config, &state), -EINVAL);
	later.config.size = 4;
	assert_int_equal(rs_state_create(&later.config, &state), -EINVAL);
	assert_null(state);
}

static void parameters(void **unused)
{
	struct rs_state *state = plain_state(4096);
	const struct rs_param_info *info = NULL;
	char value[256];

	(void)unused;
	/* All that the table has can be read, and set to what was read. */
	while ((info = rs_param_next(info)) != NULL) {
		int length = rs_param_get(state, info->name, value, sizeof(value));

		assert_int_equal(length, strlen(value));
		assert_string_equal(value, info->def);
		assert_int_equal(rs_param_set(state, info->name, value), 0);
	}
	assert_int_equal(rs_param_set(state, "downtime-limit", "17"), 0);
	assert_int_equal(rs_param_get(state, "downtime-limit", value, sizeof(value)), 2);
	assert_string_equal(value, "17");
	assert_int_equal(rs_param_get(state, "downtime-limit", value, 2), -ENOSPC);

	assert_int_equal(rs_param_set(state, "downtime-limits", "1"), -ENOENT);
	assert_int_equal(rs_param_get(state, "downtime-limits", value, 2), -ENOENT);
	assert_string_equal(plain_error_text(state, RS_ERROR_OF_CALL),
			    "there is no parameter 'downtime-limits'");
	assert_int_equal(rs_param_set(state, "downtime-limit", "2000001"), -ERANGE);
	assert_non_null(strstr(plain_error_text(state, RS_ERROR_OF_CALL),
			       "parameter downtime-limit: '2000001' is not a number from 0 to "
			       "2000000 ms"));
	assert_int_equal(rs_param_set(state, "machine", "pc"), 0);
	assert_int_equal(rs_param_get(state, "machine", value, sizeof(value)), 2);
	rs_state_destroy(state);
}

/* Which may change while a migration runs, and which may not. */
static void live_parameters(void **unused)
{
	struct rs_state *state = plain_state(4096);
	uint8_t *memory = plain_memory_map(4096);
	const struct rs_param_info *info = NULL;
	struct rs_stream *stream;

	(void)unused;
	plain_region_add(state, "r", memory, 4096, 0);
	assert_int_equal(rs_stream_to_memory(1 << 20, &stream), 0);
	assert_int_equal(rs_save_setup(state, stream), 0);
	while ((info = rs_param_next(info)) != NULL) {
		assert_int_equal(rs_param_set(state, info->name, info->def),
				 info->live ? 0 : -EBUSY);
		if (!info->live)
			assert_non_null(
			    strstr(plain_error_text(state, RS_ERROR_OF_CALL), info->name));
	}
	rs_save_cleanup(state);
	while ((info = rs_param_next(info)) != NULL)
		assert_int_equal(rs_param_set(state, info->name, info->def), 0);
	rs_stream_close(stream, NULL);
	rs_state_destroy(state);
	plain_memory_unmap(memory, 4096);
}

static void errors(void **unused)
{
	struct rs_state *state = plain_state(4096);
	struct rs_error error = { 7, "left over" };

	(void)unused;
	for (int source = RS_ERROR_OF_MIGRATION; source <= RS_ERROR_OF_CALL; source++) {
		assert_int_equal(rs_error_get(state, (enum rs_error_source)source, &error), 0);
		assert_int_equal(error.code, 0);
		assert_string_equal(error.text, "");
	}
	rs_param_set(state, "nothing", "");
	assert_int_equal(rs_error_get(state, RS_ERROR_OF_CALL, NULL), -ENOENT);
	assert_int_equal(rs_error_get(state, RS_ERROR_OF_MIGRATION, &error), 0);
	rs_state_destroy(state);
}

static void names_of_statuses(void **unused)
{
	static const char *const names[] = { "none",       "setup",     "active",
					     "device",     "completed", "failed",
					     "cancelling", "cancelled", "in-doubt" };
	struct rs_state *state = plain_state(4096);

	(void)unused;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_string_equal(rs_status_name((enum rs_status)i), names[i]);
	assert_string_equal(rs_status_name((enum rs_status)99), "unknown");
	assert_int_equal(rs_migrate_status(state), RS_STATUS_NONE);
	rs_state_destroy(state);
}

/* What is missing is said at once, before anything begins. */
static void callbacks_and_streams_that_will_not_do(void **unused)
{
	struct rs_state *state = plain_state(4096);
	struct rs_vm_ops ops = { .size = sizeof(ops) };
	struct rs_stream *out, *in;

	(void)unused;
	assert_int_equal(rs_stream_to_memory(4096, &out), 0);
	assert_int_equal(rs_stream_from_memory("", 0, &in), 0);
	assert_int_equal(rs_migrate_out(state, out, &ops, NULL), -EINVAL);
	assert_non_null(strstr(plain_error_text(state, RS_ERROR_OF_CALL), "lacks resume"));
	assert_int_equal(rs_migrate_in(state, in, &ops, NULL), -EINVAL);
	assert_int_equal(rs_migrate_start_in(state, in, &ops, NULL), -EINVAL);
	ops.resume = (int (*)(void *, enum rs_resume))abort;
	assert_int_equal(rs_migrate_out(state, out, &ops, NULL), -EINVAL);
	assert_non_null(strstr(plain_error_text(state, RS_ERROR_OF_CALL), "lacks stop"));
	ops.stop = (int (*)(void *))abort;
	assert_int_equal(rs_migrate_out(state, in, &ops, NULL), -EINVAL);
	assert_non_null(strstr(plain_error_text(state, RS_ERROR_OF_CALL), "written"));
	assert_int_equal(rs_migrate_in(state, out, &ops, NULL), -EINVAL);
	assert_non_null(strstr(plain_error_text(state, RS_ERROR_OF_CALL), "read"));
	ops.size = 1;
	assert_int_equal(rs_migrate_out(state, out, &ops, NULL), -EINVAL);
	assert_int_equal(rs_migrate_status(state), RS_STATUS_NONE);
	assert_int_equal(rs_error_get(state, RS_ERROR_OF_MIGRATION, NULL), 0);
	rs_stream_close(out, NULL);
	rs_stream_close(in, NULL);
	rs_state_destroy(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_version),
		cmocka_unit_test(page_sizes),
		cmocka_unit_test(configurations_of_other_versions),
		cmocka_unit_test(parameters),
		cmocka_unit_test(live_parameters),
		cmocka_unit_test(errors),
		cmocka_unit_test(names_of_statuses),
		cmocka_unit_test(callbacks_and_streams_that_will_not_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
