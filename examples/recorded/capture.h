/* SPDX-License-Identifier: MIT */
/*
 * A stream that is read into memory by somebody who has no device model and runs no guest: regions
 * as the stream says, everything counted, device state handed on as it stands. A postcopy that broke off
 * goes on with the recordings of --resume.
 */
#ifndef EXAMPLES_CAPTURE_H
#define EXAMPLES_CAPTURE_H

#include "recorded/census.h"
#include "files/input.h"
#include "command/options.h"

/* What becomes of it. Both return 0 or a negative errno, with a sentence. */
struct capture_ops {
	/* The next bytes of a QEMU's device state. */
	int (*device_state)(void *opaque, const void *data, size_t bytes, struct rs_error *error);
	/* All has come, and the source, if it can be told, is about to be told what this returns. */
	int (*complete)(void *opaque, struct rs_error *error);
};

struct capture {
	const struct options *options;
	const struct capture_ops *ops;
	void *opaque;
	struct input input;
	struct input resumed; /* in its place, the library's to close; or none */
	unsigned resumes;     /* so many of the options' are used up */
	uint64_t behind;      /* bytes behind the end of the resumed stream */
	struct rs_error why_broken;
	struct rs_stream_header header;
	struct rs_state *state;
	struct memory memory;
	struct census census;
	uint64_t stream_bytes; /* of the whole stream, or as far as it could be read */
	uint64_t device_bytes;
};

/*
 * Open what the options say, look at the header, and make a state that fits it. Call
 * capture_close() whether it succeeds or not.
 */
int capture_open(struct capture *capture, const struct options *options,
		 const struct capture_ops *ops, void *opaque, struct rs_error *error);

/* Read the stream, up to its end. */
int capture_read(struct capture *capture, struct rs_error *error);

void capture_close(struct capture *capture);

/* After capture_read(): as input_finish(). */
int capture_finish(struct capture *capture, uint64_t *behind, struct rs_error *error);

/* Is it in the native form of the library? */
bool capture_is_native(const struct capture *capture);

/* What a source said that had answers, one direction of it, and we just look? "lax" is on, then. */
bool capture_is_recording(const struct capture *capture);

#endif
