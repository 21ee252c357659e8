/* SPDX-License-Identifier: MIT */
/* What goes before postcopy: advice, emptied regions, discards; and a recording, without faults. */
#include "postcopy_subject.h"

static void check_refusal(int result, const char *text)
{
	check_failure(result, -EINVAL, text);
}

static struct rs_postcopy_advice good_advice(void)
{
	return (struct rs_postcopy_advice){ .host_page_sizes = memory_page(),
					    .target_page_bytes = subject.page_bytes };
}

/* ---- advice -------------------------------------------------------------------------------- */

static void advice_empties_what_is_listed(void **state)
{
	(void)state;
	for (const struct kind *kind = kinds; kind < kinds + 3; kind++) {
		open_subject(kind, 4096, 4);
		memset(subject.a.host, 0xee, subject.bytes);
		assert_int_equal(advise(), 0);
		/* Nobody knows yet whether it will be listed. */
		assert_int_equal(subject.a.host[0], 0xee);
		put_list();
		assert_int_equal(load_made(), 0);
		assert_true(holds(&subject.a, 0, subject.bytes, -1));
		/* A list that is repeated takes nothing away. */
		put_page("a", 4096, 1);
		put_end();
		assert_int_equal(load_made(), 0);
		put_list();
		assert_int_equal(load_made(), 0);
		assert_true(holds(&subject.a, 4096, 4096, 1));
		assert_true(rs_bitmap_test(&subject.a.region->received, 1));
		end_subject();
	}
}

static void without_advice_nothing_is_emptied(void **state)
{
	(void)state;
	open_subject(&kinds[0], 4096, 4);
	memset(subject.a.host, 0xee, subject.bytes);
	put_list();
	assert_int_equal(load_made(), 0);
	assert_int_equal(subject.a.host[0], 0xee);
	check_refusal(rs_ram_load_begin_postcopy(subject.state, NULL),
		      "postcopy begins without POSTCOPY_ADVISE");
	end_subject();
}

static void advice_that_differs(void **state)
{
	(void)state;
	struct rs_postcopy_advice advice;

	open_subject(&kinds[0], 4096, 4);
	advice = good_advice();
	advice.target_page_bytes = 16384;
	check_refusal(rs_ram_load_advise(subject.state, &advice),
		      "pages of 16384 bytes there and 4096 here");
	end_subject();

	open_subject(&kinds[0], 4096, 4);
	advice = good_advice();
	advice.host_page_sizes |= HUGE_BYTES;
	assert_int_equal(rs_ram_load_advise(subject.state, &advice), 0);
	put_list();
	check_refusal(load_made(), "host pages are 0x201000 there and 0x1000 here");
	end_subject();

	/* Who reads recordings is told. */
	open_subject(&kinds[0], 4096, 4);
	subject.state->load->lax = true;
	assert_int_equal(rs_ram_load_advise(subject.state, &advice), 0);
	put_list();
	assert_int_equal(load_made(), 0);
	end_subject();
}

static void advice_at_a_bad_time(void **state)
{
	(void)state;
	open_subject(&kinds[0], 4096, 4);
	assert_int_equal(advise(), 0);
	check_refusal(advise(), "POSTCOPY_ADVISE comes twice");
	end_subject();

	open_subject(&kinds[0], 4096, 4);
	put_list();
	assert_int_equal(load_made(), 0);
	check_refusal(advise(), "or after the list of regions");
	end_subject();

	open_subject(&kinds[0], 4096, 4);
	assert_int_equal(rs_param_set(subject.state, "x-ignore-shared", "on"), 0);
	check_refusal(advise(), "x-ignore-shared");
	end_subject();

	open_subject(&kinds[0], 4096, 4);
	assert_int_equal(advise(), 0);
	check_refusal(rs_ram_load_begin_postcopy(subject.state, NULL), "before the list");
	end_subject();
}

/* Target pages of 1 KiB may end inside a host page. */
static void a_region_that_is_no_whole_host_pages(void **state)
{
	(void)state;
	open_subject(&kinds[0], 1024, 4);
	assert_int_equal(advise(), 0);
	const struct rs_region_config config = {
		.size = sizeof(config), .name = "odd", .host = subject.data, .used_bytes = 5120
	};

	rs_session_ignore_regions(subject.state);
	assert_int_equal(rs_region_add(subject.state, &config, NULL), 0);
	rs_session_heed_regions(subject.state);
	const struct rs_block_entry entry = { .name = "odd", .name_bytes = 3, .used_bytes = 5120 };
	uint8_t list[64];
	size_t bytes = rs_record_write(list, 5120, RS_FLAG_MEM_SIZE, NULL, 0);
	struct rs_stream *stream;

	bytes += rs_block_entry_write(list + bytes, &entry, false);
	assert_int_equal(rs_stream_from_memory(list, bytes, &stream), 0);
	check_refusal(rs_ram_load(subject.state, stream, 4), "region odd: its 5120 bytes");
	rs_stream_close(stream, NULL);
	end_subject();
}

/* ---- discards ------------------------------------------------------------------------------ */

static int discard_of(const char *name, const struct rs_byte_range *ranges, size_t count)
{
	static uint8_t payload[8192];
	struct rs_discard discard;
	struct rs_error error = { 0 };
	size_t bytes = rs_discard_write(payload, name, ranges, count);

	assert_int_equal(rs_discard_parse(payload, bytes, &discard, &error), 0);
	return rs_ram_load_discard(subject.state, &discard);
}

static void what_is_discarded_is_gone(void **state)
{
	struct rs_byte_range ranges[200];

	(void)state;
	open_subject(&kinds[0], 4096, 512);
	list_regions();
	put_pages("a", 0, subject.bytes, 1);
	put_pages("b", 0, subject.bytes, 2);
	put_end();
	assert_int_equal(load_made(), 0);
	/* More than anybody sends in one, of every second page. */
	for (unsigned i = 0; i < 200; i++)
		ranges[i] = (struct rs_byte_range){ i * 8192, 4096 };
	assert_int_equal(discard_of("a", ranges, 200), 0);
	for (unsigned page = 0; page < 512; page++) {
		bool gone = page < 400 && page % 2 == 0;

		assert_int_equal(rs_bitmap_test(&subject.a.region->received, page), !gone);
		assert_true(holds(&subject.a, page * 4096, 4096, gone ? -1 : 1));
		assert_true(rs_bitmap_test(&subject.b.region->received, page));
	}
	assert_true(holds(&subject.b, 0, subject.bytes, 2));
	end_subject();
}

static void bad_discards(void **state)
{
	static const struct {
		const char *name;
		struct rs_byte_range range;
		const char *text;
	} bad[] = {
		{ "c", { 0, 4096 }, "region c is unknown here" },
		{ "a", { 1024, 4096 }, "region a" },
		{ "a", { 0, 1024 }, "region a" },
		{ "a", { 12288, 8192 }, "region a" },
		{ "a", { 1ull << 40, 4096 }, "region a" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		open_subject(&kinds[0], 4096, 4);
		list_regions();
		check_refusal(discard_of(bad[i].name, &bad[i].range, 1), bad[i].text);
		end_subject();
	}
	/* Before it is listed, and without advice. */
	open_subject(&kinds[0], 4096, 4);
	assert_int_equal(advise(), 0);
	check_refusal(discard_of("a", &(struct rs_byte_range){ 0, 4096 }, 1), "was not listed");
	end_subject();
	open_subject(&kinds[0], 4096, 4);
	put_list();
	assert_int_equal(load_made(), 0);
	check_refusal(discard_of("a", &(struct rs_byte_range){ 0, 4096 }, 1),
		      "without POSTCOPY_ADVISE");
	end_subject();
}

/* ---- the beginning ------------------------------------------------------------------------- */

static void a_host_page_that_came_in_part(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for (int part = 0; part < 2; part++) {
		open_subject(&kinds[0], 1024, 4);
		list_regions();
		put_pages("b", 4096, part == 0 ? 8192 : 8192 + 1024, 1);
		put_end();
		assert_int_equal(load_made(), 0);
		if (part == 0)
			assert_int_equal(begin_postcopy(), 0);
		else
			check_refusal(begin_postcopy(),
				      "region b, offset 0x3400: only a part of the host page");
		end_subject();
	}
}

/* ---- recordings ---------------------------------------------------------------------------- */

static void begin_recording(void)
{
	open_subject(&kinds[0], 4096, 8);
	list_regions();
	assert_int_equal(rs_ram_load_begin_postcopy(subject.state, NULL), 0);
}

static void a_recording_takes_each_page_once(void **state)
{
	(void)state;
	open_subject(&kinds[0], 4096, 8);
	list_regions();
	put_pages("a", 0, 4096, 1);
	put_end();
	assert_int_equal(load_made(), 0);
	assert_int_equal(rs_ram_load_begin_postcopy(subject.state, NULL), 0);
	put_page("a", 8192, 2);
	put_zero(NULL, 12288);
	put_pages(NULL, 0, 6 * 4096, 3);
	put_zeros(NULL, 0, 8 * 4096);
	put_page("a", 7 * 4096, 4);
	put_end();
	assert_int_equal(load_made(), 0);
	assert_true(holds(&subject.a, 0, 4096, 1));
	assert_true(holds(&subject.a, 4096, 4096, 3));
	assert_true(holds(&subject.a, 8192, 4096, 2));
	assert_true(holds(&subject.a, 12288, 4096, -1));
	assert_true(holds(&subject.a, 16384, 8192, 3));
	assert_true(holds(&subject.a, 24576, 8192, -1));
	assert_int_equal(duplicates(), 3 + 6 + 1);
	assert_true(rs_ram_load_is_between_pages(subject.state));
	check_failure(rs_ram_load_check_received(subject.state, false), -ENODATA, "region b");
	end_subject();
}

static void a_recording_that_was_cut_goes_on(void **state)
{
	(void)state;
	begin_recording();
	put_page("a", 0, 1);
	put_end();
	assert_int_equal(load_made(), 0);
	rs_ram_load_resume(subject.state);
	put_page("a", 0, 2);
	put_page(NULL, 4096, 2);
	put_end();
	assert_int_equal(load_made(), 0);
	assert_true(holds(&subject.a, 0, 4096, 1));
	assert_true(holds(&subject.a, 4096, 4096, 2));
	rs_ram_load_resume(subject.state);
	put_page(NULL, 8192, 2);
	check_refusal(load_made(), "goes on in the region of the one before");
	end_subject();
}

static void a_recording_has_the_same_rules(void **state)
{
	struct rs_error error;

	(void)state;
	begin_recording();
	put_list();
	check_refusal(load_made(), "a list of regions in postcopy");
	end_subject();
	begin_recording();
	put_page("a", 0, 1);
	put_end();
	assert_int_equal(load_made(), 0);
	put_header(0, RS_FLAG_XBZRLE, "a", 1);
	subject.data[subject.length++] = 0;
	check_refusal(load_made(), "an XBZRLE delta in postcopy");
	end_subject();
	begin_recording();
	assert_int_equal(load_urgent(&error), -EINVAL);
	assert_string_equal(error.text, "an urgent stream, and no postcopy");
	assert_int_equal(rs_session_code(subject.state), 0);
	end_subject();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(advice_empties_what_is_listed, subject_teardown),
		cmocka_unit_test_teardown(without_advice_nothing_is_emptied, subject_teardown),
		cmocka_unit_test_teardown(advice_that_differs, subject_teardown),
		cmocka_unit_test_teardown(advice_at_a_bad_time, subject_teardown),
		cmocka_unit_test_teardown(a_region_that_is_no_whole_host_pages, subject_teardown),
		cmocka_unit_test_teardown(what_is_discarded_is_gone, subject_teardown),
		cmocka_unit_test_teardown(bad_discards, subject_teardown),
		cmocka_unit_test_teardown(a_host_page_that_came_in_part, subject_teardown),
		cmocka_unit_test_teardown(a_recording_takes_each_page_once, subject_teardown),
		cmocka_unit_test_teardown(a_recording_that_was_cut_goes_on, subject_teardown),
		cmocka_unit_test_teardown(a_recording_has_the_same_rules, subject_teardown),
	};

	return cmocka_run_group_tests(tests, faulted_setup, huge_pages_teardown);
}
