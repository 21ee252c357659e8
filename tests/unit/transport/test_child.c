/* SPDX-License-Identifier: MIT */
/* exec: commands, through the addresses that start them. */
#include "support/stream_end.h"
#include "transport/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static struct rs_stream *to_command(const char *address)
{
	struct rs_stream *stream = NULL;
	struct rs_error error;

	if (rs_stream_connect(address, 0, &stream, &error) != 0)
		fail_msg("%s", error.text);
	assert_int_equal(rs_stream_flags(stream), RS_STREAM_WRITE);
	return stream;
}

static struct rs_stream *from_command(const char *address)
{
	struct rs_listener *listener = NULL;
	struct rs_stream *stream = NULL;
	struct rs_error error;

	if (rs_stream_listen(address, &listener, &error) != 0)
		fail_msg("%s", error.text);
	assert_string_equal(rs_listener_address(listener), address);
	assert_int_equal(rs_listener_accept(listener, 0, &stream, &error), 0);
	assert_int_equal(rs_stream_flags(stream), RS_STREAM_READ);
	rs_listener_close(listener);
	return stream;
}

/* All that a command writes, as text. */
static void read_text(const char *address, char *text, size_t bytes)
{
	struct rs_stream *stream = from_command(address);
	size_t used = 0;

	while (!stream_at_end(stream)) {
		assert_int_equal(rs_stream_error(stream, NULL), 0);
		assert_true(used < bytes - 1);
		text[used++] = (char)rs_stream_get_u8(stream);
	}
	text[used] = '\0';
	assert_int_equal(rs_stream_close(stream, NULL), 0);
}

static void bytes_pass_to_and_from_commands(void **state)
{
	char path[] = "/tmp/ramsync-test-XXXXXX", address[100], text[100];
	int fd = mkstemp(path);
	struct rs_stream *stream;

	(void)state;
	assert_true(fd >= 0);
	snprintf(address, sizeof(address), "exec:tr a-z A-Z | cat >%s", path);
	stream = to_command(address);
	rs_stream_put_bytes(stream, "hello", 5);
	assert_int_equal(rs_stream_flush(stream), 0);
	assert_int_equal(rs_stream_close(stream, NULL), 0);
	snprintf(address, sizeof(address), "exec:cat %s; echo .", path);
	read_text(address, text, sizeof(text));
	assert_string_equal(text, "HELLO.\n");
	close(fd);
	unlink(path);
}

static void a_command_that_fails_is_reported(void **state)
{
	static const struct {
		const char *address;
		const char *why;
	} cases[] = {
		{ "exec:cat >/dev/null; exit 3", "exit code 3" },
		{ "exec:/nonexistent/command", "exit code 127" },
		{ "exec:kill -9 $$", "signal 9 (KILL)" },
		{ "exec:kill -13 $$", "signal 13 (PIPE)" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rs_stream *stream = to_command(cases[i].address);
		struct rs_error error;

		assert_int_equal(rs_stream_close(stream, &error), -EIO);
		assert_int_equal(error.code, -EIO);
		assert_non_null(strstr(error.text, cases[i].address + strlen("exec:")));
		if (strstr(error.text, cases[i].why) == NULL)
			fail_msg("\"%s\" does not say \"%s\"", error.text, cases[i].why);
	}
}

static void a_command_that_we_stop_reading_has_not_failed(void **state)
{
	struct rs_stream *stream = from_command("exec:yes; exit 0");

	(void)state;
	assert_int_equal(rs_stream_get_u8(stream), 'y');
	assert_int_equal(rs_stream_close(stream, NULL), 0);
	stream = from_command("exec:exec yes");
	assert_int_equal(rs_stream_get_u8(stream), 'y');
	assert_int_equal(rs_stream_close(stream, NULL), 0);
	/* But an exit code of its own counts. */
	stream = from_command("exec:echo y; exit 4");
	assert_int_equal(rs_stream_skip(stream, 2), 0);
	assert_int_equal(rs_stream_close(stream, NULL), -EIO);
}

static void writing_to_a_command_that_is_gone_fails(void **state)
{
	struct rs_stream *stream = to_command("exec:exit 0");
	static uint8_t bytes[4u << 20];

	(void)state;
	rs_stream_put_ref(stream, bytes, sizeof(bytes));
	assert_int_equal(rs_stream_flush(stream), -EPIPE);
	assert_int_equal(rs_stream_close(stream, NULL), 0);
}

static void a_command_that_does_not_end_is_killed(void **state)
{
	struct rs_stream *stream = to_command("exec:exec sleep 1000");
	struct rs_error error;

	(void)state;
	assert_int_equal(rs_stream_close(stream, &error), -EIO);
	assert_non_null(strstr(error.text, "was killed: it had not ended after 5 s"));
}

/* ---- what a command finds, and what it leaves ---------------------------------------------- */

static void assert_no_sigpipe_in(const char *status, const char *field)
{
	const char *line = strstr(status, field);

	assert_non_null(line);
	assert_int_equal(strtoull(line + strlen(field), NULL, 16) >> (SIGPIPE - 1) & 1, 0);
}

static void a_command_starts_with_clean_signals(void **state)
{
	sigset_t all, before;
	char text[4000];
	const char *blocked;

	(void)state;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	signal(SIGPIPE, SIG_IGN);
	read_text("exec:exec cat /proc/self/status", text, sizeof(text));
	signal(SIGPIPE, SIG_DFL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	assert_no_sigpipe_in(text, "SigIgn:\t");
	blocked = strstr(text, "SigBlk:\t");
	assert_non_null(blocked);
	assert_int_equal(strtoull(blocked + strlen("SigBlk:\t"), NULL, 16), 0);
}

static void a_command_inherits_no_descriptor_of_ours(void **state)
{
	struct rs_stream *other = from_command("exec:sleep 0.01");
	char before[400], text[400];

	(void)state;
	/* Besides the three, "ls" has the folder it lists; the tests' runner may leave more. */
	read_text("exec:ls /proc/self/fd | wc -l", before, sizeof(before));
	{
		struct rs_stream *more[4];
		int i;

		for (i = 0; i < 4; i++)
			more[i] = to_command("exec:cat >/dev/null");
		read_text("exec:ls /proc/self/fd | wc -l", text, sizeof(text));
		for (i = 0; i < 4; i++)
			assert_int_equal(rs_stream_close(more[i], NULL), 0);
	}
	assert_string_equal(text, before);
	rs_stream_close(other, NULL);
}

static atomic_int children_ended;

static void count_child(int number)
{
	(void)number;
	atomic_fetch_add(&children_ended, 1);
}

static void the_embedders_children_and_handler_stay_its_own(void **state)
{
	const struct sigaction action = { .sa_handler = count_child, .sa_flags = SA_RESTART };
	struct sigaction before, after;
	struct rs_stream *stream;
	pid_t child = fork();
	int status;

	(void)state;
	if (child == 0)
		_exit(17);
	sigaction(SIGCHLD, &action, &before);
	stream = to_command("exec:cat >/dev/null");
	assert_int_equal(rs_stream_close(stream, NULL), 0);
	sigaction(SIGCHLD, &before, &after);
	assert_true(after.sa_handler == count_child);
	assert_true(atomic_load(&children_ended) > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(WEXITSTATUS(status), 17);
}

static void a_status_that_somebody_else_took_is_no_success(void **state)
{
	struct rs_stream *stream;
	struct rs_error error;

	(void)state;
	signal(SIGCHLD, SIG_IGN);
	stream = to_command("exec:cat >/dev/null");
	assert_int_equal(rs_stream_close(stream, &error), -ECHILD);
	assert_non_null(strstr(error.text, "nobody knows how the command"));
	signal(SIGCHLD, SIG_DFL);
}

static void standard_descriptors_may_be_closed(void **state)
{
	int saved_in = dup(0), saved_out = dup(1);
	struct rs_stream *stream;
	char text[100];
	int code;

	(void)state;
	/* The pipe's ends become 0 and 1, the very numbers that the command is to find them at. */
	close(0);
	close(1);
	read_text("exec:echo x", text, sizeof(text));
	stream = to_command("exec:read line && test \"$line\" = y");
	rs_stream_put_bytes(stream, "y\n", 2);
	rs_stream_flush(stream);
	code = rs_stream_close(stream, NULL);
	dup2(saved_in, 0);
	dup2(saved_out, 1);
	close(saved_in);
	close(saved_out);
	assert_string_equal(text, "x\n");
	assert_int_equal(code, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_pass_to_and_from_commands),
		cmocka_unit_test(a_command_that_fails_is_reported),
		cmocka_unit_test(a_command_that_we_stop_reading_has_not_failed),
		cmocka_unit_test(writing_to_a_command_that_is_gone_fails),
		cmocka_unit_test(a_command_that_does_not_end_is_killed),
		cmocka_unit_test(a_command_starts_with_clean_signals),
		cmocka_unit_test(a_command_inherits_no_descriptor_of_ours),
		cmocka_unit_test(the_embedders_children_and_handler_stay_its_own),
		cmocka_unit_test(a_status_that_somebody_else_took_is_no_success),
		cmocka_unit_test(standard_descriptors_may_be_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
