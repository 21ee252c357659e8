/* SPDX-License-Identifier: MIT */
#include "transport/tcp_queue.h"

/* Not netinet/tcp.h, whose struct tcp_info ends before tcpi_min_rtt. */
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

/* What has not been sent is not needed to keep the way full: only to have something when there is room. */
#define OUTPUT_BYTES (128 << 10)

/* A window of one round trip at 4 GB/s, which is more than one thread can place. Below the smallest one
 * reader and writer would wait for each other. */
#define INPUT_BYTES_PER_US 4000u
#define INPUT_MIN_BYTES (128u << 10)
#define INPUT_MAX_BYTES (1u << 20)

void rs_tcp_shorten_output(int fd)
{
	int bytes = OUTPUT_BYTES;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof(bytes));
}

void rs_tcp_shorten_input(int fd)
{
	struct tcp_info info = { .tcpi_min_rtt = 0 };
	socklen_t length = sizeof(info);
	unsigned bytes = INPUT_MIN_BYTES;

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0 ||
	    length < offsetof(struct tcp_info, tcpi_min_rtt) + sizeof(info.tcpi_min_rtt) ||
	    info.tcpi_min_rtt > INPUT_MAX_BYTES / INPUT_BYTES_PER_US)
		return;
	if (info.tcpi_min_rtt * INPUT_BYTES_PER_US > bytes)
		bytes = info.tcpi_min_rtt * INPUT_BYTES_PER_US;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}
