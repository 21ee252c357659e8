/* SPDX-License-Identifier: MIT */
/*
 * Peers that vanish, stall or dawdle, disks that are full, signals that never stop: a migration
 * ends with a clear error, the guest runs on at the source, and the next migration works. Or, for
 * what is merely unpleasant, it succeeds.
 */
#include "link.h"
#include "support/fake_stream.h"
#include "support/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

/* Nothing here may wait for ever. */
#define WATCHDOG_SECONDS 240

struct fixture {
	struct guest_world world;
	struct guest *from;
	struct guest *to;
	char text[256];
};

static const struct guest_spec spec = {
	.page_bytes = 4096,
	.region_count = 2,
	.regions = { { .kind = GUEST_PRIVATE, .used_bytes = 400 * 4096, .filled_percent = 95 },
		     { .kind = GUEST_MEMFD_ALIASED,
		       .used_bytes = 100 * 4096,
		       .filled_percent = 50 } },
	.writers = 1,
	.burst = 20,
	.seed = 9,
};

static int hook(void *opaque, struct guest *guest, enum guest_moment moment)
{
	struct fixture *fixture = opaque;

	if (moment == GUEST_PASS)
		atomic_store(&guest->quiet, true);
	if (moment == GUEST_RESUMES && guest == fixture->to)
		guest_compare(fixture->from, guest, fixture->text, sizeof(fixture->text));
	return 0;
}

static void new_destination(struct fixture *fixture)
{
	guest_destroy(fixture->to);
	fixture->to = guest_create_destination(&spec, &fixture->world);
	assert_non_null(fixture->to);
	fixture->to->hook = hook;
	fixture->to->hook_opaque = fixture;
}

static void fixture_open(struct fixture *fixture)
{
	*fixture = (struct fixture){ .text = "" };
	fixture->from = guest_create_source(&spec, &fixture->world);
	assert_non_null(fixture->from);
	fixture->from->hook = hook;
	fixture->from->hook_opaque = fixture;
	assert_int_equal(rs_param_set(fixture->from->state, "max-bandwidth", "0"), 0);
	new_destination(fixture);
	alarm(WATCHDOG_SECONDS);
}

static void set_stall_timeout(struct fixture *fixture, const char *milliseconds)
{
	assert_int_equal(rs_param_set(fixture->from->state, "stall-timeout", milliseconds), 0);
	assert_int_equal(rs_param_set(fixture->to->state, "stall-timeout", milliseconds), 0);
}

static void check_moved(struct fixture *fixture, const struct transfer *transfer)
{
	char text[256];

	if (transfer->out.result != 0 || transfer->in.result != 0)
		fail_msg("source %d: %s; destination %d: %s", transfer->out.result,
			 transfer->out.error.text, transfer->in.result, transfer->in.error.text);
	assert_string_equal(fixture->text, "");
	assert_true(!fixture->from->running && fixture->to->running);
	assert_false(atomic_load(&fixture->world.both));
	guest_let_write(fixture->to, 50);
	guest_fault(fixture->to, text, sizeof(text));
	assert_string_equal(text, "");
}

/* After a failure: the guest is the source's, whole, and can be moved. */
static void migrate_well(struct fixture *fixture)
{
	struct transfer transfer;
	struct rs_stream *out, *in;

	assert_true(fixture->from->running && !fixture->to->running);
	guest_let_write(fixture->from, 50);
	new_destination(fixture);
	set_stall_timeout(fixture, "60000");
	assert_int_equal(fake_stream_pair(NULL, NULL, &out, &in), 0);
	transfer_run(&transfer, fixture->from, out, fixture->to, in);
	check_moved(fixture, &transfer);
}

static void fixture_close(struct fixture *fixture)
{
	alarm(0);
	guest_destroy(fixture->from);
	guest_destroy(fixture->to);
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
		struct fixture fixture;

		fixture_open(&fixture);
		set_stall_timeout(&fixture, "200");
		assert_int_equal(fake_stream_pair(&narrow, &patient, &out, &in), 0);
		transfer_end_start(&end, fixture.from, out, transfer_out);
		transfer_end_join(&end);
		rs_stream_close(in, NULL);
		check_failed(&end, -ETIMEDOUT);
		migrate_well(&fixture);
		fixture_close(&fixture);
	}
}

/* The same through a socket, where the kernel does the waiting. */
static void a_socket_stalls(void **state)
{
	struct transfer_end end;
	struct rs_stream *out;
	struct fixture fixture;
	int ends[2];

	(void)state;
	for (int pass = 0; pass < 2; pass++) {
		fixture_open(&fixture);
		set_stall_timeout(&fixture, "200");
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
		/* One-way, so that it gets stuck in the pages and not before. */
		assert_int_equal(rs_stream_from_fd(ends[0],
						   pass == 0 ? RS_STREAM_TWO_WAY : RS_STREAM_WRITE,
						   &out),
				 0);
		transfer_end_start(&end, fixture.from, out, transfer_out);
		transfer_end_join(&end);
		close(ends[1]);
		check_failed(&end, -ETIMEDOUT);
		migrate_well(&fixture);
		fixture_close(&fixture);
	}
}

static void the_source_stalls(void **state)
{
	struct transfer_end end;
	struct rs_stream *out, *in;
	struct fixture fixture;

	(void)state;
	fixture_open(&fixture);
	set_stall_timeout(&fixture, "200");
	assert_int_equal(fake_stream_pair(&patient, &patient, &out, &in), 0);
	rs_stream_put_be32(out, 0x5145564d);
	assert_int_equal(rs_stream_flush(out), 0);
	transfer_end_start(&end, fixture.to, in, transfer_in);
	transfer_end_join(&end);
	rs_stream_close(out, NULL);
	check_failed(&end, -ETIMEDOUT);
	migrate_well(&fixture);
	fixture_close(&fixture);
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
	struct fixture fixture;

	(void)state;
	fixture_open(&fixture);
	assert_int_equal(rs_param_set(fixture.from->state, "stall-timeout", "300"), 0);
	assert_int_equal(fake_stream_pair(&slow, &patient, &out, &in), 0);
	transfer_run(&transfer, fixture.from, out, fixture.to, in);
	check_failed(&transfer.out, -ETIMEDOUT);
	assert_true(transfer.in.result < 0);
	migrate_well(&fixture);
	fixture_close(&fixture);
}

/* To whoever wants to it is progress: it goes on until somebody cancels it. */
static void a_slow_peer_can_be_cancelled(void **state)
{
	const struct fake_options slow = { .max_bytes = 1, .read_delay_us = 20000, .capacity = 16 };
	struct transfer transfer;
	struct rs_stream *out, *in;
	struct fixture fixture;

	(void)state;
	fixture_open(&fixture);
	set_stall_timeout(&fixture, "20000");
	assert_int_equal(fake_stream_pair(&slow, &patient, &out, &in), 0);
	transfer_end_start(&transfer.in, fixture.to, in, transfer_in);
	transfer_end_start(&transfer.out, fixture.from, out, transfer_out);
	usleep(500000);
	assert_int_equal(rs_migrate_cancel(fixture.from->state), 0);
	transfer_end_join(&transfer.out);
	transfer_end_join(&transfer.in);
	assert_int_equal(transfer.out.result, -ECANCELED);
	assert_true(transfer.in.result < 0);
	migrate_well(&fixture);
	fixture_close(&fixture);
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
	struct guest_world world = { 0 };
	struct guest *from = guest_create_source(&small, &world);
	struct guest *to = guest_create_destination(&small, &world);
	struct transfer transfer;
	struct rs_stream *out, *in;
	char text[256];

	(void)state;
	assert_true(from != NULL && to != NULL);
	assert_int_equal(fake_stream_pair(&single, &single, &out, &in), 0);
	transfer_run(&transfer, from, out, to, in);
	assert_int_equal(transfer.out.result, 0);
	assert_int_equal(transfer.in.result, 0);
	guest_compare(from, to, text, sizeof(text));
	assert_string_equal(text, "");
	guest_destroy(from);
	guest_destroy(to);
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
	struct fixture fixture;
	struct quitter quitter = { .bytes = test_random_below(random, 1000000) };
	struct transfer_end end;
	struct link link;

	fixture_open(&fixture);
	assert_int_equal(link_open(&link, kind, random, NULL, NULL), 0);
	quitter.stream = link.in;
	assert_int_equal(pthread_create(&quitter.thread, NULL, quitter_main, &quitter), 0);
	/* Two-way ones would wait for an answer first. */
	assert_int_equal(rs_param_set(fixture.from->state, "machine", "pc"), 0);
	transfer_end_start(&end, fixture.from, link.out, transfer_out);
	transfer_end_join(&end);
	pthread_join(quitter.thread, NULL);
	/* The kernel may take it all for a reader that is about to go: nobody would answer. */
	if (end.result == 0 && kind == LINK_TCP)
		guest_run_again(fixture.from);
	else if (end.result == -EPIPE || end.result == -ECONNRESET)
		check_failed(&end, end.result);
	else
		fail_msg("%s: %d: %s", link_kind_name(kind), end.result, end.error.text);
	assert_int_equal(rs_param_set(fixture.from->state, "machine", ""), 0);
	migrate_well(&fixture);
	fixture_close(&fixture);
}

static void the_peer_vanishes(void **state)
{
	struct test_random random = { 6 };

	(void)state;
	for (int kind = 0; kind < LINK_KINDS; kind++)
		for (unsigned i = 0; kind != LINK_FILE && i < 3; i++)
			vanishing_reader((enum link_kind)kind, &random);
}

/* ---- full disks ----------------------------------------------------------------------------- */

static int save_to(struct guest *guest, const char *address, struct rs_error *error)
{
	struct transfer_end end;
	struct rs_stream *stream;
	int result = rs_stream_connect(address, 0, &stream, error);

	if (result != 0)
		return result;
	transfer_end_start(&end, guest, stream, transfer_out);
	transfer_end_join(&end);
	*error = end.error;
	return end.result;
}

static void a_full_device(void **state)
{
	struct rs_error error = { 0 };
	struct fixture fixture;

	(void)state;
	fixture_open(&fixture);
	assert_int_equal(save_to(fixture.from, "file:/dev/full", &error), -ENOSPC);
	assert_true(strlen(error.text) > 10);
	assert_int_equal(rs_migrate_status(fixture.from->state), RS_STATUS_FAILED);
	migrate_well(&fixture);
	fixture_close(&fixture);
}

enum { CHILD_FINE, CHILD_SKIPS = 77, CHILD_FAILS };

/* In a mount namespace of its own, which ends with the process. */
static int fill_disk(const char *folder)
{
	struct rs_error error = { 0 };
	struct guest_world world = { 0 };
	struct guest *guest;
	char address[128];

	if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("full", folder, "tmpfs", 0, "size=200k") != 0)
		return CHILD_SKIPS;
	snprintf(address, sizeof(address), "file:%s/image", folder);
	guest = guest_create_source(&spec, &world);
	if (guest == NULL || save_to(guest, address, &error) != -ENOSPC || !guest->running ||
	    error.text[0] == '\0')
		return CHILD_FAILS;
	guest_destroy(guest);
	return CHILD_FINE;
}

static void a_disk_that_fills_up(void **state)
{
	char folder[] = "/tmp/ramsync-full-XXXXXX";
	int status;
	pid_t child;

	(void)state;
	assert_non_null(mkdtemp(folder));
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(fill_disk(folder));
	assert_int_equal(waitpid(child, &status, 0), child);
	rmdir(folder);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == CHILD_SKIPS) {
		print_message("no file system of a size of its own can be mounted here\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), CHILD_FINE);
}

/* ---- signals -------------------------------------------------------------------------------- */

static _Atomic unsigned signals_taken;

static void take_signal(int number)
{
	(void)number;
	atomic_fetch_add(&signals_taken, 1);
}

struct storm {
	pthread_t targets[2];
	_Atomic bool over;
	pthread_t thread;
};

static void *storm_main(void *argument)
{
	struct storm *storm = argument;

	while (!atomic_load(&storm->over)) {
		pthread_kill(storm->targets[0], SIGUSR1);
		pthread_kill(storm->targets[1], SIGUSR1);
		usleep(50);
	}
	return NULL;
}

static void migrate_in_storm(enum link_kind kind, struct test_random *random)
{
	struct storm storm = { .over = false };
	struct transfer transfer;
	struct fixture fixture;
	struct link link;

	fixture_open(&fixture);
	assert_int_equal(link_open(&link, kind, random, NULL, NULL), 0);
	transfer_end_start(&transfer.in, fixture.to, link.in, transfer_in);
	transfer_end_start(&transfer.out, fixture.from, link.out, transfer_out);
	/* Threads that have ended and were not joined may be sent signals. */
	storm.targets[0] = transfer.out.thread;
	storm.targets[1] = transfer.in.thread;
	assert_int_equal(pthread_create(&storm.thread, NULL, storm_main, &storm), 0);
	while (!atomic_load(&transfer.out.ended) || !atomic_load(&transfer.in.ended))
		usleep(1000);
	atomic_store(&storm.over, true);
	pthread_join(storm.thread, NULL);
	transfer_end_join(&transfer.out);
	transfer_end_join(&transfer.in);
	check_moved(&fixture, &transfer);
	fixture_close(&fixture);
}

/* A handler without SA_RESTART: every wait of the migrating threads ends with EINTR. */
static void signals_never_stop(void **state)
{
	struct sigaction old, action = { .sa_handler = take_signal };
	struct test_random random = { 8 };

	(void)state;
	sigemptyset(&action.sa_mask);
	assert_int_equal(sigaction(SIGUSR1, &action, &old), 0);
	for (int kind = 0; kind < LINK_KINDS; kind++)
		for (unsigned i = 0; kind != LINK_FILE && i < 4; i++)
			migrate_in_storm((enum link_kind)kind, &random);
	sigaction(SIGUSR1, &old, NULL);
	print_message("%u signals\n", atomic_load(&signals_taken));
	assert_true(atomic_load(&signals_taken) > 0);
}

/* ---- short and interrupted calls ------------------------------------------------------------ */

/* Every call moves a random number of bytes, or fails with EINTR or EAGAIN; and both ends say
 * EAGAIN instead of waiting. */
static void calls_are_short(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		const struct fake_options bad = { .seed = 100 + i,
						  .capacity = 40000,
						  .nonblocking = i % 2 == 0 };
		struct transfer transfer;
		struct rs_stream *out, *in;
		struct fixture fixture;

		fixture_open(&fixture);
		assert_int_equal(fake_stream_pair(&bad, &bad, &out, &in), 0);
		transfer_run(&transfer, fixture.from, out, fixture.to, in);
		check_moved(&fixture, &transfer);
		fixture_close(&fixture);
	}
}

/* Descriptors in O_NONBLOCK mode with the smallest of buffers. */
static void descriptors_do_not_block(void **state)
{
	int ends[2], bytes = 1;
	struct transfer transfer;
	struct rs_stream *out, *in;
	struct fixture fixture;

	(void)state;
	fixture_open(&fixture);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends),
			 0);
	for (unsigned i = 0; i < 2; i++) {
		setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
		setsockopt(ends[i], SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	}
	assert_int_equal(rs_stream_from_fd(ends[0], RS_STREAM_TWO_WAY, &out), 0);
	assert_int_equal(rs_stream_from_fd(ends[1], RS_STREAM_TWO_WAY, &in), 0);
	transfer_run(&transfer, fixture.from, out, fixture.to, in);
	check_moved(&fixture, &transfer);
	fixture_close(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* First, while this process has one thread: it forks. */
		cmocka_unit_test(a_disk_that_fills_up),
		cmocka_unit_test(a_full_device),
		cmocka_unit_test(the_destination_stalls),
		cmocka_unit_test(a_socket_stalls),
		cmocka_unit_test(the_source_stalls),
		cmocka_unit_test(a_byte_a_second_is_a_stall),
		cmocka_unit_test(a_slow_peer_can_be_cancelled),
		cmocka_unit_test(single_bytes_arrive),
		cmocka_unit_test(the_peer_vanishes),
		cmocka_unit_test(signals_never_stop),
		cmocka_unit_test(calls_are_short),
		cmocka_unit_test(descriptors_do_not_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
