/* SPDX-License-Identifier: MIT */
/*
 * Peers that vanish, stall or dawdle: a migration ends with a clear error, the guest runs on at
 * the source, and the next migration works.
 */
#include "link.h"
#include "pair.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

static void open_pair(struct pair *pair, const char *stall_timeout)
{
	pair_open_small(pair);
	pair_set_param(pair, "stall-timeout", stall_timeout);
}

static void close_pair(struct pair *pair)
{
	alarm(0);
	pair_close(pair);
}

static void check_failed(const struct transfer_end *end, int code)
{
	if (end->result != code)
		fail_msg("%d instead of %d: %s", end->result, code, end->error.text);
	assert_int_equal(end->error.code, code);
	assert_true(strlen(end->error.text) > 10);
	assert_int_equal(rs_migrate_status(end->guest->state), RS_STATUS_FAILED);
}

/* Callbacks that block are their own masters: stall-timeout is for those that say EAGAIN. */
static const struct fake_options patient = { .nonblocking = true };

/* ---- peers that stall ----------------------------------------------------------------------- */

/* The peer opens the connection and does nothing, or reads a little and then nothing. */
static void the_destination_stalls(void **state)
{
	static const size_t capacities[] = { 1, 64, 5000, 300000 };

	(void)state;
	for (size_t i = 0; i < sizeof(capacities) / sizeof(capacities[0]); i++) {
		const struct fake_options narrow = { .capacity = capacities[i],
						     .nonblocking = true };
		struct transfer_end end;
		struct rs_stream *out, *in;
		struct pair pair;

		open_pair(&pair, "200");
		assert_int_equal(fake_stream_pair(&narrow, &patient, &out, &in), 0);
		transfer_end_start(&end, pair.from, out, transfer_out);
		transfer_end_join(&end);
		rs_stream_close(in, NULL);
		check_failed(&end, -ETIMEDOUT);
		pair_move_on(&pair);
		close_pair(&pair);
	}
}

/* The same through a socket, where the kernel does the waiting. */
static void a_socket_stalls(void **state)
{
	struct transfer_end end;
	struct rs_stream *out;
	struct pair pair;
	int ends[2];

	(void)state;
	for (int pass = 0; pass < 2; pass++) {
		open_pair(&pair, "200");
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
		/* One-way, so that it gets stuck in the pages and not before. */
		assert_int_equal(rs_stream_from_fd(ends[0],
						   pass == 0 ? RS_STREAM_TWO_WAY : RS_STREAM_WRITE,
						   &out),
				 0);
		transfer_end_start(&end, pair.from, out, transfer_out);
		transfer_end_join(&end);
		close(ends[1]);
		check_failed(&end, -ETIMEDOUT);
		pair_move_on(&pair);
		close_pair(&pair);
	}
}

static void the_source_stalls(void **state)
{
	struct transfer_end end;
	struct rs_stream *out, *in;
	struct pair pair;

	(void)state;
	open_pair(&pair, "200");
	assert_int_equal(fake_stream_pair(&patient, &patient, &out, &in), 0);
	rs_stream_put_be32(out, 0x5145564d);
	assert_int_equal(rs_stream_flush(out), 0);
	transfer_end_start(&end, pair.to, in, transfer_in);
	transfer_end_join(&end);
	rs_stream_close(out, NULL);
	check_failed(&end, -ETIMEDOUT);
	pair_move_on(&pair);
	close_pair(&pair);
}

/* ---- peers that dawdle ---------------------------------------------------------------------- */

/* A byte a second is a stall to whoever does not want to wait that long. */
static void a_byte_a_second_is_a_stall(void **state)
{
	const struct fake_options slow = {
		.max_bytes = 1, .read_delay_us = 1000000, .nonblocking = true, .capacity = 3
	};
	struct transfer transfer;
	struct rs_stream *out, *in;
	struct pair pair;

	(void)state;
	open_pair(&pair, "60000");
	assert_int_equal(rs_param_set(pair.from->state, "stall-timeout", "300"), 0);
	assert_int_equal(fake_stream_pair(&slow, &patient, &out, &in), 0);
	transfer_run(&transfer, pair.from, out, pair.to, in);
	check_failed(&transfer.out, -ETIMEDOUT);
	assert_true(transfer.in.result < 0);
	pair_move_on(&pair);
	close_pair(&pair);
}

/* To whoever wants to it is progress: it goes on until somebody cancels it. */
static void a_slow_peer_can_be_cancelled(void **state)
{
	const struct fake_options slow = { .max_bytes = 1, .read_delay_us = 20000, .capacity = 16 };
	struct transfer transfer;
	struct rs_stream *out, *in;
	struct pair pair;

	(void)state;
	open_pair(&pair, "20000");
	assert_int_equal(fake_stream_pair(&slow, &patient, &out, &in), 0);
	transfer_end_start(&transfer.in, pair.to, in, transfer_in);
	transfer_end_start(&transfer.out, pair.from, out, transfer_out);
	usleep(500000);
	assert_int_equal(rs_migrate_cancel(pair.from->state), 0);
	transfer_end_join(&transfer.out);
	transfer_end_join(&transfer.in);
	assert_int_equal(transfer.out.result, -ECANCELED);
	assert_true(transfer.in.result < 0);
	pair_move_on(&pair);
	close_pair(&pair);
}

/* A guest of a few pages gets through even so. */
static void single_bytes_arrive(void **state)
{
	const struct fake_options single = { .max_bytes = 1, .capacity = 1 };
	const struct guest_spec small = {
		.page_bytes = 4096,
		.region_count = 1,
		.regions = { { .kind = GUEST_PRIVATE,
			       .used_bytes = 3 * 4096,
			       .filled_percent = 100 } },
		.seed = 4,
	};
	struct transfer transfer;
	struct pair pair;

	(void)state;
	pair_open(&pair, &small);
	pair_migrate(&pair, &single, &single, &transfer);
	pair_check_moved(&pair, &transfer);
	pair_close(&pair);
}

/* ---- peers that vanish ---------------------------------------------------------------------- */

struct quitter {
	struct rs_stream *stream;
	uint64_t bytes;
	pthread_t thread;
};

static void *quitter_main(void *argument)
{
	struct quitter *quitter = argument;

	rs_stream_skip(quitter->stream, quitter->bytes);
	rs_stream_close(quitter->stream, NULL);
	return NULL;
}

/* A reader that goes away in the middle, over every kind of connection. */
static void vanishing_reader(enum link_kind kind, struct test_random *random)
{
	struct pair pair;
	struct quitter quitter = { .bytes = test_random_below(random, 1000000) };
	struct transfer_end end;
	struct link link;

	open_pair(&pair, "60000");
	assert_int_equal(link_open(&link, kind, random, NULL, NULL), 0);
	quitter.stream = link.in;
	assert_int_equal(pthread_create(&quitter.thread, NULL, quitter_main, &quitter), 0);
	/* Two-way ones would wait for an answer first. */
	assert_int_equal(rs_param_set(pair.from->state, "machine", "pc"), 0);
	transfer_end_start(&end, pair.from, link.out, transfer_out);
	transfer_end_join(&end);
	pthread_join(quitter.thread, NULL);
	/* The kernel may take it all for a reader that is about to go: nobody would answer. */
	if (end.result == 0 && kind == LINK_TCP)
		guest_run_again(pair.from);
	else if (end.result == -EPIPE || end.result == -ECONNRESET)
		check_failed(&end, end.result);
	else
		fail_msg("%s: %d: %s", link_kind_name(kind), end.result, end.error.text);
	assert_int_equal(rs_param_set(pair.from->state, "machine", ""), 0);
	pair_move_on(&pair);
	close_pair(&pair);
}

static void the_peer_vanishes(void **state)
{
	struct test_random random = { 6 };

	(void)state;
	for (int kind = 0; kind < LINK_KINDS; kind++)
		for (unsigned i = 0; kind != LINK_FILE && i < 3; i++)
			vanishing_reader((enum link_kind)kind, &random);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_destination_stalls),
		cmocka_unit_test(a_socket_stalls),
		cmocka_unit_test(the_source_stalls),
		cmocka_unit_test(a_byte_a_second_is_a_stall),
		cmocka_unit_test(a_slow_peer_can_be_cancelled),
		cmocka_unit_test(single_bytes_arrive),
		cmocka_unit_test(the_peer_vanishes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
