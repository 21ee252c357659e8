/* SPDX-License-Identifier: MIT */
/* Migrations that open their streams themselves: what they wait for, and what ends the wait. */
#include "base/clock.h"
#include "support/plain_region.h"
#include "support/two_ends.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static struct two_ends ends;
static char directory[64];

static int setup(void **state)
{
	(void)state;
	two_ends_open(&ends, 4096);
	strcpy(directory, "/tmp/ramsync-opening.XXXXXX");
	assert_non_null(mkdtemp(directory));
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	two_ends_close(&ends);
	snprintf(command, sizeof(command), "rm -r %s", directory);
	return system(command);
}

static struct rs_listener *listen_on(const char *address)
{
	struct rs_listener *listener;

	assert_int_equal(rs_stream_listen(address, &listener, NULL), 0);
	return listener;
}

static int start_connect(const char *address, unsigned timeout_ms)
{
	ends.source.vm.journal[0] = '\0';
	return rs_migrate_start_connect(ends.source.state, address, timeout_ms, &journal_vm_ops,
					&ends.source.vm);
}

static int start_accept(struct rs_listener *listener, unsigned timeout_ms)
{
	ends.destination.vm.journal[0] = '\0';
	return rs_migrate_start_accept(ends.destination.state, listener, timeout_ms,
				       &journal_vm_ops, &ends.destination.vm);
}

static int wait_out(void)
{
	return rs_migrate_wait(ends.source.state);
}

static int wait_in(void)
{
	return rs_migrate_wait(ends.destination.state);
}

/* From one address to the other and, with the same states, once more. */
static void from_address_to_address(void **state)
{
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "unix:%s/socket", directory);
	for (unsigned i = 0; i < 4; i++) {
		struct rs_listener *listener = listen_on(i % 2 == 0 ? "tcp:127.0.0.1:0" : path);
		char address[128];

		snprintf(address, sizeof(address), "%s", rs_listener_address(listener));
		assert_int_equal(start_accept(listener, 0), 0);
		assert_int_equal(rs_migrate_status(ends.destination.state), RS_STATUS_SETUP);
		assert_int_equal(start_connect(address, 60000), 0);
		assert_int_equal(wait_out(), 0);
		assert_int_equal(wait_in(), 0);
		assert_true(two_ends_equal(&ends));
		assert_int_equal(strncmp(ends.source.vm.journal, "setup active ", 13), 0);
		assert_string_equal(ends.destination.vm.journal,
				    "setup active load:dev resume completed ");
		/* Nobody listens any more. */
		assert_int_equal(start_connect(address, 0), 0);
		assert_true(wait_out() < 0);
		assert_int_equal(rs_migrate_status(ends.source.state), RS_STATUS_FAILED);
		assert_string_equal(ends.source.vm.journal, "setup failed ");
		assert_non_null(strstr(end_error(&ends.source), address));
	}
}

/* What is wrong with the call is said at once, and the listener stays the caller's. */
static void refused_at_once(void **state)
{
	struct rs_listener *listener = listen_on("tcp:127.0.0.1:0");
	const struct rs_vm_ops nothing = { .size = sizeof(nothing) };

	(void)state;
	assert_int_equal(start_connect("teapot:7", 0), -EINVAL);
	assert_non_null(strstr(plain_error_text(ends.source.state, RS_ERROR_OF_CALL), "teapot:7"));
	assert_int_equal(rs_migrate_status(ends.source.state), RS_STATUS_NONE);
	assert_int_equal(
	    rs_migrate_start_accept(ends.destination.state, listener, 0, &nothing, NULL), -EINVAL);
	assert_int_equal(start_accept(listener, 0), 0);

	struct rs_listener *another = listen_on("tcp:127.0.0.1:0");

	assert_int_equal(rs_migrate_start_accept(ends.destination.state, another, 0,
						 &journal_vm_ops, &ends.destination.vm),
			 -EBUSY);
	rs_listener_close(another);
	assert_int_equal(rs_migrate_cancel(ends.destination.state), 0);
	assert_int_equal(wait_in(), -ECANCELED);
}

static void a_peer_that_does_not_come(void **state)
{
	(void)state;
	assert_int_equal(start_accept(listen_on("tcp:127.0.0.1:0"), 20), 0);
	assert_int_equal(wait_in(), -ETIMEDOUT);
	assert_string_equal(ends.destination.vm.journal, "setup failed ");
	assert_non_null(strstr(ends.destination.vm.failure, "nothing accepted on tcp:127.0.0.1:"));
}

/* A named pipe without a reader: opening its other end waits. */
static const char *pipe_address(void)
{
	static char address[128];

	snprintf(address, sizeof(address), "file:%s/pipe", directory);
	if (access(address + strlen("file:"), F_OK) != 0)
		assert_int_equal(mkfifo(address + strlen("file:"), 0600), 0);
	return address;
}

static void cancelled_while_it_waits(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		struct end *end = i % 2 ? &ends.source : &ends.destination;

		assert_int_equal(i % 2 ? start_connect(pipe_address(), 0)
				       : start_accept(listen_on("tcp:127.0.0.1:0"), 0),
				 0);
		if (i % 4 >= 2)
			usleep(i * 10);
		assert_int_equal(rs_migrate_status(end->state), RS_STATUS_SETUP);
		assert_int_equal(rs_migrate_cancel(end->state), 0);
		assert_int_equal(rs_migrate_wait(end->state), -ECANCELED);
		assert_int_equal(rs_migrate_status(end->state), RS_STATUS_CANCELLED);
		assert_string_equal(end->vm.journal, "setup cancelling cancelled ");
		assert_string_equal(end_error(end), "the migration was cancelled");
	}
}

static void cancel_at_once(struct journal_vm *vm, const char *word)
{
	if (strcmp(word, "setup") == 0)
		assert_int_equal(rs_migrate_cancel(vm->state), 0);
}

static void cancelled_from_inside(void **state)
{
	(void)state;
	ends.source.vm.hook = cancel_at_once;
	assert_int_equal(start_connect(pipe_address(), 0), 0);
	assert_int_equal(wait_out(), -ECANCELED);
	assert_string_equal(ends.source.vm.journal, "setup cancelling cancelled ");
}

static void destroyed_while_it_waits(void **state)
{
	struct rs_state *other = plain_state(4096);
	struct journal_vm vm = { .state = other };

	(void)state;
	assert_int_equal(rs_migrate_start_accept(other, listen_on("tcp:127.0.0.1:0"), 0,
						 &journal_vm_ops, &vm),
			 0);
	rs_state_destroy(other);
	assert_string_equal(vm.journal, "setup cancelling cancelled ");
}

/* Whoever waits for a guest may plug memory meanwhile; whoever has a guest that moves may not. */
static void regions_change_while_it_waits(void **state)
{
	struct rs_listener *listener = listen_on("tcp:127.0.0.1:0");
	uint8_t *memory = plain_memory_map(4096);
	char address[128];

	(void)state;
	snprintf(address, sizeof(address), "%s", rs_listener_address(listener));
	assert_int_equal(start_accept(listener, 0), 0);

	struct rs_region *extra =
	    plain_region_add(ends.destination.state, "extra", memory, 4096, 0);

	assert_int_equal(rs_region_remove(extra), 0);
	assert_int_equal(start_connect(address, 0), 0);
	assert_int_equal(wait_out(), 0);
	assert_int_equal(wait_in(), 0);
	assert_true(two_ends_equal(&ends));
	plain_memory_unmap(memory, 4096);
}

static void add_a_region(struct journal_vm *vm, const char *word)
{
	if (strcmp(word, "active") == 0)
		plain_region_add(vm->state, "extra", vm->hook_opaque, 4096, 0);
}

static void regions_change_later(void **state)
{
	struct rs_listener *listener = listen_on("tcp:127.0.0.1:0");
	uint8_t *memory = plain_memory_map(4096);

	(void)state;
	ends.source.vm.hook = add_a_region;
	ends.source.vm.hook_opaque = memory;
	assert_int_equal(start_connect(rs_listener_address(listener), 0), 0);
	assert_int_equal(start_accept(listener, 0), 0);
	assert_int_equal(wait_out(), -ESTALE);
	assert_true(wait_in() < 0);
	plain_memory_unmap(memory, 4096);
}

/* The stream took all of it, but whether the guest is anywhere only the command could say. */
static void a_command_that_fails_at_the_end(void **state)
{
	(void)state;
	assert_int_equal(start_connect("exec:cat >/dev/null; exit 3", 0), 0);
	assert_int_equal(wait_out(), RS_ERROR_IN_DOUBT);
	assert_int_equal(rs_migrate_status(ends.source.state), RS_STATUS_IN_DOUBT);
	assert_non_null(strstr(ends.source.vm.journal, "stop pass3 save in-doubt "));
	assert_non_null(strstr(end_error(&ends.source), "3"));
	assert_int_equal(start_connect("exec:cat >/dev/null", 0), -EBUSY);
	assert_int_equal(rs_migrate_resolve(ends.source.state, RS_RESOLVE_RUN), 0);
	assert_string_equal(ends.source.vm.journal, "go-on failed ");
	assert_non_null(strstr(end_error(&ends.source), "3"));
	assert_int_equal(start_connect("exec:cat >/dev/null", 0), 0);
	assert_int_equal(wait_out(), 0);
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* It is the library's from the call on, whatever comes. */
static void a_descriptor_is_closed(void **state)
{
	(void)state;
	for (unsigned cancelled = 0; cancelled < 2; cancelled++) {
		char address[32];
		int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

		snprintf(address, sizeof(address), "fd:%d", fd);
		ends.source.vm.hook = cancelled ? cancel_at_once : NULL;
		assert_int_equal(start_connect(address, 0), 0);
		assert_int_equal(wait_out(), cancelled ? -ECANCELED : 0);
		assert_false(is_open(fd));
	}
}

static uint64_t total_time_ms(void)
{
	struct rs_stats stats = { .size = sizeof(stats) };

	assert_int_equal(rs_stats_get(ends.source.state, &stats), 0);
	return stats.total_time_ms;
}

static void time_ends_with_the_wait(void **state)
{
	(void)state;
	assert_int_equal(start_connect("file:/no/where", 0), 0);
	assert_true(wait_out() < 0);

	uint64_t total_ms = total_time_ms();

	poll(NULL, 0, 20);
	assert_int_equal(total_time_ms(), total_ms);
}

static void the_wait_is_not_counted(void **state)
{
	struct rs_stats stats = { .size = sizeof(stats) };
	struct rs_listener *listener = listen_on("tcp:127.0.0.1:0");
	char address[128];

	(void)state;
	snprintf(address, sizeof(address), "%s", rs_listener_address(listener));
	assert_int_equal(start_accept(listener, 0), 0);
	poll(NULL, 0, 50);

	uint64_t connected_ns = rs_clock_ns();

	assert_int_equal(start_connect(address, 0), 0);
	assert_int_equal(wait_out(), 0);
	assert_int_equal(wait_in(), 0);
	assert_int_equal(rs_stats_get(ends.destination.state, &stats), 0);
	assert_true(stats.total_time_ms <= (rs_clock_ns() - connected_ns) / RS_NS_PER_MS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(from_address_to_address),         TEST(refused_at_once),
		TEST(a_peer_that_does_not_come),       TEST(cancelled_while_it_waits),
		TEST(cancelled_from_inside),           TEST(destroyed_while_it_waits),
		TEST(regions_change_while_it_waits),   TEST(regions_change_later),
		TEST(a_command_that_fails_at_the_end), TEST(a_descriptor_is_closed),
		TEST(time_ends_with_the_wait),         TEST(the_wait_is_not_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
