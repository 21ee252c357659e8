/* SPDX-License-Identifier: MIT */
/* A captured QEMU guest as a new stream: the same header and device state, each page once. */
#ifndef EXAMPLES_REWRITE_H
#define EXAMPLES_REWRITE_H

#include "recorded/capture.h"

struct rewrite {
	struct rs_stats stats; /* of the migration out */
	uint64_t stream_bytes;
	uint64_t not_sent; /* regions that are listed only, as they were in the capture */
};

/*
 * Write what @capture holds, which has been read to its end, with @bytes of @devices as device
 * state. A region is left out, as QEMU does with x-ignore-shared, if it was left out before.
 */
int rewrite_send(struct rewrite *rewrite, struct capture *capture, const void *devices,
		 size_t bytes, struct rs_stream *out, struct rs_error *error);

#endif
