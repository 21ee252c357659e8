/* SPDX-License-Identifier: MIT */
/* Pages that come as deltas to what they were before. */
#include "load/load.h"

#include "support/assemble.h"
#include "support/fake_stream.h"
#include "support/loading.h"
#include "support/plain_region.h"

#include <errno.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#define PAGE 4096u
#define PAGES 8u
#define BYTES (PAGES * PAGE)
#define UNTOUCHED 0xee

static uint8_t *memory; /* of region "a" */
static struct rs_region *a;
static struct rs_stream *stream;
static uint8_t data[1 << 16];

static int setup(void **state)
{
	memory = plain_memory_map(BYTES);
	memset(memory, UNTOUCHED, BYTES);
	*state = plain_state(PAGE);
	a = plain_region_add(*state, "a", memory, BYTES, 0);
	stream = NULL;
	return 0;
}

static int teardown(void **state)
{
	loading_end(*state, &stream);
	rs_state_destroy(*state);
	plain_memory_unmap(memory, BYTES);
	return 0;
}

static void begin(struct rs_state *state, size_t bytes, const struct rs_load_ops *ops)
{
	stream = loading_begin(state, data, bytes, ops, NULL);
}

static void begin_text(struct rs_state *state, const char *text)
{
	begin(state, assemble(data, sizeof(data), text), NULL);
}

#define LIST "64:8004 s:a 64:8000 "
#define EOS "64:10 "

static void check_page(unsigned page, uint8_t byte)
{
	for (unsigned i = 0; i < PAGE; i++)
		assert_int_equal(memory[page * PAGE + i], byte);
}

static void check_untouched_but(unsigned touched_pages)
{
	for (unsigned page = 0; page < PAGES; page++)
		if (!(touched_pages >> page & 1))
			check_page(page, UNTOUCHED);
}

static void deltas(void **state)
{
	struct rs_counters *counters = &((struct rs_state *)*state)->counters;

	begin_text(*state, LIST "64:0008 s:a p:11 64:1022 8:0 64:2022 8:0 " EOS
				"64:0060 8:1 16:3 16:0501 8:aa "
				"64:1040 s:a 8:1 16:4 16:0002 16:bbcc "
				"64:0060 8:1 16:0 "
				"64:0060 8:1 16:3 16:0601 8:dd " EOS);
	assert_int_equal(rs_ram_load(*state, stream, 4), 0);
	assert_true(rs_bitmap_test(&a->received, 1) && !rs_bitmap_test(&a->written, 1));
	assert_int_equal(rs_ram_load(*state, stream, 4), 0);
	assert_memory_equal(memory, "\x11\x11\x11\x11\x11\xaa\xdd\x11", 8);
	assert_memory_equal(memory + PAGE, "\xbb\xcc\0", 3);
	memory[5] = memory[6] = 0x11;
	memory[PAGE] = memory[PAGE + 1] = 0;
	check_page(0, 0x11);
	check_page(1, 0);
	check_untouched_but(1 << 0 | 1 << 1 | 1 << 2);
	/* A delta puts content there, after which a zero page has something to clear. */
	assert_true(rs_bitmap_test(&a->written, 1) && !rs_bitmap_test(&a->written, 2));
	assert_int_equal(rs_counter_get(counters->normal), 1);
	assert_int_equal(rs_counter_get(counters->duplicate), 2);
	assert_int_equal(rs_counter_get(counters->xbzrle_pages), 4);
	assert_int_equal(rs_counter_get(counters->xbzrle_bytes), 3 + 3 + 2 + 3 + 4 + 3 + 3 + 3);
	assert_int_equal(rs_counter_get(counters->transferred),
			 PAGE + 10 + 9 + 9 + 4 * 8 + rs_counter_get(counters->xbzrle_bytes));
}

/* It changes what lay there before. */
static void a_delta_to_nothing_with_lax(void **state)
{
	assert_int_equal(rs_param_set(*state, "lax", "on"), 0);
	begin_text(*state, LIST "64:3040 s:a 8:1 16:4 16:0002 16:aabb " EOS);
	assert_int_equal(rs_ram_load(*state, stream, 4), 0);
	assert_memory_equal(memory + 3 * PAGE, "\xaa\xbb\xee\xee", 4);
	assert_true(rs_bitmap_test(&a->received, 3) && rs_bitmap_test(&a->written, 3));
	check_untouched_but(1 << 3);
}

static struct {
	unsigned count;
	uint64_t offset, stream_bytes, address;
	uint8_t first; /* byte of memory there, when it was seen */
} seen_deltas;

static void see_delta(void *opaque, const struct rs_observation *seen)
{
	(void)opaque;
	if (seen->type != RS_OBSERVED_RECORD || seen->number != RS_RECORD_XBZRLE)
		return;
	assert_string_equal(seen->name, "a");
	assert_int_equal(seen->bytes, PAGE);
	seen_deltas.count++;
	seen_deltas.offset = seen->offset;
	seen_deltas.stream_bytes = seen->stream_bytes;
	seen_deltas.address = seen->address;
	seen_deltas.first = memory[seen->address];
}

static const struct rs_load_ops observing = { .size = sizeof(observing), .observe = see_delta };

static void a_delta_is_seen_before_it_takes_effect(void **state)
{
	static const char before[] = LIST "64:1008 s:a p:11 ";
	size_t at = assemble(data, sizeof(data), before);
	size_t bytes = at + assemble(data + at, sizeof(data) - at,
				     "64:1040 s:a 8:1 16:4 16:0002 16:aabb " EOS);

	seen_deltas.count = 0;
	begin(*state, bytes, &observing);
	assert_int_equal(rs_ram_load(*state, stream, 4), 0);
	assert_int_equal(seen_deltas.count, 1);
	assert_int_equal(seen_deltas.offset, at);
	assert_int_equal(seen_deltas.stream_bytes, 8 + 2 + 3 + 4);
	assert_int_equal(seen_deltas.address, PAGE);
	assert_int_equal(seen_deltas.first, 0x11);
	assert_int_equal(memory[PAGE], 0xaa);
}

/* It is the last that was seen, and the page is as it was. */
static void a_delta_that_is_cut_off(void **state)
{
	static const char before[] = LIST "64:1008 s:a p:11 ";
	static const char delta[] = "64:1060 8:1 16:4 16:0002 16:aabb ";
	size_t at = assemble(data, sizeof(data), before);
	size_t whole = assemble(data + at, sizeof(data) - at, delta);

	for (size_t bytes = 8 + 3; bytes < whole; bytes++) {
		seen_deltas.count = 0;
		begin(*state, at + bytes, &observing);
		assert_int_equal(rs_ram_load(*state, stream, 4), -ENODATA);
		assert_non_null(strstr(plain_error_text(*state, RS_ERROR_OF_MIGRATION),
				       "the stream ended after"));
		assert_int_equal(seen_deltas.count, 1);
		assert_int_equal(seen_deltas.offset, at);
		check_page(1, 0x11);
		loading_end(*state, &stream);
	}
}

/* As long as a page, and as a page can be; in any pieces. */
static void the_longest_delta(void **unused)
{
	enum { LARGE = 16384 };
	struct rs_state *state = plain_state(LARGE);
	size_t bytes = assemble(data, sizeof(data),
				"64:4004 s:large 64:4000 64:2 s:large 8:0 "
				"64:60 8:1 16:4000 8:0 16:fd7f");
	struct rs_stream *writer, *reader;

	(void)unused;
	/* 0x7f << 7 | 0x7d new bytes from the page's beginning on. */
	memset(data + bytes, 0xaa, LARGE - 3);
	bytes += LARGE - 3;
	bytes += assemble(data + bytes, sizeof(data) - bytes, EOS);
	memset(memory, UNTOUCHED, 2 * LARGE);
	plain_region_add(state, "large", memory, LARGE, 0);
	for (uint64_t seed = 0; seed < 10; seed++) {
		const struct fake_options options = { .max_bytes = seed == 0 ? 1 : 0,
						      .seed = seed };

		assert_int_equal(fake_stream_pipe(&options, &writer, &reader), 0);
		rs_stream_put_bytes(writer, data, bytes);
		assert_int_equal(rs_stream_flush(writer), 0);
		rs_session_open(state);
		assert_int_equal(rs_session_attach(state, reader), 0);
		assert_int_equal(rs_ram_load_setup(state, NULL, NULL), 0);
		assert_int_equal(rs_ram_load(state, reader, 4), 0);
		for (unsigned i = 0; i < LARGE; i++)
			assert_int_equal(memory[i], i < LARGE - 3 ? 0xaa : 0);
		assert_int_equal(memory[LARGE], UNTOUCHED);
		loading_end(state, &stream);
		rs_stream_close(writer, NULL);
		rs_stream_close(reader, NULL);
	}
	rs_state_destroy(state);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(deltas),
		TEST(a_delta_to_nothing_with_lax),
		TEST(a_delta_is_seen_before_it_takes_effect),
		TEST(a_delta_that_is_cut_off),
		TEST(the_longest_delta),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
