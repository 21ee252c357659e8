/* SPDX-License-Identifier: MIT */
/* A load by the inner functions, from bytes at hand: for tests of what is behind the handlers. */
#ifndef RS_TESTS_LOADING_H
#define RS_TESTS_LOADING_H

#include "load/load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* A session is open, a stream of the bytes attached, and the load set up. */
static inline struct rs_stream *loading_begin(struct rs_state *state, const void *data,
					      size_t bytes, const struct rs_load_ops *ops,
					      void *opaque)
{
	struct rs_stream *stream;

	assert_int_equal(rs_stream_from_memory(data, bytes, &stream), 0);
	rs_session_open(state);
	assert_int_equal(rs_session_attach(state, stream), 0);
	assert_int_equal(rs_ram_load_setup(state, ops, opaque), 0);
	return stream;
}

/* Harmless if it has ended. */
static inline void loading_end(struct rs_state *state, struct rs_stream **stream)
{
	rs_session_detach(state);
	rs_ram_load_cleanup(state);
	rs_session_close(state);
	rs_stream_close(*stream, NULL);
	*stream = NULL;
}

#endif
