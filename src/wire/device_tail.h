/* SPDX-License-Identifier: MIT */
/*
 * Where the device state of a QEMU stream ends, without knowing any device.
 *
 * Behind RAM come sections without lengths, whose bodies only their devices understand; then the
 * end mark, and a description of the devices: a JSON text with its length before it. That
 * description is the one thing that can be told apart from anything else: a footer, the end mark,
 * the record's first byte, a length, and then an object in JSON that is closed by exactly the last
 * byte of that length. Device state that holds all of this in its midst would have to
 * hold a whole stream of QEMU's.
 */
#ifndef RS_WIRE_DEVICE_TAIL_H
#define RS_WIRE_DEVICE_TAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RS_JSON_DEPTH_MAX 64u

struct rs_json {
	unsigned depth;
	uint64_t objects; /* bit n: at depth n+1 there is an object, not an array */
	bool in_string;
	bool escaped;
};

struct rs_device_tail {
	uint64_t max_description; /* bytes */
	uint64_t bytes;           /* seen so far */
	uint64_t end_mark;        /* offset of the end mark; valid once whole */
	bool whole;

	/* the last 16 bytes that were seen, the last one lowest */
	uint64_t last_high;
	uint64_t last_low;
	/* what is left of the description that may have begun behind them */
	uint64_t left;
	struct rs_json json;
};

/* To be fed from the first byte behind RAM's last footer, or from a device section's first byte. */
void rs_device_tail_init(struct rs_device_tail *tail, uint64_t max_description);

/* Look at further bytes. Returns how many belong to the tail: all of them, or up to its end. */
size_t rs_device_tail_feed(struct rs_device_tail *tail, const uint8_t *data, size_t bytes);

/* Whether it could end here if it has no description: the last byte is an end mark behind a
 * footer. */
bool rs_device_tail_may_end(const struct rs_device_tail *tail);

#endif
