/* SPDX-License-Identifier: MIT */
#include "codec/live_memory.h"

#include <errno.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Words, not memcpy(): ThreadSanitizer intercepts that one. The empty asm keeps the compiler from
 * turning the loops back into it.
 */
void rs_live_copy(void *to, const void *live, size_t bytes)
{
	typedef uint64_t __attribute__((may_alias, aligned(1))) word;
	unsigned char *out = to;
	const unsigned char *in = live;

	for (; bytes >= 4 * sizeof(word); bytes -= 4 * sizeof(word)) {
		word a = ((const word *)in)[0], b = ((const word *)in)[1];
		word c = ((const word *)in)[2], d = ((const word *)in)[3];

		__asm__ volatile("" ::: "memory");
		((word *)out)[0] = a;
		((word *)out)[1] = b;
		((word *)out)[2] = c;
		((word *)out)[3] = d;
		in += 4 * sizeof(word);
		out += 4 * sizeof(word);
	}
	while (bytes-- > 0) {
		*out++ = *in++;
		__asm__ volatile("" ::: "memory");
	}
}

/* The C library's wrappers are intercepted, too: their sanitized versions read every iovec. */
ssize_t rs_live_send(int socket, const struct iovec *iov, int count)
{
	struct msghdr message = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count };
	long sent = syscall(SYS_sendmsg, socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);

	return sent < 0 ? -errno : (ssize_t)sent;
}

ssize_t rs_live_writev(int fd, const struct iovec *iov, int count, int flags)
{
	/* Offset -1: the file's own position, as writev(2) has it. */
	long written = syscall(SYS_pwritev2, fd, iov, (long)count, -1l, -1l, flags);

	return written < 0 ? -errno : (ssize_t)written;
}
