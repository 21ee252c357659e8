/* SPDX-License-Identifier: MIT */
#include "base/error.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void the_first_failure_wins(void **state)
{
	struct rs_error error = { 0 };

	(void)state;
	assert_int_equal(rs_error_setf(&error, -EINVAL, "region %s: %d", "r", 7), -EINVAL);
	assert_int_equal(rs_error_setf(&error, -EIO, "something else"), -EIO);
	assert_int_equal(error.code, -EINVAL);
	assert_string_equal(error.text, "region r: 7");
}

static void nobody_need_listen(void **state)
{
	(void)state;
	assert_int_equal(rs_error_setf(NULL, -ENOSPC, "%s", "unheard"), -ENOSPC);
}

static void a_text_that_is_too_long_is_cut(void **state)
{
	char *text = malloc(2 * RS_ERROR_TEXT_BYTES);
	struct rs_error error = { 0 };

	(void)state;
	assert_non_null(text);
	memset(text, 'x', 2 * RS_ERROR_TEXT_BYTES);
	text[2 * RS_ERROR_TEXT_BYTES - 1] = '\0';
	rs_error_setf(&error, -EINVAL, "%s", text);
	assert_int_equal(strlen(error.text), RS_ERROR_TEXT_BYTES - 1);
	assert_memory_equal(error.text, text, RS_ERROR_TEXT_BYTES - 1);
	free(text);
}

static void every_errno_has_words(void **state)
{
	(void)state;
	assert_string_equal(rs_errno_text(-ENOSPC), "No space left on device");
	assert_string_equal(rs_errno_text(-EPIPE), "Broken pipe");
	assert_string_equal(rs_errno_text(-99999), "unknown error");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_failure_wins),
		cmocka_unit_test(nobody_need_listen),
		cmocka_unit_test(a_text_that_is_too_long_is_cut),
		cmocka_unit_test(every_errno_has_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
