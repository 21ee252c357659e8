/* SPDX-License-Identifier: MIT */
/* The end of a stream, as a test asks for it. */
#ifndef RS_TEST_STREAM_END_H
#define RS_TEST_STREAM_END_H

#include <ramsync/stream.h>
#include <stdbool.h>

/* Whether the input ends here, without an error. Blocks until that is known. */
static inline bool stream_at_end(struct rs_stream *stream)
{
	const uint8_t *data;

	return rs_stream_peek(stream, &data, 1) == 0;
}

#endif
