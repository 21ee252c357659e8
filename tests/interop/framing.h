/* SPDX-License-Identifier: MIT */
/*
 * QEMU's outer stream as an embedder with framing of its own would read and write it: by itself,
 * with the handlers for the bodies of RAM. It ends where the first device begins.
 */
#ifndef RS_INTEROP_FRAMING_H
#define RS_INTEROP_FRAMING_H

#include <ramsync/handlers.h>

struct framing {
	char machine[256];
	uint32_t ram_id;
	uint64_t ram_at;     /* offset of the first section of RAM */
	uint64_t devices_at; /* of the first device section */
	int bodies;
};

/* After rs_load_setup(). 0, or a negative errno after a message. */
int framing_load(struct framing *framing, struct rs_state *state, struct rs_stream *stream);

/* What stands around a body that is written; the start has the section's name and version. */
void framing_begin(struct rs_stream *stream, uint8_t record, uint32_t id);
void framing_end(struct rs_stream *stream, uint32_t id);

#endif
