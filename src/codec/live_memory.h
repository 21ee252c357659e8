/* SPDX-License-Identifier: MIT */
/*
 * Every touch of memory that the guest may be writing at the same moment, other than the zero
 * test: taking a copy, and handing it to the kernel. The race is meant: what was read in the
 * middle of a write is dirty again and is sent again. This file and zero_page.c are compiled
 * without ThreadSanitizer's instrumentation and call nothing that it intercepts.
 */
#ifndef RS_CODEC_LIVE_MEMORY_H
#define RS_CODEC_LIVE_MEMORY_H

#include <stddef.h>
#include <sys/uio.h>

/* Copy bytes that may be changing; each byte of the copy is some version of the original. */
void rs_live_copy(void *to, const void *live, size_t bytes);

/* sendmsg(2) with MSG_NOSIGNAL | MSG_DONTWAIT, and writev(2) (flags as for pwritev2, usually 0).
 * Bytes taken or a negative errno. */
ssize_t rs_live_send(int socket, const struct iovec *iov, int count);
ssize_t rs_live_writev(int fd, const struct iovec *iov, int count, int flags);

#endif
