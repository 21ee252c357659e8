/* SPDX-License-Identifier: MIT */
/* The received bitmap of a region on the wire: written by the destination, read by the source when a broken
 * postcopy goes on. */
#ifndef RS_POSTCOPY_RECEIVED_MAP_H
#define RS_POSTCOPY_RECEIVED_MAP_H

#include "ram/region.h"

#include <ramsync/stream.h>

/* Put size, bitmap and end mark of a region that is listed. */
void rs_received_map_put(struct rs_stream *stream, const struct rs_region *region);

/*
 * Get them: *bitmap receives what is to be freed. Only the size that the region has is accepted. 0 or a
 * negative errno with a text.
 */
int rs_received_map_get(struct rs_stream *stream, const struct rs_region *region, uint8_t **bitmap,
			uint64_t *bytes, struct rs_error *error);

#endif
