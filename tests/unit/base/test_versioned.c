/* SPDX-License-Identifier: MIT */
#include "base/versioned.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

struct known {
	size_t size;
	int first;
	int second;
};

struct newer {
	struct known known;
	char tail[3];
};

static void the_same_version_is_copied(void **state)
{
	const struct known from = { sizeof(from), 1, 2 };
	struct known to;

	(void)state;
	assert_int_equal(rs_versioned_copy(&to, sizeof(to), &from, from.size), 0);
	assert_memory_equal(&to, &from, sizeof(to));
}

static void what_an_older_version_lacks_is_zero(void **state)
{
	const struct known from = { offsetof(struct known, second), 1, 2 };
	struct known to;

	(void)state;
	memset(&to, 0xff, sizeof(to));
	assert_int_equal(rs_versioned_copy(&to, sizeof(to), &from, from.size), 0);
	assert_int_equal(to.first, 1);
	assert_int_equal(to.second, 0);
}

static void a_newer_version_is_taken_if_its_tail_is_zero(void **state)
{
	struct newer from = { { sizeof(from), 1, 2 }, { 0 } };
	struct known to;
	size_t i;

	(void)state;
	/* Padding is part of the tail: a designated initializer leaves it open. */
	memset((char *)&from + sizeof(to), 0, sizeof(from) - sizeof(to));
	assert_int_equal(rs_versioned_copy(&to, sizeof(to), &from, from.known.size), 0);
	assert_int_equal(to.second, 2);
	for (i = 0; i < sizeof(from.tail); i++) {
		from.tail[i] = 1;
		assert_int_equal(rs_versioned_copy(&to, sizeof(to), &from, sizeof(from)), -EINVAL);
		from.tail[i] = 0;
	}
}

static void a_size_that_cannot_hold_itself_is_refused(void **state)
{
	const struct known from = { 0 };
	struct known to;
	size_t bytes;

	(void)state;
	for (bytes = 0; bytes < sizeof(size_t); bytes++)
		assert_int_equal(rs_versioned_copy(&to, sizeof(to), &from, bytes), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_version_is_copied),
		cmocka_unit_test(what_an_older_version_lacks_is_zero),
		cmocka_unit_test(a_newer_version_is_taken_if_its_tail_is_zero),
		cmocka_unit_test(a_size_that_cannot_hold_itself_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
