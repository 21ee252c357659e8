/* SPDX-License-Identifier: MIT */
/*
 * Postcopy by the handlers, in a VMM's own framing: a body of RAM at a time crosses a connection in memory, and
 * discards, requests and received bitmaps are calls.
 */
#include "pair.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define WATCHDOG_SECONDS 240

static const struct guest_spec spec = {
	.page_bytes = 4096,
	.region_count = 2,
	.regions = { { .kind = GUEST_PRIVATE, .used_bytes = 700 * 4096, .filled_percent = 90 },
		     { .kind = GUEST_MEMFD_ALIASED,
		       .used_bytes = 300 * 4096,
		       .filled_percent = 60 } },
	.writers = 2,
	.burst = 20,
	.seed = 23,
};

/* The destination's loader: as many bodies as the source writes. */
struct loader {
	struct guest *guest;
	struct rs_stream *stream;
	pthread_t thread;
	int result;
};

struct fixture {
	struct pair pair;
	struct rs_state *from;
	struct rs_state *to;
	struct rs_stream *out;
	struct loader loader;
	_Atomic bool connected;
	_Atomic unsigned requests;
};

static void *load_bodies(void *argument)
{
	struct loader *loader = argument;

	/* A byte before each body says that there is one. */
	while (rs_stream_get_u8(loader->stream) == 1) {
		loader->result = rs_load(loader->guest->state, loader->stream, 4);
		if (loader->result != 0)
			break;
	}
	/* A writer that still waits learns of the end. */
	rs_stream_close(loader->stream, NULL);
	return NULL;
}

static void connect_ends(struct fixture *fixture, const struct fake_options *there)
{
	struct loader *loader = &fixture->loader;

	loader->guest = fixture->pair.to;
	loader->result = 0;
	assert_int_equal(fake_stream_pipe(there, &fixture->out, &loader->stream), 0);
	assert_int_equal(pthread_create(&loader->thread, NULL, load_bodies, loader), 0);
	atomic_store(&fixture->connected, true);
}

static void disconnect(struct fixture *fixture)
{
	atomic_store(&fixture->connected, false);
	rs_stream_put_u8(fixture->out, 0);
	rs_stream_flush(fixture->out);
	rs_stream_close(fixture->out, NULL);
	pthread_join(fixture->loader.thread, NULL);
}

static int body(struct fixture *fixture,
		int (*work)(struct rs_state *state, struct rs_stream *stream))
{
	rs_stream_put_u8(fixture->out, 1);
	return work(fixture->from, fixture->out);
}

static void pass_discard(void *opaque, const struct rs_region *region,
			 const struct rs_byte_range *ranges, size_t count)
{
	struct fixture *fixture = opaque;

	assert_int_equal(rs_load_discard(fixture->to, rs_region_name(region), ranges, count), 0);
}

static void pass_request(void *opaque, struct rs_region *region, uint64_t offset, uint64_t bytes)
{
	struct fixture *fixture = opaque;

	atomic_fetch_add(&fixture->requests, 1);
	if (atomic_load(&fixture->connected))
		rs_save_request(fixture->from, rs_region_name(region), offset, (uint32_t)bytes);
}

static void open_fixture(struct fixture *fixture)
{
	struct pair *pair = &fixture->pair;

	*fixture = (struct fixture){ 0 };
	pair_open(pair, &spec);
	fixture->from = pair->from->state;
	fixture->to = pair->to->state;
	pair->postcopy = true;
	pair_set_param(pair, "postcopy-ram", "on");
}

/* Up to the guest's run at the destination. */
static void switch_over(struct fixture *fixture, const struct fake_options *there)
{
	struct pair *pair = &fixture->pair;

	assert_true(rs_has_postcopy(fixture->from));
	assert_int_equal(rs_load_setup(fixture->to, NULL, NULL), 0);
	assert_int_equal(rs_load_advise(fixture->to, 4096), 0);
	connect_ends(fixture, there);
	rs_stream_put_u8(fixture->out, 1);
	assert_int_equal(rs_save_setup(fixture->from, fixture->out), 0);
	assert_true(body(fixture, rs_save_iterate) >= 0);
	disconnect(fixture);
	assert_int_equal(fixture->loader.result, 0);

	assert_int_equal(rs_save_start_postcopy(fixture->from), -EINVAL);
	assert_int_equal(rs_save_request(fixture->from, "memory-0", 0, 4096), -EINVAL);
	assert_int_equal(rs_save_discard(fixture->from, 0, pass_discard, fixture), 0);
	assert_int_equal(guest_stop(pair->from), 0);
	assert_int_equal(rs_save_discard(fixture->from, 1, pass_discard, fixture), 0);
	assert_int_equal(rs_load_listen(fixture->to, pass_request, fixture), 0);
	assert_int_equal(rs_load_listen(fixture->to, pass_request, fixture), -EINVAL);
}

static void run_there(struct fixture *fixture)
{
	struct pair *pair = &fixture->pair;

	assert_int_equal(rs_save_start_postcopy(fixture->from), 0);
	guest_copy_numbers(pair->to, pair->from);
	atomic_store(&pair->to->stores_only, true);
	assert_int_equal(guest_resume(pair->to), 0);
}

static void send_rest(struct fixture *fixture)
{
	uint64_t able, only;
	int result;

	while ((result = body(fixture, rs_save_iterate)) == 0) {
		assert_int_equal(rs_save_pending(fixture->from, RS_PENDING_EXACT, &only, &able), 0);
		assert_true(only == 0 && able > 0);
		assert_int_equal(rs_save_throttle(fixture->from, fixture->out), 0);
	}
	if (result != 1) {
		struct rs_error error;

		rs_error_get(fixture->to, RS_ERROR_OF_MIGRATION, &error);
		fail_msg("%d; the destination: %s", result, error.text);
	}
	assert_int_equal(body(fixture, rs_save_complete), 0);
	disconnect(fixture);
	assert_int_equal(fixture->loader.result, 0);
}

static void close_fixture(struct fixture *fixture)
{
	struct pair *pair = &fixture->pair;

	rs_save_cleanup(fixture->from);
	assert_int_equal(rs_load_cleanup(fixture->to), 0);
	guest_let_write(pair->to, 50);
	assert_int_equal(guest_stop(pair->to), 0);
	guest_verify(pair->to);
	pair_check_sane(pair);
	pair_close(pair);
}

static void it_moves(void **unused)
{
	struct fixture fixture;

	(void)unused;
	open_fixture(&fixture);
	switch_over(&fixture, NULL);
	connect_ends(&fixture, NULL);
	run_there(&fixture);
	send_rest(&fixture);
	close_fixture(&fixture);
}

/* ---- a break ------------------------------------------------------------------------------- */

static uint8_t maps[2][256];

static void resume(struct fixture *fixture)
{
	struct rs_received_map received[2];
	static const char *const names[] = { "memory-0", "memory-1" };

	for (unsigned i = 0; i < 2; i++) {
		ssize_t bytes = rs_load_received(fixture->to, names[i], NULL, 0);

		assert_true(bytes > 0 && bytes % 8 == 0 && bytes < (ssize_t)sizeof(maps[i]));
		assert_int_equal(rs_load_received(fixture->to, names[i], maps[i], 7), -ENOSPC);
		assert_int_equal(rs_load_received(fixture->to, names[i], maps[i], sizeof(maps[i])),
				 bytes);
		received[i] = (struct rs_received_map){ names[i], maps[i], (size_t)bytes };
	}
	assert_int_equal(rs_load_received(fixture->to, "other", NULL, 0), -EINVAL);
	/* One is missing; and then all are there. */
	assert_int_equal(rs_resume_prepare(fixture->from, received, 1), -EINVAL);
	assert_int_equal(rs_resume_prepare(fixture->from, received, 2), 0);
	connect_ends(fixture, NULL);
	assert_int_equal(rs_load_resume(fixture->to), 0);
}

static void a_break_is_mended(void **unused)
{
	struct fake_options there = { .cut = true, .cut_at = 400000 };
	struct fixture fixture;

	(void)unused;
	open_fixture(&fixture);
	switch_over(&fixture, NULL);
	connect_ends(&fixture, &there);
	run_there(&fixture);
	while (body(&fixture, rs_save_iterate) >= 0)
		assert_int_equal(rs_save_throttle(fixture.from, fixture.out), 0);
	disconnect(&fixture);
	assert_true(fixture.loader.result < 0 || fixture.loader.result == 0);
	resume(&fixture);
	send_rest(&fixture);
	close_fixture(&fixture);
}

static void out_of_turn(void **unused)
{
	struct fixture fixture;

	(void)unused;
	open_fixture(&fixture);
	assert_int_equal(rs_save_discard(fixture.from, 0, pass_discard, &fixture), -EINVAL);
	assert_int_equal(rs_resume_prepare(fixture.from, NULL, 0), -EINVAL);
	assert_int_equal(rs_load_advise(fixture.to, 4096), -EINVAL);
	assert_int_equal(rs_load_setup(fixture.to, NULL, NULL), 0);
	assert_int_equal(rs_load_listen(fixture.to, pass_request, &fixture), -EINVAL);
	assert_int_equal(rs_load_cleanup(fixture.to), 0);
	assert_int_equal(rs_load_setup(fixture.to, NULL, NULL), 0);
	assert_int_equal(rs_load_resume(fixture.to), -EINVAL);
	assert_int_equal(rs_load_cleanup(fixture.to), 0);
	pair_set_param(&fixture.pair, "postcopy-ram", "off");
	assert_false(rs_has_postcopy(fixture.from));
	assert_int_equal(rs_load_setup(fixture.to, NULL, NULL), 0);
	assert_int_equal(rs_load_advise(fixture.to, 4096), -EINVAL);
	assert_int_equal(rs_load_cleanup(fixture.to), 0);
	pair_close(&fixture.pair);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_moves),
		cmocka_unit_test(a_break_is_mended),
		cmocka_unit_test(out_of_turn),
	};

	alarm(WATCHDOG_SECONDS);
	return cmocka_run_group_tests_name("postcopy_handlers", tests, NULL, NULL);
}
