/* SPDX-License-Identifier: MIT */
/* The sizes behind a stream, and the memory for its directions. */
#ifndef RS_TRANSPORT_STREAM_BUFFERS_H
#define RS_TRANSPORT_STREAM_BUFFERS_H

#include <ramsync/stream.h>

/* Bytes put by value between two flushes. */
#define RS_STREAM_ARENA_BYTES (64u << 10)
/* Entries of the queue: what one writev(2) takes. */
#define RS_STREAM_QUEUE_MAX 1024
/* Queued bytes at which a put flushes by itself: enough to make a system call cheap, little
 * enough that a page is sent soon after its dirty bit was cleared. */
#define RS_STREAM_FLUSH_BYTES (2u << 20)
#define RS_STREAM_BUFFER_BYTES (256u << 10)
#define RS_STREAM_PEEK_MAX 4096u

/* Allocate for the directions in flags; 0 or -ENOMEM. fini is right after a failure, too. */
int rs_stream_buffers_init(struct rs_stream *stream);
void rs_stream_buffers_fini(struct rs_stream *stream);

#endif
