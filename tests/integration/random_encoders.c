/* SPDX-License-Identifier: MIT */
#include "random_encoders.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

static void set(struct guest *guest, const char *name, const char *value)
{
	assert_int_equal(rs_param_set(guest->state, name, value), 0);
}

static void set_number(struct guest *guest, const char *name, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	set(guest, name, text);
}

void random_compress(struct test_random *random, struct guest *from, struct guest *to)
{
	bool on = test_random_one_in(random, 2);

	set(from, "compress", on ? "on" : "off");
	/* A destination at which it is on takes what comes. */
	set(to, "compress", on || test_random_one_in(random, 2) ? "on" : "off");
	set_number(from, "compress-level", test_random_below(random, 10));
	set_number(from, "compress-threads", 1 + test_random_below(random, 4));
	set(from, "compress-wait-thread", test_random_one_in(random, 3) ? "off" : "on");
	set_number(to, "decompress-threads", 1 + test_random_below(random, 4));
}
