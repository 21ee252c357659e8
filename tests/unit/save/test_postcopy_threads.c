/* SPDX-License-Identifier: MIT */
/* Postcopy at the source, by two threads: one saves, one hears requests. */
#include "postcopy_subject.h"

#include "support/fake_stream.h"
#include "transport/stream.h"

#include <pthread.h>
#include <unistd.h>

static pthread_barrier_t start;

struct hearer {
	uint64_t seed;
	unsigned requests;
	unsigned faults;
};

static void *hear(void *opaque)
{
	struct hearer *hearer = opaque;
	struct test_random random = { hearer->seed };

	pthread_barrier_wait(&start);
	for (unsigned i = 0; i < hearer->requests; i++) {
		struct rs_region *region = subject.regions[test_random_below(&random, 2)];
		uint64_t unit = rs_placement_bytes(region), units = REGION_BYTES / unit;
		uint64_t first = test_random_below(&random, units);
		uint64_t count = 1 + test_random_below(&random, units - first) % 4;
		const struct rs_page_request request = { region->name, region->name_bytes,
							 first * unit, (uint32_t)(count * unit) };
		struct rs_error error = { 0 };

		hearer->faults += rs_ram_save_request(subject.state, &request, &error) != 0;
	}
	return NULL;
}

/* All pages come once, in whole units, while requests come for them on either stream. */
static void save_while_asked(const struct subject_size *size, bool urgent, uint64_t seed)
{
	struct hearer hearer = { .seed = seed,
				 .requests = size->host_page_bytes == HUGE ? 8 : 400 };
	pthread_t thread;

	subject_open(size, seed % 2 != 0);
	subject_begin();
	if (urgent)
		rs_ram_save_set_urgent_stream(subject.state, subject.urgent.stream);
	pthread_barrier_init(&start, NULL, 2);
	assert_int_equal(pthread_create(&thread, NULL, hear, &hearer), 0);
	pthread_barrier_wait(&start);
	while (seed % 3 != 0 && rs_ram_save_iterate(subject.state, subject.main.stream) == 0)
		continue;
	assert_int_equal(rs_ram_save_complete(subject.state, subject.main.stream), 0);
	pthread_join(thread, NULL);
	pthread_barrier_destroy(&start);
	assert_int_equal(hearer.faults, 0);
	subject_check_all_came();
	if (urgent)
		rs_ram_save_set_urgent_stream(subject.state, NULL);
	else
		assert_int_equal(subject.urgent.pages, 0);
	/* Both threads' pages are counted. */
	assert_int_equal(rs_counter_get(subject.state->counters.normal) +
			     rs_counter_get(subject.state->counters.duplicate),
			 2 * subject.pages);
	assert_int_equal(rs_counter_get(subject.state->counters.handled), 2 * subject.pages);
	subject_close();
}

static void each_page_comes_once(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 12; seed++)
		for (size_t i = 0; i < 2 * SUBJECT_SIZES; i++)
			save_while_asked(&subject_sizes[i / 2], i % 2 != 0, seed);
}

/* ---- waits --------------------------------------------------------------------------------- */

struct waiting {
	bool background;
	int code;
};

static void *wait_for_work(void *opaque)
{
	struct waiting *waiting = opaque;

	/* Whose call it is that a failure has to wake. */
	waiting->code = rs_session_attach(subject.state, subject.main.stream);
	if (waiting->code == 0)
		waiting->code =
		    rs_ram_save_wait(subject.state, subject.main.stream, waiting->background);
	return NULL;
}

enum end { BY_REQUEST, BY_WAKE, BY_LIMIT, BY_SHUTDOWN, BY_FAILURE, ENDS };

static void end_wait(enum end end)
{
	switch (end) {
	case BY_REQUEST:
		subject_ask("a", REGION_BYTES - HUGE, HUGE);
		break;
	case BY_WAKE:
		rs_ram_save_wake(subject.state);
		break;
	case BY_LIMIT:
		rs_param_set(subject.state, "max-postcopy-bandwidth", "0");
		break;
	case BY_SHUTDOWN:
		rs_stream_shutdown(subject.main.stream);
		break;
	default:
		rs_session_fail(subject.state, -EPROTO, "what was heard made no sense");
	}
}

/* Without an end the test would hang: nothing else ends these waits. */
static void a_wait_ends(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 40 * ENDS; i++) {
		const enum end end = i % ENDS;
		struct waiting waiting = { .background = end == BY_LIMIT || i % 2 != 0 };
		pthread_t thread;

		subject_open(&subject_sizes[0], false);
		memset(subject.memory[0], 1, HUGE);
		subject_begin();
		rs_param_set(subject.state, "max-postcopy-bandwidth", "1");
		assert_int_equal(rs_ram_save_iterate(subject.state, subject.main.stream), 0);
		assert_int_equal(pthread_create(&thread, NULL, wait_for_work, &waiting), 0);
		usleep(i / ENDS * 50);
		end_wait(end);
		pthread_join(thread, NULL);
		assert_int_equal(waiting.code, end == BY_SHUTDOWN  ? -ECANCELED
					       : end == BY_FAILURE ? -EPROTO
								   : 0);
		subject_close();
	}
}

/* A wake that comes before the wait ends it all the same, and one body; the ones after are as ever. */
static void a_wake_is_kept(void **state)
{
	(void)state;
	subject_open(&subject_sizes[0], false);
	subject_begin();
	rs_ram_save_wake(subject.state);
	assert_int_equal(rs_ram_save_wait(subject.state, subject.main.stream, false), 0);
	assert_int_equal(rs_ram_save_iterate(subject.state, subject.main.stream), 0);
	subject_read(&subject.main);
	assert_in_range(subject.main.pages, 1, 64);
	assert_int_equal(rs_ram_save_complete(subject.state, subject.main.stream), 0);
	subject_check_all_came();
	subject_close();
}

/* Nor does it let the last body end early. */
static void a_wake_does_not_end_the_last_body(void **state)
{
	(void)state;
	subject_open(&subject_sizes[0], false);
	subject_begin();
	rs_ram_save_wake(subject.state);
	assert_int_equal(rs_ram_save_complete(subject.state, subject.main.stream), 0);
	subject_check_all_came();
	assert_int_equal(subject.main.bodies, 1);
	subject_close();
}

/* ---- the urgent stream ----------------------------------------------------------------------- */

static void the_urgent_stream_breaks(void **state)
{
	const struct rs_page_request request = { "a", 1, 4096, 4096 };
	struct rs_error error = { 0 };

	(void)state;
	subject_open(&subject_sizes[0], false);
	subject_begin();
	rs_ram_save_set_urgent_stream(subject.state, subject.urgent.stream);
	rs_stream_shutdown(subject.urgent.stream);
	assert_int_equal(rs_ram_save_request(subject.state, &request, &error), -ECANCELED);
	assert_int_equal(error.code, -ECANCELED);
	/* The session goes on. */
	assert_int_equal(rs_session_code(subject.state), 0);
	assert_int_equal(rs_ram_save_complete(subject.state, subject.main.stream), 0);
	rs_ram_save_set_urgent_stream(subject.state, NULL);
	subject_close();
}

/* Names are by stream, and the background goes on behind what was asked for. */
static void urgent_pages(void **state)
{
	(void)state;
	subject_open(&subject_sizes[0], false);
	subject_begin();
	rs_ram_save_set_urgent_stream(subject.state, subject.urgent.stream);
	assert_int_equal(subject_ask("b", 4096, 4096), 0);
	subject_read(&subject.urgent);
	assert_int_equal(subject.urgent.pages, 1);
	assert_int_equal(subject_ask("b", 8192, 4096), 0);
	assert_int_equal(subject_ask("b", 8192, 4096), 0);
	subject_read(&subject.urgent);
	assert_int_equal(subject.urgent.pages, 2);
	assert_int_equal(subject.urgent.names, 1);
	assert_int_equal(rs_ram_save_complete(subject.state, subject.main.stream), 0);
	subject_check_all_came();
	assert_int_equal(subject.main.first[0].region, 1);
	assert_int_equal(subject.main.first[0].page, 3);
	rs_ram_save_set_urgent_stream(subject.state, NULL);
	subject_close();
}

static _Atomic bool completed, late;

static void note_taken(void *opaque)
{
	(void)opaque;
	if (completed)
		late = true;
}

static void *ask_for_b(void *opaque)
{
	(void)opaque;
	subject_ask("b", 0, REGION_BYTES);
	return NULL;
}

/* The last body ends when nothing is under way on the urgent stream any more. */
static void the_last_body_waits_for_urgent_pages(void **state)
{
	const struct fake_options slow = { .capacity = 64 << 20,
					   .max_bytes = 256 << 10,
					   .write_delay_us = 500,
					   .taken = note_taken };

	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		struct rs_stream *writer, *reader;
		pthread_t thread;

		completed = late = false;
		subject_open(&subject_sizes[0], false);
		memset(subject.memory[1], 1, REGION_BYTES);
		assert_int_equal(fake_stream_pipe(&slow, &writer, &reader), 0);
		subject_begin();
		rs_ram_save_set_urgent_stream(subject.state, writer);
		assert_int_equal(pthread_create(&thread, NULL, ask_for_b, NULL), 0);
		usleep(i * 200);
		assert_int_equal(rs_ram_save_complete(subject.state, subject.main.stream), 0);
		completed = true;
		pthread_join(thread, NULL);
		assert_false(late);
		rs_ram_save_set_urgent_stream(subject.state, NULL);
		subject_close();
		rs_stream_close(writer, NULL);
		rs_stream_close(reader, NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_page_comes_once),
		cmocka_unit_test(a_wait_ends),
		cmocka_unit_test(a_wake_is_kept),
		cmocka_unit_test(a_wake_does_not_end_the_last_body),
		cmocka_unit_test(the_urgent_stream_breaks),
		cmocka_unit_test(urgent_pages),
		cmocka_unit_test(the_last_body_waits_for_urgent_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
