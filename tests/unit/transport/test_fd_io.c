/* SPDX-License-Identifier: MIT */
#include "transport/fd_io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

static struct iovec whole(void *data, size_t bytes)
{
	return (struct iovec){ data, bytes };
}

/* Fill until it would block; returns how much that took. */
static size_t fill(struct rs_fd_io *io)
{
	static uint8_t zeros[1 << 20];
	const struct iovec iov[2] = { whole(zeros, 10), whole(zeros, sizeof(zeros)) };
	size_t bytes = 0;
	ssize_t moved;

	while ((moved = rs_fd_io_writev(io, iov, 2)) > 0)
		bytes += (size_t)moved;
	assert_int_equal(moved, -EAGAIN);
	return bytes;
}

static size_t drain(struct rs_fd_io *io)
{
	static uint8_t sink[1 << 20];
	const struct iovec iov[2] = { whole(sink, 10), whole(sink, sizeof(sink)) };
	size_t bytes = 0;
	ssize_t moved;

	while ((moved = rs_fd_io_readv(io, iov, 2)) > 0)
		bytes += (size_t)moved;
	assert_int_equal(moved, -EAGAIN);
	return bytes;
}

static void nothing_blocks_in_blocking_mode(void **state)
{
	int kind;

	(void)state;
	for (kind = 0; kind < 4; kind++) {
		struct rs_fd_io in, out;
		int fds[2], flags, round;

		if (kind < 2)
			assert_int_equal(pipe(fds), 0);
		else
			assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		assert_int_equal(rs_fd_io_init(&in, fds[0]), 0);
		assert_int_equal(rs_fd_io_init(&out, fds[1]), 0);
		assert_int_equal(in.kind, kind < 2 ? RS_FD_PIPE : RS_FD_SOCKET);
		/* As on a kernel without RWF_NOWAIT for pipes. */
		in.poll_to_read = out.poll_to_write = kind == 1;

		assert_int_equal(drain(&in), 0);
		assert_int_equal(drain(&in), 0);
		/* Twice, with all read in between: nothing is lost or made up. */
		for (round = 0; round < 2; round++) {
			size_t bytes = fill(&out);

			assert_true(bytes > PIPE_BUF);
			assert_int_equal(drain(&in), bytes);
		}
		flags = fcntl(fds[0], F_GETFL) | fcntl(fds[1], F_GETFL);
		assert_int_equal(flags & O_NONBLOCK, 0);
		close(fds[1]);
		assert_int_equal(rs_fd_io_readv(&in, &(struct iovec){ &flags, 1 }, 1), 0);
		close(fds[0]);
	}
}

static void terminals_pass_bytes(void **state)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave;
	char text[] = "hello", got[8] = { 0 };
	const struct iovec out = whole(text, 5), in = whole(got, sizeof(got));
	struct rs_fd_io near, far;
	struct termios mode;
	struct pollfd ready;
	size_t sent, received = 0;

	(void)state;
	if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0 ||
	    (slave = open(ptsname(master), O_RDWR | O_NOCTTY)) < 0) {
		print_message("skipped: no pseudo-terminals here\n");
		skip();
		return;
	}
	assert_int_equal(tcgetattr(slave, &mode), 0);
	cfmakeraw(&mode);
	assert_int_equal(tcsetattr(slave, TCSANOW, &mode), 0);
	assert_int_equal(rs_fd_io_init(&near, slave), 0);
	assert_int_equal(rs_fd_io_init(&far, master), 0);
	assert_int_equal(near.kind, RS_FD_TERMINAL);
	assert_int_equal(rs_fd_io_writev(&near, &out, 1), 1);
	assert_int_equal(rs_fd_io_writev(&far, &out, 1), 1);
	ready = (struct pollfd){ .fd = slave, .events = POLLIN };
	assert_int_equal(poll(&ready, 1, -1), 1);
	assert_int_equal(rs_fd_io_readv(&near, &in, 1), 1);
	assert_int_equal(got[0], 'h');
	assert_int_equal(rs_fd_io_readv(&near, &in, 1), -EAGAIN);
	/* A terminal that nobody reads fills up; it does not block. */
	sent = 1 + fill(&near);
	ready.fd = master;
	while (received < sent && poll(&ready, 1, -1) == 1) {
		uint8_t bytes[4096];
		ssize_t moved = rs_fd_io_readv(&far, &(struct iovec){ bytes, sizeof(bytes) }, 1);

		assert_true(moved > 0);
		received += (size_t)moved;
	}
	assert_int_equal(received, sent);
	close(master);
	close(slave);
}

static void what_carries_no_bytes_is_refused(void **state)
{
	struct rs_fd_io io;
	int fds[2];

	(void)state;
	assert_int_equal(rs_fd_io_init(&io, -1), -EBADF);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
	assert_int_equal(rs_fd_io_init(&io, fds[0]), -EINVAL);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	assert_int_equal(rs_fd_io_init(&io, fds[0]), -EINVAL);
	close(fds[0]);
	close(fds[1]);
}

static void a_full_disk_is_told(void **state)
{
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	struct rs_fd_io io;
	char byte = 0;
	const struct iovec iov = whole(&byte, 1);

	(void)state;
	if (fd < 0) {
		print_message("skipped: no /dev/full here\n");
		skip();
		return;
	}
	assert_int_equal(rs_fd_io_init(&io, fd), 0);
	assert_int_equal(rs_fd_io_writev(&io, &iov, 1), -ENOSPC);
	close(fd);
}

/* ---- SIGPIPE ------------------------------------------------------------------------------- */

static bool sigpipe_is_pending(void)
{
	sigset_t pending;

	sigpending(&pending);
	return sigismember(&pending, SIGPIPE);
}

static bool sigpipe_is_blocked(void)
{
	sigset_t mask;

	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	return sigismember(&mask, SIGPIPE);
}

/* A write to a descriptor that nobody reads any more. */
static void write_in_vain(bool is_pipe)
{
	struct rs_fd_io io;
	char byte = 0;
	const struct iovec iov = whole(&byte, 1);
	int fds[2];

	if (is_pipe)
		assert_int_equal(pipe(fds), 0);
	else
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	close(fds[0]);
	assert_int_equal(rs_fd_io_init(&io, fds[1]), 0);
	assert_int_equal(rs_fd_io_writev(&io, &iov, 1), -EPIPE);
	close(fds[1]);
}

/* The default action would end this program: that it goes on is the test. */
static void no_sigpipe_comes_of_a_write(void **state)
{
	sigset_t sigpipe;

	(void)state;
	assert_ptr_equal(signal(SIGPIPE, SIG_DFL), SIG_DFL);
	write_in_vain(true);
	write_in_vain(false);
	assert_false(sigpipe_is_blocked());

	/* A caller that has it blocked finds none pending afterwards... */
	sigemptyset(&sigpipe);
	sigaddset(&sigpipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &sigpipe, NULL);
	write_in_vain(true);
	assert_true(sigpipe_is_blocked());
	assert_false(sigpipe_is_pending());

	/* ...except its own. */
	raise(SIGPIPE);
	write_in_vain(true);
	assert_true(sigpipe_is_pending());
	assert_int_equal(sigtimedwait(&sigpipe, NULL, &(struct timespec){ 0 }), SIGPIPE);
	pthread_sigmask(SIG_UNBLOCK, &sigpipe, NULL);

	signal(SIGPIPE, SIG_IGN);
	write_in_vain(true);
	assert_false(sigpipe_is_pending());
	signal(SIGPIPE, SIG_DFL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_blocks_in_blocking_mode),
		cmocka_unit_test(terminals_pass_bytes),
		cmocka_unit_test(what_carries_no_bytes_is_refused),
		cmocka_unit_test(a_full_disk_is_told),
		cmocka_unit_test(no_sigpipe_comes_of_a_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
