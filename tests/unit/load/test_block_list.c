/* SPDX-License-Identifier: MIT */
/* The list of regions at the head of a body. */
#include "load/load.h"

#include "support/assemble.h"
#include "support/loading.h"
#include "support/plain_region.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define PAGE 4096u
#define BYTES (16 * PAGE)
#define EOS "64:10"

static uint8_t *memory;
static struct rs_region *a, *resizable;
static struct rs_stream *stream;

/* What the VMM is told, in words. */
static char heard[256];
static int vmm_code;
static struct rs_state *announce_into; /* NULL: forget to add what is announced */

static int announced(void *opaque, const char *name, uint64_t used_bytes)
{
	char word[64];

	assert_ptr_equal(opaque, heard);
	snprintf(word, sizeof(word), "new:%s:%llu ", name, (unsigned long long)used_bytes);
	strcat(heard, word);
	if (vmm_code == 0 && announce_into != NULL)
		plain_region_add(announce_into, name, memory, BYTES, RS_REGION_RESIZABLE);
	return vmm_code;
}

static int resized(void *opaque, struct rs_region *region, uint64_t used_bytes)
{
	char word[64];

	assert_ptr_equal(opaque, heard);
	assert_int_equal(rs_region_used_bytes(region), used_bytes);
	snprintf(word, sizeof(word), "size:%s:%llu ", rs_region_name(region),
		 (unsigned long long)used_bytes);
	strcat(heard, word);
	return vmm_code;
}

static const struct rs_load_ops load_ops = {
	.size = sizeof(load_ops),
	.region_announced = announced,
	.region_resized = resized,
};

static void warn(void *opaque, const char *text)
{
	(void)opaque;
	strcat(heard, "warning:");
	strcat(heard, text);
}

static int setup(void **state)
{
	struct rs_region_config config = {
		.size = sizeof(config),
		.name = "r",
		.used_bytes = 4 * PAGE,
		.max_bytes = BYTES,
		.flags = RS_REGION_RESIZABLE,
	};

	memory = plain_memory_map(BYTES);
	config.host = memory;
	*state = plain_state(PAGE);
	a = plain_region_add(*state, "a", memory, 2 * PAGE, 0);
	assert_int_equal(rs_region_add(*state, &config, &resizable), 0);
	stream = NULL;
	heard[0] = '\0';
	vmm_code = 0;
	announce_into = *state;
	return 0;
}

static int teardown(void **state)
{
	loading_end(*state, &stream);
	rs_state_destroy(*state);
	plain_memory_unmap(memory, BYTES);
	return 0;
}

static int load(struct rs_state *state, const struct rs_load_ops *ops, const char *text)
{
	static uint8_t data[1 << 16];
	size_t bytes = assemble(data, sizeof(data), text);

	stream = loading_begin(state, data, bytes, ops, heard);
	state->session.warn = warn;
	return rs_ram_load(state, stream, 4);
}

static void check_error(struct rs_state *state, const char *text)
{
	plain_error_check(state, RS_ERROR_OF_MIGRATION, text);
}

/* ---- good lists ---------------------------------------------------------------------------- */

static void as_it_is(void **state)
{
	assert_int_equal(load(*state, NULL, "64:6004 s:a 64:2000 s:r 64:4000 " EOS), 0);
	assert_string_equal(heard, "");
	assert_int_equal(rs_counter_get(((struct rs_state *)*state)->counters.total), 6 * PAGE);
}

static void in_another_order_and_again(void **state)
{
	assert_int_equal(load(*state, NULL,
			      "64:6004 s:r 64:4000 s:a 64:2000 "
			      "64:6004 s:a 64:2000 s:r 64:4000 " EOS),
			 0);
	assert_string_equal(heard, "");
}

/* As in QEMU it is no error; but it is odd, and somebody may want to know. */
static void a_region_that_is_not_listed(void **state)
{
	assert_int_equal(load(*state, NULL, "64:2004 s:a 64:2000 " EOS), 0);
	assert_string_equal(heard, "warning:region r is not in the stream; it stays as it is");
}

static void resizing(void **state)
{
	static const struct {
		const char *text, *heard;
		uint64_t bytes;
	} cases[] = {
		{ "64:3004 s:a 64:2000 s:r 64:1000 " EOS, "size:r:4096 ", PAGE },
		{ "64:12004 s:a 64:2000 s:r 64:10000 " EOS, "size:r:65536 ", BYTES },
		{ "64:6004 s:a 64:2000 s:r 64:4000 " EOS, "size:r:16384 ", 4 * PAGE },
		{ "64:6004 s:a 64:2000 s:r 64:4000 " EOS, "", 4 * PAGE },
		/* twice in a stream */
		{ "64:3004 s:a 64:2000 s:r 64:1000 64:4004 s:a 64:2000 s:r 64:2000 " EOS,
		  "size:r:4096 size:r:8192 ", 2 * PAGE },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		heard[0] = '\0';
		assert_int_equal(load(*state, &load_ops, cases[i].text), 0);
		assert_string_equal(heard, cases[i].heard);
		assert_int_equal(rs_region_used_bytes(resizable), cases[i].bytes);
		loading_end(*state, &stream);
	}
	/* Nobody need be told. */
	assert_int_equal(load(*state, NULL, cases[0].text), 0);
	assert_int_equal(rs_region_used_bytes(resizable), PAGE);
}

static void announcing(void **state)
{
	assert_int_equal(load(*state, &load_ops,
			      "64:17004 s:a 64:2000 s:new 64:10000 s:other 64:1000 s:r 64:4000 "
			      "64:f008 s:new p:aa 64:0008 s:other p:bb " EOS),
			 0);
	/* The second one was added longer than the stream has it. */
	assert_string_equal(heard, "new:new:65536 new:other:4096 size:other:4096 ");
	assert_int_equal(rs_region_used_bytes(rs_region_find(*state, "new")), BYTES);
	assert_int_equal(rs_region_used_bytes(rs_region_find(*state, "other")), PAGE);
	assert_int_equal(memory[15 * PAGE], 0xaa);
	assert_int_equal(memory[0], 0xbb);
}

/* ---- bad ones ------------------------------------------------------------------------------ */

static void bad_lists(void **state)
{
	static const struct {
		const char *what, *text;
		int code;
		const char *error;
	} cases[] = {
		{ "unknown", "64:3004 s:a 64:2000 s:x 64:1000 " EOS, -EINVAL,
		  "region x of the stream is unknown here" },
		{ "twice", "64:4004 s:a 64:2000 s:a 64:2000 " EOS, -EINVAL,
		  "region a is listed twice" },
		{ "shorter", "64:1004 s:a 64:1000 " EOS, -EINVAL,
		  "region a has 8192 bytes here and 4096 in the stream, and is not resizable" },
		{ "longer", "64:3004 s:a 64:3000 " EOS, -EINVAL, "region a has 8192 bytes here" },
		{ "too long", "64:11004 s:r 64:11000 " EOS, -EINVAL,
		  "region r has at most 65536 bytes here and 69632 in the stream" },
		{ "no length", "64:2004 s:a 64:0 " EOS, -EINVAL, "list of regions: a has 0 bytes" },
		{ "half a page", "64:2004 s:a 64:800 " EOS, -EINVAL,
		  "list of regions: a has 2048 bytes" },
		{ "more than the total", "64:1004 s:a 64:2000 " EOS, -EINVAL,
		  "list of regions: a has 8192 bytes where 4096 are left" },
		{ "sum beyond the total", "64:3004 s:a 64:2000 s:r 64:4000 " EOS, -EINVAL,
		  "list of regions: r has 16384 bytes where 4096 are left" },
		{ "a length that wraps", "64:6004 s:a 64:2000 s:r 64:fffffffffffff000 " EOS,
		  -EINVAL, "list of regions: r has" },
		/* the total stays open, and the next word is taken for an entry */
		{ "sum below the total", "64:8004 s:a 64:2000 s:r 64:4000 " EOS, -EINVAL,
		  "name is empty" },
		{ "endless", "64:fffffffffffff004 s:a 64:2000 s:r 64:4000 s:a 64:2000 ", -EINVAL,
		  "region a is listed twice" },
		{ "cut in a name", "64:6004 8:5 t:ab", -ENODATA, "ended" },
		{ "cut in a length", "64:6004 s:a 32:0", -ENODATA, "ended" },
		{ "cut between", "64:6004 s:a 64:2000", -ENODATA, "ended" },
		{ "empty name", "64:6004 s: 64:2000", -EINVAL, "name is empty" },
		{ "zero byte", "64:6004 8:2 t:a 8:0 64:2000", -EINVAL, "zero byte" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("%s\n", cases[i].what);
		assert_int_equal(load(*state, NULL, cases[i].text), cases[i].code);
		check_error(*state, cases[i].error);
		assert_int_equal(a->pins, 0);
		assert_int_equal(resizable->pins, 0);
		loading_end(*state, &stream);
	}
}

static void a_vmm_that_refuses(void **state)
{
	vmm_code = -EDQUOT;
	assert_int_equal(load(*state, &load_ops, "64:1004 s:x 64:1000 " EOS), -EDQUOT);
	check_error(*state, "region x, 4096 bytes, was announced and refused");
	loading_end(*state, &stream);
	assert_int_equal(load(*state, &load_ops, "64:1004 s:r 64:1000 " EOS), -EDQUOT);
	check_error(*state, "region r: the VMM refused to resize it to 4096 bytes");
	loading_end(*state, &stream);
	vmm_code = 0;
	announce_into = NULL;
	assert_int_equal(load(*state, &load_ops, "64:1004 s:x 64:1000 " EOS), -EINVAL);
	check_error(*state, "region x was announced, but not added");
}

static void a_read_only_region(void **state)
{
	plain_region_add(*state, "rom", memory, PAGE, RS_REGION_READONLY);
	assert_int_equal(load(*state, NULL, "64:1004 s:rom 64:1000 " EOS), -EROFS);
	check_error(*state, "region rom");
	loading_end(*state, &stream);
	/* Not in the stream, it does not matter. */
	assert_int_equal(load(*state, NULL, "64:2004 s:a 64:2000 " EOS), 0);
}

/* ---- x-ignore-shared ----------------------------------------------------------------------- */

static void addresses(void **state)
{
	static const struct {
		const char *what, *text;
		int code;
		const char *error;
	} cases[] = {
		{ "equal", "64:3004 s:a 64:2000 64:77 s:i 64:1000 64:123000 " EOS, 0, "" },
		{ "other", "64:3004 s:a 64:2000 64:0 s:i 64:1000 64:124000 " EOS, -EINVAL,
		  "region i is ignored, and lies at guest address 0x123000 here and 0x124000 in "
		  "the stream" },
		{ "no address", "64:2004 s:a 64:2000 " EOS, -EINVAL, "" },
	};
	const struct rs_region_config config = {
		.size = sizeof(config),
		.name = "i",
		.host = memory,
		.used_bytes = PAGE,
		.guest_address = 0x123000,
		.flags = RS_REGION_IGNORED | RS_REGION_READONLY,
	};

	assert_int_equal(rs_region_add(*state, &config, NULL), 0);
	assert_int_equal(rs_param_set(*state, "x-ignore-shared", "on"), 0);
	for (size_t i = 0; i < 2; i++) {
		print_message("%s\n", cases[i].what);
		assert_int_equal(load(*state, NULL, cases[i].text), cases[i].code);
		check_error(*state, cases[i].error);
		loading_end(*state, &stream);
	}
	/* Where addresses are due, the next word is one. */
	assert_true(load(*state, NULL, cases[2].text) < 0);
}

/* ---- the flag ------------------------------------------------------------------------------ */

/* It is a promise about the first load only. */
static void fresh_is_used_up(void **state)
{
	struct rs_region *fresh = plain_region_add(*state, "f", memory, PAGE, RS_REGION_FRESH);

	assert_int_equal(load(*state, NULL, "64:2004 s:a 64:2000 " EOS), 0);
	assert_int_equal(rs_region_flags(fresh), RS_REGION_FRESH);
	loading_end(*state, &stream);
	assert_int_equal(load(*state, NULL, "64:1004 s:f 64:1000 " EOS), 0);
	assert_int_equal(rs_region_flags(fresh), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(as_it_is),
		TEST(in_another_order_and_again),
		TEST(a_region_that_is_not_listed),
		TEST(resizing),
		TEST(announcing),
		TEST(bad_lists),
		TEST(a_vmm_that_refuses),
		TEST(a_read_only_region),
		TEST(addresses),
		TEST(fresh_is_used_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
