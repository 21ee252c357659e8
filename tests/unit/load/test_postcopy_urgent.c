/* SPDX-License-Identifier: MIT */
/* Two streams at once: what each has in hand is the other's duplicate, and a broken one loses nothing. */
#include "postcopy_subject.h"

#include "support/fake_stream.h"

/* A second stream's bytes, made by the same functions. */
struct made {
	uint8_t *data;
	size_t length;
};

static struct made take_made(void)
{
	struct made made = { malloc(subject.length), subject.length };

	assert_non_null(made.data);
	memcpy(made.data, subject.data, subject.length);
	subject.length = 0;
	return made;
}

struct urgent {
	pthread_t thread;
	struct rs_stream *stream;
	struct rs_error error;
	int result;
};

static void *run_urgent(void *argument)
{
	struct urgent *urgent = argument;

	urgent->result = rs_ram_load_urgent(subject.state, urgent->stream, &urgent->error);
	return NULL;
}

static void start_urgent(struct urgent *urgent, struct rs_stream *stream)
{
	*urgent = (struct urgent){ .stream = stream };
	assert_int_equal(pthread_create(&urgent->thread, NULL, run_urgent, urgent), 0);
}

static void join_urgent(struct urgent *urgent)
{
	assert_int_equal(pthread_join(urgent->thread, NULL), 0);
	rs_stream_close(urgent->stream, NULL);
}

static void put_unit(const char *name, uint64_t offset, unsigned version)
{
	for (uint64_t at = 0; at < subject.unit_bytes; at += subject.page_bytes)
		put_page(at == 0 ? name : NULL, offset + at, version);
}

/* ---- one stream ---------------------------------------------------------------------------- */

static void an_urgent_stream_ends(void **state)
{
	struct rs_error error;

	(void)state;
	FAULTED_BEGIN();
	begin_subject(&kinds[0], 4096, 4);
	/* By EOS, or by closing: also with nothing at all. */
	assert_int_equal(load_urgent(&error), 0);
	put_unit("a", 0, 1);
	put_header(0, RS_FLAG_MULTIFD_FLUSH, NULL, 0);
	put_zero(NULL, 4096);
	put_end();
	assert_int_equal(load_urgent(&error), 0);
	/* Its own CONTINUE state, which the main stream does not see, nor the other way round. */
	put_unit(NULL, 8192, 2);
	assert_int_equal(load_urgent(&error), 0);
	put_unit("b", 0, 3);
	put_end();
	assert_int_equal(load_made(), 0);
	put_unit(NULL, 12288, 2);
	assert_int_equal(load_urgent(&error), 0);
	put_unit(NULL, 4096, 3);
	put_end();
	assert_int_equal(load_made(), 0);
	assert_true(holds(&subject.a, 0, 4096, 1));
	assert_true(holds(&subject.a, 4096, 4096, -1));
	assert_true(holds(&subject.a, 8192, 8192, 2));
	assert_true(holds(&subject.b, 0, 8192, 3));
	end_subject();
}

static void an_urgent_stream_breaks(void **state)
{
	struct rs_error error;

	(void)state;
	FAULTED_BEGIN();
	for_each_kind(kind)
	{
		begin_subject(kind, 1024, 3);
		uint64_t unit = subject.unit_bytes;

		put_page("a", unit, 1);
		put_page(NULL, unit + 1024, 1);
		assert_int_equal(load_urgent(&error), -ENODATA);
		assert_non_null(strstr(error.text, "region a"));
		assert_int_equal(rs_session_code(subject.state), 0);
		assert_true(rs_ram_load_is_between_pages(subject.state));
		put_page("a", 0, 1);
		subject.length -= 7;
		assert_int_equal(load_urgent(&error), -ENODATA);
		/* Nothing was lost: it comes on the main stream. */
		put_zeros("a", unit, unit);
		put_unit(NULL, 0, 2);
		put_end();
		assert_int_equal(load_made(), 0);
		assert_true(holds(&subject.a, unit, unit, -1));
		assert_true(holds(&subject.a, 0, unit, 2));
		assert_int_equal(duplicates(), 0);
		end_subject();
	}
}

/* ---- both ---------------------------------------------------------------------------------- */

/* The main stream is inside a host page when that comes on the urgent one, too. */
static void what_the_other_has_in_hand_is_a_duplicate(void **state)
{
	struct rs_error error;

	(void)state;
	FAULTED_BEGIN();
	for_each_kind(kind)
	{
		begin_subject(kind, 1024, 3);
		uint64_t unit = subject.unit_bytes;

		put_page("a", unit, 1);
		put_end();
		assert_int_equal(load_made(), 0);
		put_unit("a", 0, 2);
		put_unit(NULL, unit, 2);
		put_unit(NULL, 2 * unit, 2);
		put_end();
		assert_int_equal(load_urgent(&error), 0);
		assert_int_equal(duplicates(), unit / 1024);
		for (uint64_t at = unit + 1024; at < 2 * unit; at += 1024)
			put_page(NULL, at, 1);
		put_end();
		assert_int_equal(load_made(), 0);
		assert_true(holds(&subject.a, 0, unit, 2));
		assert_true(holds(&subject.a, unit, unit, 1));
		assert_true(holds(&subject.a, 2 * unit, unit, 2));
		end_subject();
	}
}

/* What the main stream had in hand when it broke is free for the urgent one, which may still be read. */
static void the_main_stream_breaks(void **state)
{
	struct rs_error error;

	(void)state;
	FAULTED_BEGIN();
	for (const struct kind *kind = kinds; kind < kinds + 3; kind++) {
		begin_subject(kind, 4096, 3);
		uint64_t unit = subject.unit_bytes;

		put_page("a", unit, 1);
		subject.length -= 7;
		check_failure(load_made(), -ENODATA, "ended");
		assert_false(
		    rs_bitmap_test(&subject.a.region->received, unit / subject.page_bytes));
		put_zeros("a", unit, unit);
		assert_int_equal(load_urgent(&error), 0);
		assert_int_equal(duplicates(), 0);
		assert_true(holds(&subject.a, unit, unit, -1));
		end_subject();
	}
}

/* A source that sends everything twice, at once: nothing fails, and every page is from one of the two. */
static void everything_on_both_streams(const struct kind *kind, uint32_t page_bytes, bool runs)
{
	uint64_t units = kind->is_huge ? 4 : 64;

	begin_subject(kind, page_bytes, units);
	uint64_t unit = subject.unit_bytes;

	for (uint64_t at = 0; at < units; at++)
		if (at % 5 == 4)
			put_zeros("a", at * unit, unit);
		else
			put_unit("a", at * unit, 1);
	struct made made = take_made();
	struct urgent urgent;
	struct rs_stream *stream;

	assert_int_equal(rs_stream_from_memory(made.data, made.length, &stream), 0);
	if (runs)
		put_pages("a", 0, units * unit, 2);
	else
		for (uint64_t at = units; at-- > 0;)
			put_unit("a", at * unit, 2);
	put_end();
	start_urgent(&urgent, stream);
	assert_int_equal(load_made(), 0);
	join_urgent(&urgent);
	assert_int_equal(urgent.result, 0);
	assert_int_equal(duplicates(), units * unit / page_bytes);
	assert_int_equal(rs_bitmap_count(&subject.a.region->received), units * unit / page_bytes);
	for (uint64_t at = 0; at < units; at++)
		assert_true(holds(&subject.a, at * unit, unit, at % 5 == 4 ? -1 : 1) ||
			    holds(&subject.a, at * unit, unit, 2));
	free(made.data);
	end_subject();
}

static void both_at_once(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for_each_kind(kind)
	{
		everything_on_both_streams(kind, 4096, false);
		everything_on_both_streams(kind, 4096, true);
		everything_on_both_streams(kind, 1024, false);
		everything_on_both_streams(kind, 1024, true);
	}
}

/* One stream stands still inside a page; the other one does not wait for it. */
static void nobody_waits_for_the_other(void **state)
{
	struct rs_stream *writer, *reader;
	struct urgent urgent;

	(void)state;
	FAULTED_BEGIN();
	begin_subject(&kinds[0], 4096, 4);
	assert_int_equal(fake_stream_pipe(NULL, &writer, &reader), 0);
	put_unit("a", 4096, 1);
	struct made made = take_made();

	rs_stream_put_bytes(writer, made.data, made.length - 1);
	assert_int_equal(rs_stream_flush(writer), 0);
	start_urgent(&urgent, reader);
	/* Until the urgent thread has it in hand. */
	for (bool held = false; !held; sched_yield()) {
		struct rs_postcopy_load *postcopy = subject.state->load->postcopy;

		pthread_mutex_lock(&postcopy->lock);
		held = postcopy->urgent.hold.region != NULL;
		pthread_mutex_unlock(&postcopy->lock);
	}
	put_pages("a", 0, 4 * 4096, 2);
	put_end();
	assert_int_equal(load_made(), 0);
	assert_int_equal(duplicates(), 1);
	assert_false(rs_bitmap_test(&subject.a.region->received, 1));
	rs_stream_put_bytes(writer, made.data + made.length - 1, 1);
	assert_int_equal(rs_stream_flush(writer), 0);
	rs_stream_close(writer, NULL);
	join_urgent(&urgent);
	assert_int_equal(urgent.result, 0);
	assert_true(holds(&subject.a, 4096, 4096, 1));
	assert_true(holds(&subject.a, 0, 4096, 2));
	assert_true(holds(&subject.a, 8192, 8192, 2));
	free(made.data);
	end_subject();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(an_urgent_stream_ends, subject_teardown),
		cmocka_unit_test_teardown(an_urgent_stream_breaks, subject_teardown),
		cmocka_unit_test_teardown(what_the_other_has_in_hand_is_a_duplicate,
					  subject_teardown),
		cmocka_unit_test_teardown(the_main_stream_breaks, subject_teardown),
		cmocka_unit_test_teardown(both_at_once, subject_teardown),
		cmocka_unit_test_teardown(nobody_waits_for_the_other, subject_teardown),
	};

	return cmocka_run_group_tests(tests, faulted_setup, huge_pages_teardown);
}
