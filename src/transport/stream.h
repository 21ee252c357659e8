/* SPDX-License-Identifier: MIT */
/* What the rest of the library needs of a stream beyond the public header. */
#ifndef RS_TRANSPORT_STREAM_H
#define RS_TRANSPORT_STREAM_H

#include <ramsync/stream.h>
#include <stdbool.h>

/*
 * The rate limit: bytes in windows of 100 ms. A window that was overdrawn (a run of pages is not
 * cut) is paid back by the following ones, so the average holds for any limit. 0 is no limit.
 */
void rs_stream_rate_set(struct rs_stream *stream, uint64_t bytes_per_second);

/* Windows of another length from now on: so many in a second, which divide it. */
void rs_stream_rate_set_windows(struct rs_stream *stream, unsigned windows);

/* So many of the bytes that were put last are not under the limit. */
void rs_stream_rate_forgive(struct rs_stream *stream, uint64_t bytes);

/* Whether the present window's budget is used up. Counts all bytes put, flushed or not. */
bool rs_stream_rate_exceeded(struct rs_stream *stream);

/* Bytes that the present window still allows; UINT64_MAX without a limit. */
uint64_t rs_stream_rate_left(struct rs_stream *stream);

/* Wait for the first window with budget; 0, or the sticky error (-ECANCELED by shutdown). */
int rs_stream_rate_wait(struct rs_stream *stream);

/*
 * Wait until rs_stream_wake() is called, or was since the wait before; with for_budget, until there is a
 * window with budget at the longest. 0 or the sticky error.
 */
int rs_stream_wait_for_wake(struct rs_stream *stream, bool for_budget);

/* Any thread. */
void rs_stream_wake(struct rs_stream *stream);

/* From now on the peer may be silent for as long as it likes; what is written must still move. What it says mostly comes
 * one message at a time, so each read waits before it tries. */
void rs_stream_read_patiently(struct rs_stream *stream);

/*
 * Get bytes straight into memory of the caller's (guest memory): what is buffered is copied, the
 * rest is read in place, together with what follows into the buffer, in one call. 0 or the
 * sticky error; *placed, if not NULL, receives how many bytes arrived even on failure.
 */
int rs_stream_read_into(struct rs_stream *stream, void *to, size_t bytes, size_t *placed);

/* What has been read and not been got yet, without reading more: valid until the next call. */
size_t rs_stream_buffered(const struct rs_stream *stream, const uint8_t **data);

/*
 * rs_stream_shutdown(), and the peer learns of it at once where the transport can tell it (a socket): for a
 * connection that is given up by somebody who will not close it soon.
 */
void rs_stream_hang_up(struct rs_stream *stream);

/*
 * From now on have little on the way, in either direction, so that what is put is got soon. Where the transport has no such
 * thing, or the descriptor stays the embedder's, nothing changes.
 */
void rs_stream_queue_little(struct rs_stream *stream);

/* Set the sticky error, if there is none yet. Returns the stream's error. */
int rs_stream_fail(struct rs_stream *stream, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * After a write failed: what the peer has said meanwhile, at most bytes of it, without waiting.
 * Nothing on a stream that was shut down, or whose backend might block.
 */
size_t rs_stream_last_words(struct rs_stream *stream, void *to, size_t bytes);

#endif
