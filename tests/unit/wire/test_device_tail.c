/* SPDX-License-Identifier: MIT */
#include "wire/device_tail.h"

#include "support/assemble.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define DEVICE "8:4 32:3 s:dev 32:0 32:1 64:1122334455667788 8:7e 32:3 "
#define OBJECT "{\"page_size\":4096,\"devices\":[]}" /* 0x1f bytes */
#define END "8:0 8:6 32:1f t:" OBJECT " "

static uint8_t data[65536];

static size_t make(const char *text)
{
	return assemble(data, sizeof(data), text);
}

/* Feed it in pieces of that many bytes. Returns how many it took. */
static size_t feed(struct rs_device_tail *tail, size_t bytes, size_t piece)
{
	size_t taken = 0;

	rs_device_tail_init(tail, 1 << 20);
	while (taken < bytes && !tail->whole) {
		size_t some = bytes - taken < piece ? bytes - taken : piece;
		size_t now = rs_device_tail_feed(tail, data + taken, some);

		assert_true(now == some || tail->whole);
		taken += now;
	}
	assert_int_equal(tail->bytes, taken);
	return taken;
}

static void ends(void **state)
{
	/* What stands before the true end; all of it belongs to devices. */
	static const char *const before[] = {
		"",
		DEVICE,
		DEVICE DEVICE,
		/* an end mark without a footer before it */
		"8:4 32:3 s:dev 32:0 32:1 8:0 8:6 32:1f t:" OBJECT " 8:7e 32:3 ",
		/* a footer, and no description behind the end mark */
		"8:4 32:3 s:dev 32:0 32:1 8:7e 32:3 8:0 8:7 32:1f t:" OBJECT " 8:7e 32:3 ",
		/* a length that the object does not have */
		DEVICE "8:0 8:6 32:20 t:" OBJECT " 8:7e 32:3 ",
		DEVICE "8:0 8:6 32:1e t:" OBJECT " 8:7e 32:3 ",
		DEVICE "8:0 8:6 32:0 t:" OBJECT " 8:7e 32:3 ",
		/* an object that is none */
		DEVICE "8:0 8:6 32:2 t:[] 8:7e 32:3 ",
		DEVICE "8:0 8:6 32:4 t:{[}] 8:7e 32:3 ",
		DEVICE "8:0 8:6 32:4 t:{}{} 8:7e 32:3 ",
		DEVICE "8:0 8:6 32:3 t:{%} 8:7e 32:3 ",
		DEVICE "8:0 8:6 32:5 t:{\"}\"] 8:7e 32:3 ",
		DEVICE "8:0 8:6 32:2 t:}{ 8:7e 32:3 ",
		/* a control character, and one in a string */
		DEVICE "8:0 8:6 32:3 t:{ 8:1 t:} 8:7e 32:3 ",
		DEVICE "8:0 8:6 32:5 t:{\" 8:a t:\"} 8:7e 32:3 ",
		/* longer than it may be */
		DEVICE "8:0 8:6 32:ffffffff t:{ 8:7e 32:3 ",
		/* the true mark within what looked like a description */
		DEVICE "8:0 8:6 32:1000 t:{\"~~ 8:7e 32:3 ",
		DEVICE "8:0 8:6 32:6 t:{\"~ 8:7e 32:3 ",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
		static const size_t pieces[] = { 1, 2, 3, 7, sizeof(data) };
		char text[1024];
		size_t end_mark = make(before[i]);

		snprintf(text, sizeof(text), "%s" END "t:behind", before[i]);
		size_t bytes = make(text);

		for (size_t j = 0; j < sizeof(pieces) / sizeof(pieces[0]); j++) {
			struct rs_device_tail tail;

			print_message("%zu, by %zu bytes\n", i, pieces[j]);
			assert_int_equal(feed(&tail, bytes, pieces[j]), bytes - strlen("behind"));
			assert_true(tail.whole);
			assert_int_equal(tail.end_mark, end_mark);
		}
	}
}

static void cut_anywhere(void **state)
{
	size_t bytes = make(DEVICE DEVICE END);

	(void)state;
	for (size_t have = 0; have < bytes; have++) {
		struct rs_device_tail tail;

		assert_int_equal(feed(&tail, have, sizeof(data)), have);
		assert_false(tail.whole);
	}
}

static void without_a_description(void **state)
{
	static const struct {
		const char *text;
		bool may_end;
	} cases[] = {
		{ "8:0", true },
		{ DEVICE "8:0", true },
		{ DEVICE, false },
		{ "8:4 32:3 s:dev 32:0 32:1 64:0", false },
		{ DEVICE "8:0 8:6", false },
		{ DEVICE "8:0 8:0", false },
		{ "", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rs_device_tail tail;

		feed(&tail, make(cases[i].text), 1);
		assert_false(tail.whole);
		assert_int_equal(rs_device_tail_may_end(&tail), cases[i].may_end);
	}
}

/* Brackets as deep as any description has them, and a little too deep. */
static void depth(void **state)
{
	(void)state;
	for (size_t arrays = RS_JSON_DEPTH_MAX - 2; arrays <= RS_JSON_DEPTH_MAX; arrays++) {
		size_t bytes = 0;
		struct rs_device_tail tail;
		uint8_t mark[] = { 0, 6, 0, 0, 0, (uint8_t)(2 * arrays + 2) };

		memcpy(data, mark, sizeof(mark));
		bytes = sizeof(mark);
		data[bytes++] = '{';
		memset(data + bytes, '[', arrays);
		memset(data + bytes + arrays, ']', arrays);
		bytes += 2 * arrays;
		data[bytes++] = '}';
		feed(&tail, bytes, 16);
		assert_int_equal(tail.whole, arrays < RS_JSON_DEPTH_MAX);
	}
}

static void strings(void **state)
{
	struct rs_device_tail tail;

	(void)state;
	feed(&tail, make("8:0 8:6 32:10 t:{\"\\\"}]\":\"\\\\\"}    t:"), 1);
	assert_false(tail.whole);
	feed(&tail, make("8:0 8:6 32:d t:{\"\\\"}]\":\"\\\\\"}"), 1);
	assert_true(tail.whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ends),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(without_a_description),
		cmocka_unit_test(depth),
		cmocka_unit_test(strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
