/* SPDX-License-Identifier: MIT */
#include "link.h"

#include "support/fake_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static struct fake_options random_options(struct test_random *random)
{
	struct fake_options options = { 0 };

	if (!test_random_one_in(random, 4))
		options.seed = test_random_next(random);
	options.capacity = 1ull << (10 + test_random_below(random, 10));
	if (test_random_one_in(random, 3))
		options.max_bytes = 500 + test_random_below(random, 20000);
	/* Each wait takes a millisecond then. */
	options.nonblocking = options.capacity > 32768 && test_random_one_in(random, 4);
	return options;
}

static int open_fake(struct link *link, struct test_random *random, void (*taken)(void *opaque),
		     void *opaque)
{
	struct fake_options there = random_options(random), back = random_options(random);

	there.taken = taken;
	there.taken_opaque = opaque;
	return fake_stream_pair(&there, &back, &link->out, &link->in);
}

static int open_fake_one_way(struct link *link, struct test_random *random,
			     void (*taken)(void *opaque), void *opaque)
{
	struct fake_options there = random_options(random);

	there.taken = taken;
	there.taken_opaque = opaque;
	return fake_stream_pipe(&there, &link->out, &link->in);
}

/* Streams over both descriptors, which are theirs in any case. */
static int open_fds(struct link *link, int out, unsigned out_flags, int in, unsigned in_flags)
{
	int result = rs_stream_from_fd(out, out_flags, &link->out);

	if (result != 0) {
		close(out);
		close(in);
		return result;
	}
	result = rs_stream_from_fd(in, in_flags, &link->in);
	if (result == 0)
		return 0;
	rs_stream_close(link->out, NULL);
	close(in);
	return result;
}

static int open_sockets(struct link *link, struct test_random *random)
{
	int ends[2], bytes = 2048 << test_random_below(random, 8);

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
		return -errno;
	for (unsigned i = 0; i < 2; i++) {
		if (test_random_one_in(random, 2))
			fcntl(ends[i], F_SETFL, O_NONBLOCK);
		if (test_random_one_in(random, 2))
			setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	}
	return open_fds(link, ends[0], RS_STREAM_TWO_WAY, ends[1], RS_STREAM_TWO_WAY);
}

static int open_tcp(struct link *link)
{
	struct rs_listener *listener;
	int result = rs_stream_listen("tcp:127.0.0.1:0", &listener, NULL);

	if (result != 0)
		return result;
	result = rs_stream_connect(rs_listener_address(listener), 10000, &link->out, NULL);
	if (result == 0)
		result = rs_listener_accept(listener, 10000, &link->in, NULL);
	rs_listener_close(listener);
	return result;
}

static int open_pipe(struct link *link, struct test_random *random)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | (test_random_one_in(random, 2) ? O_NONBLOCK : 0)) != 0)
		return -errno;
	if (test_random_one_in(random, 2))
		fcntl(ends[1], F_SETPIPE_SZ, 4096);
	return open_fds(link, ends[1], RS_STREAM_WRITE, ends[0], RS_STREAM_READ);
}

static int open_file(struct link *link)
{
	int writer, result;

	link->file = memfd_create("image", MFD_CLOEXEC);
	if (link->file < 0)
		return -errno;
	writer = fcntl(link->file, F_DUPFD_CLOEXEC, 0);
	if (writer < 0)
		return -errno;
	result = rs_stream_from_fd(writer, RS_STREAM_WRITE, &link->out);
	if (result != 0)
		close(writer);
	return result;
}

int link_open_reader(struct link *link)
{
	int result;

	if (lseek(link->file, 0, SEEK_SET) != 0)
		return -errno;
	result = rs_stream_from_fd(link->file, RS_STREAM_READ, &link->in);
	if (result != 0)
		close(link->file);
	return result;
}

int link_open(struct link *link, enum link_kind kind, struct test_random *random,
	      void (*taken)(void *opaque), void *opaque)
{
	*link = (struct link){ .file = -1 };
	switch (kind) {
	case LINK_FAKE:
		return open_fake(link, random, taken, opaque);
	case LINK_FAKE_ONE_WAY:
		return open_fake_one_way(link, random, taken, opaque);
	case LINK_SOCKETS:
		return open_sockets(link, random);
	case LINK_TCP:
		return open_tcp(link);
	case LINK_PIPE:
		return open_pipe(link, random);
	case LINK_FILE:
		return open_file(link);
	case LINK_KINDS:
		break;
	}
	return -EINVAL;
}

const char *link_kind_name(enum link_kind kind)
{
	static const char *const names[] = {
		[LINK_FAKE] = "fake",       [LINK_FAKE_ONE_WAY] = "fake one-way",
		[LINK_SOCKETS] = "sockets", [LINK_TCP] = "tcp",
		[LINK_PIPE] = "pipe",       [LINK_FILE] = "file",
	};

	return names[kind];
}
