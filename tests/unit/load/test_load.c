/* SPDX-License-Identifier: MIT */
/* Bodies of RAM that are good, and many that are not: each its own clear error, and no byte of
 * memory touched that the records before it did not mean. */
#include "load/load.h"

#include "support/assemble.h"
#include "support/fake_stream.h"
#include "support/loading.h"
#include "support/plain_region.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define PAGE 4096u
#define PAGES 8u
#define BYTES (PAGES * PAGE)
#define UNTOUCHED 0xee

static uint8_t *memory; /* of region "a", then of "b", then of "i" */
static struct rs_region *a, *b;
static struct rs_stream *stream;
static uint8_t data[1 << 18];

static int setup(void **state)
{
	memory = plain_memory_map(3 * BYTES);
	memset(memory, UNTOUCHED, 3 * BYTES);
	*state = plain_state(PAGE);
	a = plain_region_add(*state, "a", memory, BYTES, 0);
	b = plain_region_add(*state, "b", memory + BYTES, BYTES, 0);
	stream = NULL;
	return 0;
}

static int teardown(void **state)
{
	loading_end(*state, &stream);
	rs_state_destroy(*state);
	plain_memory_unmap(memory, 3 * BYTES);
	return 0;
}

static void begin(struct rs_state *state, const char *text, bool runs)
{
	size_t bytes = assemble(data, sizeof(data), text);

	stream = loading_begin(state, data, bytes, NULL, NULL);
	if (runs)
		rs_ram_load_allow_runs(state);
}

#define LIST "64:10004 s:a 64:8000 s:b 64:8000 "
#define EOS "64:10 "

static void check_page(const uint8_t *region_memory, unsigned page, uint8_t byte)
{
	for (unsigned i = 0; i < PAGE; i++)
		assert_int_equal(region_memory[page * PAGE + i], byte);
}

static void check_untouched_but(const uint8_t *region_memory, unsigned touched_pages)
{
	for (unsigned page = 0; page < PAGES; page++)
		if (!(touched_pages >> page & 1))
			check_page(region_memory, page, UNTOUCHED);
}

/* ---- good bodies --------------------------------------------------------------------------- */

static void records_of_qemus_form(void **state)
{
	struct rs_counters *counters = &((struct rs_state *)*state)->counters;

	begin(*state,
	      LIST "64:0008 s:a p:11 " /* page 0 */
		   "64:1022 8:0 "      /* page 1, same region */
		   "64:7028 p:17 "     /* the last page */
		   "64:200 "           /* a flush means nothing */
		   "64:2008 s:b p:22 " EOS,
	      false);
	assert_int_equal(rs_ram_load(*state, stream, 4), 0);
	check_page(memory, 0, 0x11);
	check_page(memory, 1, 0);
	check_page(memory, 7, 0x17);
	check_untouched_but(memory, 1 << 0 | 1 << 1 | 1 << 7);
	check_page(memory + BYTES, 2, 0x22);
	check_untouched_but(memory + BYTES, 1 << 2);
	assert_int_equal(rs_counter_get(counters->normal), 3);
	assert_int_equal(rs_counter_get(counters->duplicate), 1);
	assert_int_equal(rs_counter_get(counters->total), 2 * BYTES);
	assert_int_equal(rs_counter_get(counters->transferred), 3 * PAGE + 10 + 9 + 8 + 10);
}

/* CONTINUE reaches over the end of a body; the last content of a page wins. */
static void several_bodies(void **state)
{
	begin(*state,
	      LIST "64:0008 s:b p:11 " EOS "64:0028 p:22 64:1028 p:33 " EOS EOS
		   "64:1028 p:44 64:1022 8:0 64:1028 p:55 " EOS,
	      false);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(rs_ram_load(*state, stream, 4), 0);
	check_page(memory + BYTES, 0, 0x22);
	check_page(memory + BYTES, 1, 0x55);
	check_untouched_but(memory, 0);
}

static void runs(void **state)
{
	begin(*state,
	      LIST "64:100c s:a 64:3000 p:11 p:22 p:33 "
		   "64:3026 64:2000 "
		   "64:0006 s:b 64:8000 "
		   "64:702c 64:1000 p:77 " EOS,
	      true);
	assert_int_equal(rs_ram_load(*state, stream, 4), 0);
	check_page(memory, 1, 0x11);
	check_page(memory, 2, 0x22);
	check_page(memory, 3, 0);
	check_page(memory, 4, 0);
	check_untouched_but(memory, 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4);
	for (unsigned page = 0; page < 7; page++)
		check_page(memory + BYTES, page, 0);
	check_page(memory + BYTES, 7, 0x77);
}

/* Not a byte behind the body is taken: the VMM's own framing follows. */
static void what_follows_is_left(void **state)
{
	begin(*state, LIST EOS "8:7e 32:2", false);
	assert_int_equal(rs_ram_load(*state, stream, 4), 0);
	assert_int_equal(rs_stream_get_u8(stream), 0x7e);
	assert_int_equal(rs_stream_get_be32(stream), 2);
}

/* ---- bad ones ------------------------------------------------------------------------------ */

static void bad_bodies(void **state)
{
	static const struct {
		const char *what, *text;
		int code;
		const char *error; /* a part of it */
		unsigned touched;  /* pages of "a" */
	} cases[] = {
		{ "no list", "64:0008 s:a p:11 " EOS, -EINVAL,
		  "region a, offset 0x0: a page of a region that was not listed", 0 },
		{ "unknown region", LIST "64:3008 s:c p:11 " EOS, -EINVAL,
		  "record at offset 0x3000: region c is unknown here", 0 },
		{ "a longer name", LIST "64:0008 s:aa p:11 " EOS, -EINVAL, "region aa is unknown",
		  0 },
		{ "CONTINUE at first", LIST "64:5028 p:11 " EOS, -EINVAL,
		  "record at offset 0x5000 goes on", 0 },
		{ "past the end", LIST "64:8008 s:a p:11 " EOS, -EINVAL,
		  "region a, offset 0x8000: 4096 bytes there lie outside its 32768 bytes", 0 },
		{ "far past the end", LIST "64:fffffffffffff008 s:a p:11 " EOS, -EINVAL,
		  "region a, offset 0xfffffffffffff000", 0 },
		{ "zero page past the end", LIST "64:8002 s:a 8:0 " EOS, -EINVAL,
		  "region a, offset 0x8000", 0 },
		{ "run across the end", LIST "64:7006 s:a 64:2000 " EOS, -EINVAL,
		  "region a, offset 0x7000: 8192 bytes there lie outside its 32768 bytes", 0 },
		{ "endless run", LIST "64:1006 s:a 64:fffffffffffff000 " EOS, -EINVAL,
		  "region a, offset 0x1000", 0 },
		{ "content run across the end", LIST "64:700c s:a 64:2000 p:11 p:22 " EOS, -EINVAL,
		  "region a, offset 0x7000", 0 },
		{ "run of nothing", LIST "64:1006 s:a 64:0 " EOS, -EINVAL, "not whole pages", 0 },
		{ "run of half a page", LIST "64:1006 s:a 64:800 " EOS, -EINVAL, "not whole pages",
		  0 },
		{ "fill", LIST "64:1002 s:a 8:a5 " EOS, -EINVAL,
		  "region a, offset 0x1000: a zero page with the fill 0xa5", 0 },
		{ "no flags", LIST "64:1000 " EOS, -EINVAL, "record 0x1000", 0 },
		{ "two kinds", LIST "64:100a s:a p:11 " EOS, -EINVAL, "flags 0xa", 0 },
		{ "unknown flag", LIST "64:1408 s:a p:11 " EOS, -EINVAL, "flags 0x408", 0 },
		{ "obsolete flag", LIST "64:1 " EOS, -EINVAL, "flags 0x1", 0 },
		{ "delta to nothing", LIST "64:1040 s:a 8:1 16:0 " EOS, -EINVAL,
		  "region a, offset 0x1000: an XBZRLE delta to a page that never came", 0 },
		{ "delta to a page beside one that came",
		  LIST "64:1008 s:a p:11 64:2060 8:1 16:3 16:0 8:aa " EOS, -EINVAL,
		  "region a, offset 0x2000: an XBZRLE delta to a page that never came", 1 << 1 },
		{ "delta past the end", LIST "64:8040 s:a 8:1 16:3 16:0 8:aa " EOS, -EINVAL,
		  "region a, offset 0x8000: 4096 bytes there lie outside its 32768 bytes", 0 },
		{ "malformed delta", LIST "64:1008 s:a p:11 64:1060 8:1 16:3 16:3 8:aa " EOS,
		  -EINVAL, "region a, offset 0x1000: a malformed XBZRLE delta", 1 << 1 },
		{ "delta of another encoding",
		  LIST "64:1008 s:a p:11 64:1060 8:3 16:3 16:1 8:aa " EOS, -EINVAL,
		  "record 0x1060: an XBZRLE page of the unknown encoding 3", 1 << 1 },
		{ "delta longer than a page",
		  LIST "64:1008 s:a p:11 64:1060 8:1 16:1001 p:11 8:11 " EOS, -EINVAL,
		  "record 0x1060: a delta of 4097 bytes is longer than a page", 1 << 1 },
		{ "compressed", LIST "64:1100 s:a 32:0 " EOS, -EOPNOTSUPP, "compressed", 0 },
		{ "RDMA", LIST "64:80 " EOS, -EOPNOTSUPP, "RDMA", 0 },
		{ "empty name", LIST "64:1008 s: p:11 " EOS, -EINVAL, "name is empty", 0 },
		{ "zero byte in a name", LIST "64:1008 16:200 8:61 p:11 " EOS, -EINVAL, "zero byte",
		  0 },
		{ "after a good one", LIST "64:2008 s:a p:11 64:9028 p:22 " EOS, -EINVAL,
		  "region a, offset 0x9000", 1 << 2 },
		/* the list itself: see test_block_list.c */
		{ "empty stream", "", -ENODATA, "ended", 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("%s\n", cases[i].what);
		memset(memory, UNTOUCHED, 3 * BYTES);
		begin(*state, cases[i].text, true);
		assert_int_equal(rs_ram_load(*state, stream, 4), cases[i].code);
		assert_int_equal(rs_session_code(*state), cases[i].code);
		assert_non_null(
		    strstr(plain_error_text(*state, RS_ERROR_OF_MIGRATION), cases[i].error));
		check_untouched_but(memory, cases[i].touched);
		check_untouched_but(memory + BYTES, 0);
		assert_int_equal(a->pins, 0);
		loading_end(*state, &stream);
	}
}

static void runs_that_were_not_agreed_on(void **state)
{
	static const char *const bodies[] = { LIST "64:1006 s:a 64:1000 " EOS,
					      LIST "64:100c s:a 64:1000 p:11 " EOS };

	for (size_t i = 0; i < 2; i++) {
		begin(*state, bodies[i], false);
		assert_int_equal(rs_ram_load(*state, stream, 4), -EINVAL);
		check_untouched_but(memory, 0);
		loading_end(*state, &stream);
	}
}

static void other_versions(void **state)
{
	static const uint32_t versions[] = { 0, 3, 5, UINT32_MAX };

	for (size_t i = 0; i < 4; i++) {
		begin(*state, LIST EOS, false);
		assert_int_equal(rs_ram_load(*state, stream, versions[i]), -EINVAL);
		assert_non_null(
		    strstr(plain_error_text(*state, RS_ERROR_OF_MIGRATION), "instead of 4"));
		loading_end(*state, &stream);
	}
}

static void a_page_of_an_ignored_region(void **state)
{
	const struct rs_region_config config = {
		.size = sizeof(config),
		.name = "i",
		.host = memory + 2 * BYTES,
		.used_bytes = BYTES,
		.guest_address = 0x1000,
		.flags = RS_REGION_IGNORED,
	};

	assert_int_equal(rs_region_add(*state, &config, NULL), 0);
	assert_int_equal(rs_param_set(*state, "x-ignore-shared", "on"), 0);
	begin(*state,
	      "64:18004 s:a 64:8000 64:0 s:b 64:8000 64:0 s:i 64:8000 64:1000 "
	      "64:0008 s:a p:11 64:0008 s:i p:22 " EOS,
	      false);
	assert_int_equal(rs_ram_load(*state, stream, 4), -EINVAL);
	assert_non_null(strstr(plain_error_text(*state, RS_ERROR_OF_MIGRATION),
			       "region i, offset 0x0: a page of an ignored region"));
	check_page(memory, 0, 0x11);
	check_untouched_but(memory + 2 * BYTES, 0);
}

/* Cut at every byte: never a hang, never success, always -ENODATA with how far it came. */
static void cut_anywhere(void **state)
{
	static const char text[] = LIST "64:0008 s:a p:11 64:1022 8:0 64:2026 64:2000 "
					"64:402c 64:2000 p:44 p:55 "
					"64:1060 8:1 16:7 16:0101 8:aa 16:0102 16:bbcc " EOS;
	size_t whole = assemble(data, sizeof(data), text);

	for (size_t bytes = 0; bytes < whole; bytes += bytes % 4096 < 80 ? 1 : 511) {
		begin(*state, text, true);
		rs_stream_close(stream, NULL);
		assert_int_equal(rs_stream_from_memory(data, bytes, &stream), 0);
		assert_int_equal(rs_ram_load(*state, stream, 4), -ENODATA);
		assert_non_null(strstr(plain_error_text(*state, RS_ERROR_OF_MIGRATION), "ended"));
		loading_end(*state, &stream);
	}
}

/* The same in the smallest and in odd pieces, from a stream that stutters. */
static void in_any_pieces(void **state)
{
	static const char text[] = LIST "64:0008 s:a p:11 64:1022 8:0 64:2026 64:2000 "
					"64:402c 64:2000 p:44 p:55 "
					"64:1060 8:1 16:7 16:0101 8:aa 16:0102 16:bbcc " EOS;
	size_t bytes = assemble(data, sizeof(data), text);

	for (uint64_t seed = 0; seed < 20; seed++) {
		const struct fake_options options = { .max_bytes = seed == 0 ? 1 : 0,
						      .seed = seed };
		struct rs_stream *writer, *reader;

		assert_int_equal(fake_stream_pipe(&options, &writer, &reader), 0);
		rs_stream_put_bytes(writer, data, bytes);
		assert_int_equal(rs_stream_flush(writer), 0);
		memset(memory, UNTOUCHED, 3 * BYTES);
		begin(*state, "", true);
		rs_session_detach(*state);
		assert_int_equal(rs_session_attach(*state, reader), 0);
		assert_int_equal(rs_ram_load(*state, reader, 4), 0);
		check_page(memory, 0, 0x11);
		assert_memory_equal(memory + PAGE, "\0\xaa\0\xbb\xcc", 6);
		check_page(memory, 2, 0);
		check_page(memory, 3, 0);
		check_page(memory, 4, 0x44);
		check_page(memory, 5, 0x55);
		check_untouched_but(memory, 0x3f);
		loading_end(*state, &stream);
		rs_stream_close(writer, NULL);
		rs_stream_close(reader, NULL);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(records_of_qemus_form),
		TEST(several_bodies),
		TEST(runs),
		TEST(what_follows_is_left),
		TEST(bad_bodies),
		TEST(runs_that_were_not_agreed_on),
		TEST(other_versions),
		TEST(a_page_of_an_ignored_region),
		TEST(cut_anywhere),
		TEST(in_any_pieces),
	};

	(void)b;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
