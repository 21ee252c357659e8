/* SPDX-License-Identifier: MIT */
/*
 * QEMU's own deltas, made again: for each XBZRLE record of a stream, the page that it is about is
 * taken as it is before and as the delta makes it, and each version of the encoder must write the
 * same bytes for the pair.
 */
#ifndef RS_INTEROP_RECODE_H
#define RS_INTEROP_RECODE_H

#include "interop/framing.h"
#include "interop/regions.h"

struct recoder {
	struct regions *regions;
	uint8_t *data; /* the stream, once more */
	size_t bytes;
	uint64_t deltas;
	uint64_t others; /* for which a version wrote something else, or that do not decode */
};

/* Load a stream, which is the file at path, through the handlers. 0 or a negative errno. */
int recode(struct recoder *recoder, struct framing *framing, struct rs_stream *stream,
	   const char *path);

#endif
