/* SPDX-License-Identifier: MIT */
/* A QEMU stream once more, with its RAM written by this library. */
#ifndef RS_INTEROP_REWRITE_H
#define RS_INTEROP_REWRITE_H

#include "interop/framing.h"
#include "interop/regions.h"

struct writer {
	const struct regions *regions;
	const struct framing *framing;
	struct rs_state *state;
	struct rs_stream *stream;
	uint64_t zero_copies; /* put_live_ram()'s */
};

/* Writes all sections of RAM. 0 or a negative errno. */
typedef int put_ram_function(struct writer *writer);

/* In rounds, with wrong pages in each that the next one puts right. */
put_ram_function put_ram_in_rounds;

/* One section, with what the handler writes in it. What the handler returned. */
int put_body(struct writer *writer, uint8_t record,
	     int (*handler)(struct rs_state *state, struct rs_stream *stream));

/* Copy all of the stream at from to the one at to, but write the sections of RAM anew, from regions
 * that were loaded from it. 0, or a negative errno after a message. */
int rewrite_ram(struct writer *writer, put_ram_function *put_ram, const char *from, const char *to);

#endif
