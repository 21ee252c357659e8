/* SPDX-License-Identifier: MIT */
/*
 * A connection in memory, made of the public stream callbacks, that can behave as badly as real
 * ones do: short and interrupted calls, delays, failures and a cut at a chosen byte. What one end
 * writes is read at the other one. Closing an end, or shutting it down, is seen by the other as the end of its
 * input, and as -EPIPE by its writes.
 *
 * The two ends may belong to different threads, and their streams may outlive each other.
 */
#ifndef RS_TESTS_FAKE_STREAM_H
#define RS_TESTS_FAKE_STREAM_H

#include <ramsync/stream.h>
#include <stdatomic.h>
#include <stdbool.h>

/* The first bytes that passed in a direction. */
struct fake_record {
	uint8_t *bytes;
	size_t room;
	size_t length;
};

/*
 * A direction that stalls, and nobody is told: from a byte on nothing is read any more, not even the end, and what
 * is written fills the connection and then waits. All zero: open. It may be closed and opened at any time, for ends
 * that do not block.
 */
struct fake_valve {
	_Atomic bool closed;
	_Atomic uint64_t at; /* that many bytes are read nevertheless */
	_Atomic uint64_t written;
	uint32_t awaited;  /* four bytes, big-endian; set before */
	_Atomic bool seen; /* they were written */
	uint32_t last;     /* the connection's own */
};

/* So many more bytes pass than were written up to now. */
void fake_valve_close(struct fake_valve *valve, uint64_t more);
void fake_valve_open(struct fake_valve *valve);

/* How one direction behaves. All zero: well. "At byte N": N bytes pass, the next one does not. */
struct fake_options {
	/* Most bytes that one call moves; 0 for any. */
	size_t max_bytes;
	/* Bytes that fit between the ends before a write waits; 0 for 256 KiB. */
	size_t capacity;
	/* Not 0: each call moves a random number of bytes up to max_bytes, and some say -EINTR and
	 * a few -EAGAIN instead. The same seed gives the same sequence for each end. */
	uint64_t seed;
	/* Say -EAGAIN instead of blocking. */
	bool nonblocking;
	/* Sleep before each call. */
	unsigned write_delay_us;
	unsigned read_delay_us;
	/* A negative errno for the writes (reads) from byte N on; 0 for none. */
	int write_fail_code;
	uint64_t write_fail_at;
	int read_fail_code;
	uint64_t read_fail_at;
	/* The connection breaks at byte N of this direction, and the other direction with it: what
	 * was written before can still be read, then the input ends. */
	bool cut;
	uint64_t cut_at;
	/* Not NULL: what passes is kept there, as far as there is room. */
	struct fake_record *record;
	/* Not NULL: it may stall there. */
	struct fake_valve *valve;
	/* Not NULL: called in the writer's thread, each time that bytes were taken. */
	void (*taken)(void *opaque);
	void *taken_opaque;
};

/* A two-way connection. NULL options mean none. 0 or -ENOMEM. */
int fake_stream_pair(const struct fake_options *left_to_right,
		     const struct fake_options *right_to_left, struct rs_stream **left,
		     struct rs_stream **right);

/* A one-way connection. */
int fake_stream_pipe(const struct fake_options *options, struct rs_stream **writer,
		     struct rs_stream **reader);

#endif
