/* SPDX-License-Identifier: MIT */
/*
 * Disks that are full, which end a migration with a clear error, and system calls that are
 * interrupted, short or would block, which do not.
 */
#include "link.h"
#include "pair.h"

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

static void close_pair(struct pair *pair)
{
	alarm(0);
	pair_close(pair);
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
	struct pair pair;

	(void)state;
	pair_open_small(&pair);
	assert_int_equal(save_to(pair.from, "file:/dev/full", &error), -ENOSPC);
	assert_true(strlen(error.text) > 10);
	assert_int_equal(rs_migrate_status(pair.from->state), RS_STATUS_FAILED);
	pair_move_on(&pair);
	close_pair(&pair);
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
	guest = guest_create_source(&pair_small_guest, &world);
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
	struct pair pair;
	struct link link;

	pair_open_small(&pair);
	assert_int_equal(link_open(&link, kind, random, NULL, NULL), 0);
	transfer_end_start(&transfer.in, pair.to, link.in, transfer_in);
	transfer_end_start(&transfer.out, pair.from, link.out, transfer_out);
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
	pair_check_moved(&pair, &transfer);
	close_pair(&pair);
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
		struct pair pair;

		pair_open_small(&pair);
		assert_int_equal(fake_stream_pair(&bad, &bad, &out, &in), 0);
		transfer_run(&transfer, pair.from, out, pair.to, in);
		pair_check_moved(&pair, &transfer);
		close_pair(&pair);
	}
}

/* Descriptors in O_NONBLOCK mode with the smallest of buffers. */
static void descriptors_do_not_block(void **state)
{
	int ends[2], bytes = 1;
	struct transfer transfer;
	struct rs_stream *out, *in;
	struct pair pair;

	(void)state;
	pair_open_small(&pair);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends),
			 0);
	for (unsigned i = 0; i < 2; i++) {
		setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
		setsockopt(ends[i], SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	}
	assert_int_equal(rs_stream_from_fd(ends[0], RS_STREAM_TWO_WAY, &out), 0);
	assert_int_equal(rs_stream_from_fd(ends[1], RS_STREAM_TWO_WAY, &in), 0);
	transfer_run(&transfer, pair.from, out, pair.to, in);
	pair_check_moved(&pair, &transfer);
	close_pair(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* First, while this process has one thread: it forks. */
		cmocka_unit_test(a_disk_that_fills_up),     cmocka_unit_test(a_full_device),
		cmocka_unit_test(signals_never_stop),       cmocka_unit_test(calls_are_short),
		cmocka_unit_test(descriptors_do_not_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
