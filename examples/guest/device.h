/* SPDX-License-Identifier: MIT */
/*
 * The stand-in's device state: where its working set is and how far each writer has got.
 *
 * Section "ramsync-guest", version 1, all numbers big-endian:
 *
 *	u32 writers, u64 dirty rate, u32 pieces
 *	for each piece: u8 length, region's name, u64 offset, u64 pages
 *	for each writer: u64 steps
 *
 * It says its own length, because QEMU's stream does not.
 */
#ifndef EXAMPLES_DEVICE_H
#define EXAMPLES_DEVICE_H

#include "guest/writers.h"

#define DEVICE_NAME "ramsync-guest"
#define DEVICE_VERSION 1u

/* Write the state of parked writers. */
int device_save(const struct writers *writers, struct rs_device_writer *out,
		struct rs_error *error);

/* Make parked writers over the regions of @state from what @body says. */
int device_load(struct rs_state *state, struct rs_stream *body, struct writers **writers,
		struct rs_error *error);

#endif
