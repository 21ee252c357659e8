/* SPDX-License-Identifier: MIT */
/* What is on the way of a stream on which somebody waits: little over TCP, and anything else goes on as it was. */
#include "fd_kinds.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

/* By itself the kernel takes several times that over loopback. */
#define LITTLE_BYTES (1u << 20)
#define ROUNDS 200

/* Connected, fds[0] to be read. */
static void open_tcp(int fds[2])
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
	fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fds[1], (struct sockaddr *)&address, sizeof(address)), 0);
	fds[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fds[0] >= 0);
	close(listener);
}

static void open_pair(unsigned flags, int fds[2], struct rs_stream *streams[2])
{
	open_tcp(fds);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(rs_stream_from_fd(fds[i], RS_STREAM_TWO_WAY | flags, &streams[i]),
				 0);
		rs_stream_queue_little(streams[i]);
	}
}

static void pass_byte(struct rs_stream *from, struct rs_stream *to, uint8_t value)
{
	rs_stream_put_u8(from, value);
	assert_int_equal(rs_stream_flush(from), 0);
	assert_int_equal(rs_stream_get_u8(to), value);
}

static size_t fill(int fd)
{
	static const char piece[4096];
	size_t bytes = 0;
	ssize_t sent;

	while ((sent = send(fd, piece, sizeof(piece), MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
		bytes += (size_t)sent;
	assert_int_equal(errno, EAGAIN);
	return bytes;
}

static void little_is_on_its_way(void **unused)
{
	struct rs_stream *streams[2];
	int fds[2];

	(void)unused;
	open_pair(0, fds, streams);
	/* The kernel would hold more and more for a reader that reads. */
	for (int i = 0; i < ROUNDS; i++) {
		size_t bytes = fill(fds[1]);

		assert_true(bytes > 0);
		assert_true(bytes < LITTLE_BYTES);
		assert_int_equal(rs_stream_skip(streams[0], bytes), 0);
	}
	pass_byte(streams[1], streams[0], 11);
	pass_byte(streams[0], streams[1], 12);
	rs_stream_close(streams[0], NULL);
	rs_stream_close(streams[1], NULL);
}

static int option_of(int fd, int level, int name)
{
	socklen_t length = sizeof(int);
	int value = -1;

	assert_int_equal(getsockopt(fd, level, name, &value, &length), 0);
	return value;
}

static void an_embedders_descriptor_stays_as_it_is(void **unused)
{
	struct rs_stream *streams[2];
	int fds[2], others[2];

	(void)unused;
	open_pair(RS_STREAM_KEEP_FD, fds, streams);
	open_tcp(others);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(option_of(fds[i], IPPROTO_TCP, TCP_NOTSENT_LOWAT),
				 option_of(others[i], IPPROTO_TCP, TCP_NOTSENT_LOWAT));
		assert_int_equal(option_of(fds[i], SOL_SOCKET, SO_RCVBUF),
				 option_of(others[i], SOL_SOCKET, SO_RCVBUF));
		rs_stream_close(streams[i], NULL);
		close(fds[i]);
		close(others[i]);
	}
}

static void others_go_on(void **unused)
{
	struct rs_stream *reader, *writer;

	(void)unused;
	for (enum kind kind = 0; kind < KINDS; kind++) {
		open_streams(kind, &reader, &writer);
		rs_stream_queue_little(reader);
		rs_stream_queue_little(writer);
		pass_byte(writer, reader, 13);
		rs_stream_close(reader, NULL);
		rs_stream_close(writer, NULL);
	}
	assert_int_equal(rs_stream_to_memory(100, &writer), 0);
	rs_stream_queue_little(writer);
	rs_stream_put_u8(writer, 14);
	assert_int_equal(rs_stream_flush(writer), 0);
	rs_stream_close(writer, NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(little_is_on_its_way),
		cmocka_unit_test(an_embedders_descriptor_stays_as_it_is),
		cmocka_unit_test(others_go_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
