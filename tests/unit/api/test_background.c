/* SPDX-License-Identifier: MIT */
/* Migrations in threads of the library's, seen from the threads that started them. */
#include "support/plain_region.h"
#include "support/two_ends.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static struct two_ends ends;

static int setup(void **state)
{
	(void)state;
	two_ends_open(&ends, 4096);
	two_ends_connect(&ends, NULL, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	two_ends_close(&ends);
	return 0;
}

static int start_out(struct end *end)
{
	return rs_migrate_start_out(end->state, end->stream, &journal_vm_ops, &end->vm);
}

static int start_in(struct end *end)
{
	return rs_migrate_start_in(end->state, end->stream, &journal_vm_ops, &end->vm);
}

static bool readable(int fd, int timeout_ms)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	return poll(&poll_fd, 1, timeout_ms) == 1 && (poll_fd.revents & POLLIN) != 0;
}

static void started_and_waited_for(void **state)
{
	int out_fd = rs_migrate_event_fd(ends.source.state);
	int in_fd = rs_migrate_event_fd(ends.destination.state);

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		two_ends_connect(&ends, NULL, NULL);
		assert_false(readable(out_fd, 0));
		assert_int_equal(start_in(&ends.destination), 0);
		/* Nothing has come yet: it cannot have ended. */
		assert_false(readable(in_fd, 0));
		assert_int_equal(start_out(&ends.source), 0);
		assert_true(readable(out_fd, 60000));
		assert_true(readable(in_fd, 60000));
		assert_int_equal(rs_migrate_wait(ends.source.state), 0);
		assert_int_equal(rs_migrate_wait(ends.destination.state), 0);
		assert_false(readable(out_fd, 0));
		assert_true(two_ends_equal(&ends));
	}
}

static void nothing_to_wait_for(void **state)
{
	(void)state;
	assert_int_equal(rs_migrate_wait(ends.source.state), -ESRCH);
	assert_int_equal(rs_migrate_cancel(ends.source.state), -ESRCH);
	assert_string_not_equal(plain_error_text(ends.source.state, RS_ERROR_OF_CALL), "");
	two_ends_migrate(&ends);
	assert_int_equal(rs_migrate_wait(ends.source.state), -ESRCH);
	assert_int_equal(rs_migrate_cancel(ends.source.state), -ESRCH);
}

static void one_at_a_time(void **state)
{
	struct rs_stream *stream;

	(void)state;
	assert_int_equal(rs_stream_to_memory(1 << 20, &stream), 0);
	assert_int_equal(start_in(&ends.destination), 0);
	/* Not outwards, not inwards, not by the handlers. */
	assert_int_equal(start_in(&ends.destination), -EBUSY);
	assert_int_equal(start_out(&ends.destination), -EBUSY);
	assert_int_equal(rs_migrate_out(ends.destination.state, stream, &journal_vm_ops,
					&ends.destination.vm),
			 -EBUSY);
	assert_int_equal(rs_save_setup(ends.destination.state, stream), -EBUSY);
	assert_int_equal(rs_load_setup(ends.destination.state, NULL, NULL), -EBUSY);
	assert_non_null(
	    strstr(plain_error_text(ends.destination.state, RS_ERROR_OF_CALL), "a migration runs"));
	/* The other state is not concerned, nor is the migration that runs. */
	assert_int_equal(start_out(&ends.source), 0);
	assert_int_equal(rs_migrate_wait(ends.source.state), 0);
	assert_int_equal(rs_migrate_wait(ends.destination.state), 0);
	assert_true(two_ends_equal(&ends));
	rs_stream_close(stream, NULL);
}

/* It has ended, but its result has not been fetched: that comes first. */
static void not_before_the_last_was_waited_for(void **state)
{
	(void)state;
	assert_int_equal(start_in(&ends.destination), 0);
	assert_int_equal(start_out(&ends.source), 0);
	assert_true(readable(rs_migrate_event_fd(ends.source.state), 60000));
	assert_int_equal(rs_migrate_wait(ends.destination.state), 0);
	assert_int_equal(start_out(&ends.source), -EBUSY);
	assert_non_null(
	    strstr(plain_error_text(ends.source.state, RS_ERROR_OF_CALL), "waited for"));
	assert_int_equal(rs_migrate_status(ends.source.state), RS_STATUS_COMPLETED);
	assert_int_equal(rs_migrate_wait(ends.source.state), 0);
	two_ends_connect(&ends, NULL, NULL);
	two_ends_migrate(&ends);
	assert_int_equal(ends.source.result, 0);
}

/* ---- cancel -------------------------------------------------------------------------------- */

/* The peer says nothing, ever; cancel has to wake whatever waits for it, at any moment. */
static void cancelled_while_the_peer_stalls(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		struct end *end = i % 2 ? &ends.source : &ends.destination;

		two_ends_connect(&ends, NULL, NULL);
		end->vm.journal[0] = '\0';
		assert_int_equal(i % 2 ? start_out(end) : start_in(end), 0);
		if (i % 4 >= 2)
			usleep(i * 10);
		assert_int_equal(rs_migrate_cancel(end->state), 0);
		assert_int_equal(rs_migrate_wait(end->state), -ECANCELED);
		assert_int_equal(rs_migrate_status(end->state), RS_STATUS_CANCELLED);
		assert_string_equal(end->vm.journal, "setup cancelling cancelled ");
		assert_string_equal(end_error(end), "the migration was cancelled");
	}
	/* And all is well afterwards. */
	two_ends_connect(&ends, NULL, NULL);
	two_ends_migrate(&ends);
	assert_int_equal(ends.source.result, 0);
	assert_true(two_ends_equal(&ends));
}

/* The status in which the hook cancels, from inside the migration. */
static void cancel_at(struct journal_vm *vm, const char *word)
{
	if (strcmp(word, vm->hook_opaque) == 0)
		assert_int_equal(rs_migrate_cancel(vm->state), 0);
}

static void cancelled_from_inside(void **state)
{
	static const struct {
		const char *word, *journal;
	} cases[] = {
		{ "setup", "setup cancelling cancelled " },
		{ "active", "setup active pass1 cancelling cancelled " },
		{ "pass1", "setup active pass1 cancelling cancelled " },
		{ "pass2", "setup active pass1 pass2 " },
		{ "device", "setup active pass1 pass2 device stop go-on cancelling cancelled " },
		{ "stop", "setup active pass1 pass2 device stop go-on cancelling cancelled " },
		{ "pass3",
		  "setup active pass1 pass2 device stop pass3 save go-on cancelling cancelled " },
		{ "save",
		  "setup active pass1 pass2 device stop pass3 save go-on cancelling cancelled " },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char word[16];

		print_message("%s\n", cases[i].word);
		strcpy(word, cases[i].word);
		ends.source.vm.hook = cancel_at;
		ends.source.vm.hook_opaque = word;
		two_ends_connect(&ends, NULL, NULL);
		two_ends_migrate(&ends);
		assert_int_equal(ends.source.result, -ECANCELED);
		assert_int_equal(rs_migrate_status(ends.source.state), RS_STATUS_CANCELLED);
		assert_int_equal(
		    strncmp(ends.source.vm.journal, cases[i].journal, strlen(cases[i].journal)), 0);
		assert_true(ends.destination.result < 0);
		assert_null(strstr(ends.destination.vm.journal, "resume"));

		ends.source.vm.hook = NULL;
		two_ends_connect(&ends, NULL, NULL);
		two_ends_migrate(&ends);
		assert_int_equal(ends.source.result, 0);
	}
}

static void cancel_too_late(struct journal_vm *vm, const char *word)
{
	if (strcmp(word, "resume") == 0)
		assert_int_equal(rs_migrate_cancel(vm->state), -EALREADY);
}

static void too_late_to_cancel(void **state)
{
	(void)state;
	for (int two_way = 0; two_way < 2; two_way++) {
		if (!two_way)
			two_ends_connect_one_way(&ends, NULL);
		else
			two_ends_connect(&ends, NULL, NULL);
		ends.destination.vm.hook = cancel_too_late;
		two_ends_migrate(&ends);
		assert_int_equal(ends.source.result, 0);
		assert_int_equal(ends.destination.result, 0);
		assert_non_null(
		    strstr(plain_error_text(ends.destination.state, RS_ERROR_OF_CALL), "too late"));
	}
}

/* Cancels from outside at moments of their own: the guest has exactly one end, and where there is
 * doubt both ends know. */
static void *cancel_soon(void *argument)
{
	struct end *end = argument;

	for (unsigned i = 0; i < 50; i++)
		rs_migrate_cancel(end->state);
	return NULL;
}

static void cancelled_at_any_moment(void **state)
{
	unsigned cancelled = 0, completed = 0;

	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		struct end *end = i % 2 ? &ends.source : &ends.destination;
		pthread_t thread;

		two_ends_connect(&ends, NULL, NULL);
		assert_int_equal(pthread_create(&thread, NULL, cancel_soon, end), 0);
		two_ends_migrate(&ends);
		pthread_join(thread, NULL);
		if (ends.source.result == 0) {
			assert_int_equal(ends.destination.result, 0);
			assert_true(two_ends_equal(&ends));
			completed++;
			continue;
		}
		assert_true(ends.source.result != RS_ERROR_IN_DOUBT);
		assert_true(ends.destination.result < 0);
		assert_null(strstr(ends.destination.vm.journal, "resume"));
		if (strstr(ends.source.vm.journal, "stop") != NULL)
			assert_non_null(strstr(ends.source.vm.journal, "go-on"));
		if (ends.destination.result == RS_ERROR_IN_DOUBT)
			assert_int_equal(
			    rs_migrate_resolve(ends.destination.state, RS_RESOLVE_DISCARD), 0);
		cancelled++;
	}
	print_message("%u cancelled, %u completed\n", cancelled, completed);
}

/* ---- from inside --------------------------------------------------------------------------- */

static void wait_inside(struct journal_vm *vm, const char *word)
{
	if (strcmp(word, "active") == 0)
		assert_int_equal(rs_migrate_wait(vm->state), -EDEADLK);
}

static void it_cannot_wait_for_itself(void **state)
{
	(void)state;
	ends.destination.vm.hook = wait_inside;
	assert_int_equal(start_in(&ends.destination), 0);
	assert_int_equal(start_out(&ends.source), 0);
	assert_int_equal(rs_migrate_wait(ends.source.state), 0);
	assert_int_equal(rs_migrate_wait(ends.destination.state), 0);
	assert_non_null(strstr(ends.destination.vm.journal, "active"));
}

static void look_at_the_signals(struct journal_vm *vm, const char *word)
{
	sigset_t *blocked = vm->hook_opaque;

	if (strcmp(word, "active") == 0)
		pthread_sigmask(SIG_BLOCK, NULL, blocked);
}

static void the_thread_takes_no_signal(void **state)
{
	sigset_t blocked, here;

	(void)state;
	sigemptyset(&blocked);
	ends.destination.vm.hook = look_at_the_signals;
	ends.destination.vm.hook_opaque = &blocked;
	assert_int_equal(start_in(&ends.destination), 0);
	assert_int_equal(start_out(&ends.source), 0);
	assert_int_equal(rs_migrate_wait(ends.source.state), 0);
	assert_int_equal(rs_migrate_wait(ends.destination.state), 0);
	assert_int_equal(sigismember(&blocked, SIGTERM), 1);
	assert_int_equal(sigismember(&blocked, SIGCHLD), 1);
	assert_int_equal(sigismember(&blocked, SIGALRM), 1);
	pthread_sigmask(SIG_BLOCK, NULL, &here);
	assert_int_equal(sigismember(&here, SIGTERM), 0);
}

/* ---- states -------------------------------------------------------------------------------- */

/* Whatever the migration is doing, destroy ends it and waits; it does not wait for the peer. */
static void destroyed_while_it_runs(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		struct end *end = i % 2 ? &ends.source : &ends.destination;

		two_ends_connect(&ends, NULL, NULL);
		assert_int_equal(i % 2 ? start_out(end) : start_in(end), 0);
		if (i % 8 >= 4)
			usleep(i * 10);
		rs_state_destroy(end->state);
		end->state = NULL;
		teardown(NULL);
		setup(NULL);
	}
}

static void *destroy(void *argument)
{
	rs_state_destroy(argument);
	return NULL;
}

/* The guest has just begun to run, and its VMM ends: nobody has said yet that it ran. */
static void destroy_meanwhile(struct journal_vm *vm, const char *word)
{
	if (strcmp(word, "resume") != 0)
		return;
	assert_int_equal(pthread_create(vm->hook_opaque, NULL, destroy, vm->state), 0);
	usleep(50000);
}

static void destroyed_at_the_hand_over(void **state)
{
	pthread_t thread;

	(void)state;
	ends.destination.vm.hook = destroy_meanwhile;
	ends.destination.vm.hook_opaque = &thread;
	assert_int_equal(start_in(&ends.destination), 0);
	assert_int_equal(start_out(&ends.source), 0);
	assert_int_equal(rs_migrate_wait(ends.source.state), 0);
	pthread_join(thread, NULL);
	ends.destination.state = NULL;
}

struct pair {
	struct two_ends ends;
	pthread_t thread;
};

static void *migrate_repeatedly(void *argument)
{
	struct pair *pair = argument;

	for (unsigned i = 0; i < 20; i++) {
		two_ends_connect(&pair->ends, NULL, NULL);
		two_ends_migrate(&pair->ends);
		if (pair->ends.source.result != 0 || pair->ends.destination.result != 0 ||
		    !two_ends_equal(&pair->ends))
			return pair;
	}
	return NULL;
}

static void several_at_once(void **state)
{
	static const uint32_t sizes[] = { 4096, 1024, 65536 };
	struct pair *pairs = calloc(3, sizeof(*pairs));

	(void)state;
	assert_non_null(pairs);
	for (size_t i = 0; i < 3; i++) {
		two_ends_open(&pairs[i].ends, sizes[i]);
		assert_int_equal(
		    pthread_create(&pairs[i].thread, NULL, migrate_repeatedly, &pairs[i]), 0);
	}
	for (size_t i = 0; i < 3; i++) {
		void *failed;

		pthread_join(pairs[i].thread, &failed);
		assert_null(failed);
		two_ends_close(&pairs[i].ends);
	}
	free(pairs);
}

/* ---- regions that change under it ---------------------------------------------------------- */

static void a_region_is_removed_meanwhile(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 50; i++) {
		struct end *end = i % 2 ? &ends.source : &ends.destination;

		/* The peer stalls: removal may not wait for it. */
		two_ends_connect(&ends, &(struct fake_options){ .capacity = 100 }, NULL);
		assert_int_equal(i % 2 ? start_out(end) : start_in(end), 0);
		if (i % 8 >= 4)
			usleep(i * 10);
		assert_int_equal(rs_region_remove(end->regions[0]), 0);
		assert_int_equal(rs_migrate_wait(end->state), -ESTALE);
		assert_string_equal(end_error(end), "region a was removed during the migration");
		assert_int_equal(rs_migrate_status(end->state), RS_STATUS_FAILED);
		end->regions[0] =
		    plain_region_add(end->state, "a", end->memory[0], TWO_ENDS_PAGES * 4096, 0);
	}
}

/* The source is in the middle of RAM, and its writes block: the pin is on a region then. */
static void a_region_is_removed_in_mid_ram(void **state)
{
	(void)state;
	two_ends_connect_one_way(&ends, &(struct fake_options){ .capacity = 20000 });
	assert_int_equal(start_out(&ends.source), 0);
	while (rs_migrate_status(ends.source.state) != RS_STATUS_ACTIVE)
		usleep(100);
	usleep(2000);
	assert_int_equal(rs_region_remove(ends.source.regions[1]), 0);
	/* Nothing of it is touched any more. */
	plain_memory_unmap(ends.source.memory[1], TWO_ENDS_PAGES * 4096);
	assert_int_equal(rs_migrate_wait(ends.source.state), -ESTALE);
	ends.source.memory[1] = plain_memory_map(TWO_ENDS_PAGES * 4096);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(started_and_waited_for),
		TEST(nothing_to_wait_for),
		TEST(one_at_a_time),
		TEST(not_before_the_last_was_waited_for),
		TEST(cancelled_while_the_peer_stalls),
		TEST(cancelled_from_inside),
		TEST(too_late_to_cancel),
		TEST(cancelled_at_any_moment),
		TEST(it_cannot_wait_for_itself),
		TEST(the_thread_takes_no_signal),
		TEST(destroyed_while_it_runs),
		TEST(destroyed_at_the_hand_over),
		TEST(several_at_once),
		TEST(a_region_is_removed_meanwhile),
		TEST(a_region_is_removed_in_mid_ram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
