/* SPDX-License-Identifier: MIT */
/*
 * Streams: the bytes between two ends, buffered, with a sticky error.
 *
 * Life cycle: make one with rs_stream_create() (own callbacks), rs_stream_from_fd(),
 * rs_stream_from_memory(), rs_stream_to_memory() or, from a QEMU-style address, with
 * rs_stream_connect() and rs_stream_listen(); use it; rs_stream_close() it.
 *
 * Errors are remembered: after the first failure every put is dropped, every get gives
 * zeros, and rs_stream_error() and rs_stream_flush() say what happened. So framing code can
 * put and get in a row and check once.
 *
 * Threads: one thread uses a stream at a time. Only rs_stream_shutdown() may be called from any
 * thread meanwhile: it wakes whatever blocks.
 *
 * Signals and descriptors: no write raises SIGPIPE; descriptors in O_NONBLOCK mode work; every
 * descriptor that the library opens is close-on-exec.
 */
#ifndef RAMSYNC_STREAM_H
#define RAMSYNC_STREAM_H

#include <ramsync/error.h>
#include <sys/uio.h>

RS_BEGIN_DECLS

struct rs_stream;
struct rs_listener;

/**
 * enum rs_stream_flags - what a stream can do.
 * @RS_STREAM_READ: bytes can be got from it.
 * @RS_STREAM_WRITE: bytes can be put to it.
 * @RS_STREAM_TWO_WAY: both, and the peer's answers come back on it: a return path.
 * @RS_STREAM_KEEP_FD: rs_stream_close() leaves the descriptor open.
 */
enum rs_stream_flags {
	RS_STREAM_READ = 1 << 0,
	RS_STREAM_WRITE = 1 << 1,
	RS_STREAM_TWO_WAY = RS_STREAM_READ | RS_STREAM_WRITE,
	RS_STREAM_KEEP_FD = 1 << 2,
};

/**
 * struct rs_stream_ops - the bytes beneath a stream, for transports of the embedder's own.
 * @size: sizeof(struct rs_stream_ops).
 * @readv: read at least one byte into @iov; may be short. Blocks until there is one. Return bytes
 *	read, 0 at the end of the input, or a negative errno. NULL if it cannot be read.
 * @writev: write at least one byte of @iov; may be short. Blocks until it can. Return bytes
 *	written or a negative errno. @iov may point into memory that the guest is writing: take the
 *	bytes once, and put no checksum over them. NULL if it cannot be written.
 * @shutdown: make a readv or writev that blocks in another thread return, and all later ones fail.
 *	Called from any thread, any number of times, with locks of the library held: it must not
 *	call rs_* functions, nor wait for a thread that may be in one. Required.
 * @close: free @opaque. Optional.
 *
 * -EINTR is retried by the stream; -EAGAIN is retried after a millisecond, within the stall
 * time-out. The other callbacks run in the thread that uses the stream.
 */
struct rs_stream_ops {
	size_t size;
	ssize_t (*readv)(void *opaque, const struct iovec *iov, int count);
	ssize_t (*writev)(void *opaque, const struct iovec *iov, int count);
	void (*shutdown)(void *opaque);
	void (*close)(void *opaque);
};

/**
 * rs_stream_create() - a stream over callbacks.
 * @ops: the callbacks, copied.
 * @opaque: their first argument.
 * @flags: enum rs_stream_flags; needs the matching callbacks.
 * @stream: receives the stream.
 *
 * Return: 0; -EINVAL for a missing callback; -ENOMEM.
 * Ownership: the stream owns @opaque from here on (close is called); not on failure.
 */
RS_API int rs_stream_create(const struct rs_stream_ops *ops, void *opaque, unsigned flags,
			    struct rs_stream **stream);

/**
 * rs_stream_from_fd() - a stream over a descriptor: socket, pipe, file or terminal.
 * @fd: the descriptor.
 * @flags: enum rs_stream_flags.
 * @stream: receives the stream.
 *
 * Return: 0; -EBADF; -EINVAL if the descriptor's access mode does not allow @flags; -ENOMEM.
 * Ownership: the stream closes @fd, unless RS_STREAM_KEEP_FD; not on failure.
 */
RS_API int rs_stream_from_fd(int fd, unsigned flags, struct rs_stream **stream);

/**
 * rs_stream_from_memory() - read from a buffer.
 * @data: the bytes; must stay until the stream is closed.
 * @bytes: how many.
 * @stream: receives the stream.
 *
 * Return: 0 or -ENOMEM.
 */
RS_API int rs_stream_from_memory(const void *data, size_t bytes, struct rs_stream **stream);

/**
 * rs_stream_to_memory() - write to a growing buffer.
 * @max_bytes: most that it may hold; a write beyond fails with -ENOSPC.
 * @stream: receives the stream.
 *
 * Return: 0 or -ENOMEM.
 */
RS_API int rs_stream_to_memory(size_t max_bytes, struct rs_stream **stream);

/**
 * rs_stream_memory() - what was written to a memory stream.
 * @stream: a stream of rs_stream_to_memory(); it is flushed.
 * @data: receives the bytes, valid until the next write or close.
 *
 * Return: number of bytes; -EINVAL for another kind of stream; the stream's sticky error.
 */
RS_API ssize_t rs_stream_memory(struct rs_stream *stream, const void **data);

/**
 * rs_stream_connect() - open the sending end of an address.
 * @address: tcp:HOST:PORT (HOST a name, an IPv4 address, or an IPv6 address in brackets),
 *	unix:PATH, fd:N (sockets are two-way, the rest is written), exec:COMMAND (written to
 *	its standard input, run by /bin/sh), file:PATH (created with mode 0600, or emptied).
 * @timeout_ms: how long to wait for a connection; name resolution comes on top. 0 waits for ever.
 * @stream: receives the stream.
 * @error: receives the reason of a failure; may be NULL.
 *
 * Return: 0; -EINVAL for an address that cannot be parsed; -EHOSTUNREACH if a name has no
 *	address; -ETIMEDOUT; the errno of what failed.
 * Ownership: the caller's until rs_stream_close(). fd:N passes the descriptor on, on success.
 */
RS_API int rs_stream_connect(const char *address, unsigned timeout_ms, struct rs_stream **stream,
			     struct rs_error *error);

/**
 * rs_stream_listen() - open the receiving end of an address.
 * @address: as for rs_stream_connect(). tcp: and unix: listen (an empty HOST means all local
 *	addresses, PORT 0 any free one; an existing socket at PATH is replaced); fd:, exec: (its
 *	standard output) and file: are read, and give one stream.
 * @listener: receives the listener.
 * @error: receives the reason of a failure; may be NULL.
 *
 * Return: 0 or a negative errno, as for rs_stream_connect().
 */
RS_API int rs_stream_listen(const char *address, struct rs_listener **listener,
			    struct rs_error *error);

/**
 * rs_listener_accept() - wait for a peer.
 * @listener: the listener.
 * @timeout_ms: how long; 0 waits for ever.
 * @stream: receives the stream.
 * @error: receives the reason of a failure; may be NULL.
 *
 * Return: 0; -ETIMEDOUT; -ECANCELED after rs_listener_shutdown(); -ENOTCONN if a one-stream
 *	address was accepted before; the errno of what failed.
 */
RS_API int rs_listener_accept(struct rs_listener *listener, unsigned timeout_ms,
			      struct rs_stream **stream, struct rs_error *error);

/**
 * rs_listener_address() - the address to connect to, with the real port.
 * @listener: the listener.
 *
 * Return: for instance "tcp:127.0.0.1:4444"; valid as long as the listener.
 */
RS_API const char *rs_listener_address(const struct rs_listener *listener);

/** rs_listener_shutdown() - wake rs_listener_accept(), now and later. Context: any thread. */
RS_API void rs_listener_shutdown(struct rs_listener *listener);

/** rs_listener_close() - free a listener; NULL is allowed. A unix: socket is unlinked. */
RS_API void rs_listener_close(struct rs_listener *listener);

/**
 * rs_stream_close() - free a stream. What was put and not flushed is lost.
 * @stream: may be NULL.
 *
 * Return: 0; for exec: -EIO if the command failed, with @error saying how. It is given
 *	five seconds to end by itself, then it is killed.
 * @error: receives the reason of a failure; may be NULL.
 */
RS_API int rs_stream_close(struct rs_stream *stream, struct rs_error *error);

/**
 * rs_stream_shutdown() - make every present and later operation fail with -ECANCELED.
 * @stream: the stream.
 *
 * Context: any thread, any number of times, but not after rs_stream_close().
 */
RS_API void rs_stream_shutdown(struct rs_stream *stream);

/**
 * rs_stream_error() - the first thing that failed.
 * @stream: the stream.
 * @error: receives it; may be NULL.
 *
 * Return: its code, or 0. A clean end of the input where bytes were wanted is -ENODATA ("ended
 *	after N bytes").
 */
RS_API int rs_stream_error(const struct rs_stream *stream, struct rs_error *error);

/** rs_stream_flags() - what it can do. Return: enum rs_stream_flags, ORed. */
RS_API unsigned rs_stream_flags(const struct rs_stream *stream);
/** rs_stream_bytes_written() - put so far, flushed or not. Return: bytes. */
RS_API uint64_t rs_stream_bytes_written(const struct rs_stream *stream);
/** rs_stream_bytes_read() - got so far. Return: bytes, those in the buffer not counted. */
RS_API uint64_t rs_stream_bytes_read(const struct rs_stream *stream);

/**
 * rs_stream_set_stall_timeout() - how long a single wait may last without a byte moving.
 * @stream: the stream; a new one has no time-out.
 * @timeout_ms: 0 for no limit. When it passes, the stream fails with -ETIMEDOUT.
 *	Callbacks of the embedder's own that block by themselves are not bounded by it, only those
 *	that return -EAGAIN; rs_stream_shutdown() wakes either.
 */
RS_API void rs_stream_set_stall_timeout(struct rs_stream *stream, unsigned timeout_ms);

/* ---- writing ------------------------------------------------------------------------------- */

/** rs_stream_put_bytes() - put a copy of @bytes bytes. */
RS_API void rs_stream_put_bytes(struct rs_stream *stream, const void *data, size_t bytes);

/**
 * rs_stream_put_ref() - put bytes without copying them.
 * @stream: the stream.
 * @data: read when the stream is flushed, at the latest by rs_stream_flush(); must stay until then.
 * @bytes: how many.
 *
 * The bytes may be changing meanwhile (guest memory): each goes out in some version.
 */
RS_API void rs_stream_put_ref(struct rs_stream *stream, const void *data, size_t bytes);

/** rs_stream_put_u8() - put one byte. */
RS_API void rs_stream_put_u8(struct rs_stream *stream, uint8_t value);
/** rs_stream_put_be16() - put 16 bits, most significant byte first. */
RS_API void rs_stream_put_be16(struct rs_stream *stream, uint16_t value);
/** rs_stream_put_be32() - put 32 bits, most significant byte first. */
RS_API void rs_stream_put_be32(struct rs_stream *stream, uint32_t value);
/** rs_stream_put_be64() - put 64 bits, most significant byte first. */
RS_API void rs_stream_put_be64(struct rs_stream *stream, uint64_t value);

/** rs_stream_flush() - hand everything to the transport. Return: 0 or the sticky error. */
RS_API int rs_stream_flush(struct rs_stream *stream);

/* ---- reading ------------------------------------------------------------------------------- */

/** rs_stream_get_bytes() - get exactly @bytes bytes. Return: 0 or the sticky error (zeros). */
RS_API int rs_stream_get_bytes(struct rs_stream *stream, void *data, size_t bytes);
/** rs_stream_get_u8() - get one byte. Return: its value; 0 after an error. */
RS_API uint8_t rs_stream_get_u8(struct rs_stream *stream);
/** rs_stream_get_be16() - get 16 bits. Return: their value; 0 after an error. */
RS_API uint16_t rs_stream_get_be16(struct rs_stream *stream);
/** rs_stream_get_be32() - get 32 bits. Return: their value; 0 after an error. */
RS_API uint32_t rs_stream_get_be32(struct rs_stream *stream);
/** rs_stream_get_be64() - get 64 bits. Return: their value; 0 after an error. */
RS_API uint64_t rs_stream_get_be64(struct rs_stream *stream);

/**
 * rs_stream_peek() - look at the next bytes without taking them.
 * @stream: the stream.
 * @data: receives a pointer to them, valid until the next call on the stream.
 * @bytes: how many are wanted, 1 to 4096.
 *
 * Blocks until there are @bytes of them, or the input ends.
 *
 * Return: how many there are: fewer than @bytes, or 0, only at the end of the input; the
 *	sticky error.
 */
RS_API ssize_t rs_stream_peek(struct rs_stream *stream, const uint8_t **data, size_t bytes);

/**
 * rs_stream_skip() - take bytes and forget them.
 * @stream: the stream.
 * @bytes: how many.
 *
 * Return: 0 or the sticky error.
 */
RS_API int rs_stream_skip(struct rs_stream *stream, uint64_t bytes);

RS_END_DECLS
#endif
