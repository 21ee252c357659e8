/* SPDX-License-Identifier: MIT */
/* Compressing threads that are busy, that fail, and that cannot be had. */
#include "unit/save/compressor_subject.h"

#include "support/missing_call.h"

#define BATCH 16u /* pages of 4 KiB that are handed over at once */

static int setup(void **state)
{
	(void)state;
	subject_open(4096);
	/* Nothing that is gated may wait for ever. */
	alarm(120);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	atomic_store(&zlib.closed, false);
	zlib.inits = INT32_MAX;
	subject_close();
	alarm(0);
	return 0;
}

/* ---- busy threads -------------------------------------------------------------------------- */

static void await_idle(unsigned threads)
{
	while (rs_worker_pool_idle(subject.compressor.pool) != threads)
		usleep(100);
}

static void without_waiting_a_page_goes_in_full(void **state)
{
	(void)state;
	set("compress-wait-thread", "off");
	subject_start("1");
	fill_text(0, 0, 60);
	mark(0, 1, MARK_WAITS);
	atomic_store(&zlib.closed, true);
	send(0, 0, 1 + BATCH + 5);
	assert_string_equal(load(), "r:p0 p17 p18 p19 p20 p21");
	assert_int_equal(COUNT(compress_busy), 5);
	send(0, 22, 2);
	assert_string_equal(load(), "p22 p23");
	assert_int_equal(COUNT(compress_busy), 7);
	atomic_store(&zlib.closed, false);
	await_idle(1);
	/* What is done is written before what comes next. */
	send(0, 24, 1);
	assert_string_equal(load(), "c1 c2 c3 c4 c5 c6 c7 c8 c9 c10 c11 c12 c13 c14 c15 c16");
	assert_string_equal(drain_and_load(), "c24");
	check_arrived(0, 0, 25);
	assert_int_equal(COUNT(compress_busy), 7);
	assert_int_equal(COUNT(compress_pages), 17);
}

/* One thread is at the oldest batch for long, and the other one has filled the ring with what is done
 * behind it. */
static void without_waiting_for_the_oldest_batch(void **state)
{
	uint64_t page = 1;

	(void)state;
	set("compress-wait-thread", "off");
	subject_start("2");
	fill_text(0, 0, SUBJECT_PAGES);
	mark(0, 1, MARK_WAITS);
	atomic_store(&zlib.closed, true);
	send(0, 0, 1);
	while (COUNT(compress_busy) == 0) {
		assert_true(page + BATCH < SUBJECT_PAGES);
		send(0, page, BATCH);
		page += BATCH;
		await_idle(1);
	}
	/* That was because there was no room; a thread had nothing to do. */
	assert_int_equal(COUNT(compress_busy), BATCH);
	assert_int_equal(COUNT(compress_pages), 0);
	atomic_store(&zlib.closed, false);
	drain_and_load();
	check_arrived(0, 0, page);
	assert_int_equal(COUNT(compress_pages), page - 1 - BATCH);
}

static void *open_the_gate(void *unused)
{
	(void)unused;
	usleep(30000);
	atomic_store(&zlib.closed, false);
	return NULL;
}

static void with_waiting_every_page_is_compressed(void **state)
{
	pthread_t thread;

	(void)state;
	subject_start("1");
	fill_text(0, 0, 1000);
	mark(0, 1, MARK_WAITS);
	atomic_store(&zlib.closed, true);
	assert_int_equal(pthread_create(&thread, NULL, open_the_gate, NULL), 0);
	send(0, 0, 1000);
	drain_and_load();
	check_arrived(0, 0, 1000);
	assert_int_equal(COUNT(compress_busy), 0);
	assert_int_equal(COUNT(compress_pages), 999);
	pthread_join(thread, NULL);
}

/* What nobody began is dropped; what is being worked on is waited for. */
static void an_end_with_pages_under_way(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 50; round++) {
		subject_start("3");
		fill_text(0, 0, 100);
		send(0, 0, 10 + round);
		rs_compressor_fini(&subject.compressor);
		assert_false(rs_compressor_on(&subject.compressor));
	}
}

/* ---- failures ------------------------------------------------------------------------------ */

static void check_failure(int code, const char *text)
{
	assert_int_equal(rs_session_code(subject.state), code);
	assert_string_equal(plain_error_text(subject.state, RS_ERROR_OF_MIGRATION), text);
}

/* The first page that failed is named, not the one that failed first. */
static void a_page_that_cannot_be_deflated(void **state)
{
	(void)state;
	subject_start("2");
	fill_text(0, 0, 100);
	zlib.text = "a broken state";
	mark(0, 5, MARK_FAILS);
	mark(0, 40, MARK_FAILS);
	mark(0, 41, MARK_FAILS);
	send(0, 0, 100);
	rs_compressor_drain(&subject.compressor);
	check_failure(-EIO, "region r, offset 0x5000: compressing the page: a broken state");
	/* It went on with the pages that were under way, so that none is any more. */
	assert_int_equal(rs_worker_pool_pending(subject.compressor.pool), 0);
}

static void without_a_text_of_zlib(void **state)
{
	(void)state;
	subject_start("2");
	fill_text(1, 0, 10);
	mark(1, 9, MARK_FAILS);
	send(1, 0, 10);
	rs_compressor_drain(&subject.compressor);
	check_failure(-EIO, "region s, offset 0x9000: compressing the page: stream error");
}

static void nothing_is_compressed_after_a_failure(void **state)
{
	(void)state;
	subject_start("2");
	fill_text(0, 0, SUBJECT_PAGES);
	send(0, 0, 2);
	rs_compressor_drain(&subject.compressor);
	unsigned calls = atomic_load(&zlib.calls);

	assert_int_equal(calls, 1);
	rs_session_fail(subject.state, -ECANCELED, "cancelled");
	send(0, 2, SUBJECT_PAGES - 2);
	rs_compressor_drain(&subject.compressor);
	assert_int_equal(atomic_load(&zlib.calls), calls);
}

static void nothing_is_compressed_for_a_broken_stream(void **state)
{
	(void)state;
	subject_start("2");
	fill_text(0, 0, SUBJECT_PAGES);
	send(0, 0, 2);
	rs_compressor_drain(&subject.compressor);
	rs_stream_shutdown(subject.writer.stream);
	send(0, 2, SUBJECT_PAGES - 2);
	rs_compressor_drain(&subject.compressor);
	assert_int_equal(atomic_load(&zlib.calls), 1);
}

/* ---- threads that cannot be had ------------------------------------------------------------ */

static void off(void **state)
{
	(void)state;
	set("compress", "off");
	assert_int_equal(rs_compressor_init(&subject.compressor, &subject.writer), 0);
	assert_false(rs_compressor_on(&subject.compressor));
	rs_compressor_drain(&subject.compressor);
}

static void no_memory_for_a_thread(void **state)
{
	(void)state;
	set("compress-threads", "5");
	zlib.inits = 3;
	assert_int_equal(rs_compressor_init(&subject.compressor, &subject.writer), -ENOMEM);
	check_failure(-ENOMEM,
		      "parameter compress-threads: 5 threads: no memory to compress pages");
	assert_false(rs_compressor_on(&subject.compressor));
}

static int start_without_threads(void)
{
	/* pthread_create() uses the one or the other. */
	if (!missing_call(SYS_clone3, EAGAIN) || !missing_call(SYS_clone, EAGAIN))
		return MISSING_CALL_NOT_POSSIBLE;
	if (rs_compressor_init(&subject.compressor, &subject.writer) != -EAGAIN)
		return 1;
	if (rs_compressor_on(&subject.compressor))
		return 2;
	return strcmp(plain_error_text(subject.state, RS_ERROR_OF_MIGRATION),
		      "parameter compress-threads: 8 threads: worker thread 0 cannot start: "
		      "Resource temporarily unavailable") != 0;
}

static void no_threads(void **state)
{
	(void)state;
	int result = in_a_child(start_without_threads);

	if (result == MISSING_CALL_NOT_POSSIBLE)
		skip();
	assert_int_equal(result, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(without_waiting_a_page_goes_in_full),
		TEST(without_waiting_for_the_oldest_batch),
		TEST(with_waiting_every_page_is_compressed),
		TEST(an_end_with_pages_under_way),
		TEST(a_page_that_cannot_be_deflated),
		TEST(without_a_text_of_zlib),
		TEST(nothing_is_compressed_after_a_failure),
		TEST(nothing_is_compressed_for_a_broken_stream),
		TEST(off),
		TEST(no_memory_for_a_thread),
		TEST(no_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
