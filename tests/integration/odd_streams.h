/* SPDX-License-Identifier: MIT */
/*
 * Streams that are odd or wrong, and what rs_migrate_in() says to each. The destination has three
 * regions in guarded memory, beyond whose ends nothing may be written: a, four pages; b, two pages
 * of at most four, resizable; and with ODD_IGNORE_SHARED i, two pages, ignored, at guest
 * address 0x1000.
 */
#ifndef RS_INTEGRATION_ODD_STREAMS_H
#define RS_INTEGRATION_ODD_STREAMS_H

#include "integration/stream_text.h"

#include <ramsync/migrate.h>

enum odd_options {
	ODD_TWO_WAY = 1 << 0, /* the stream can be written, too */
	ODD_IGNORE_SHARED = 1 << 1,
	ODD_READONLY = 1 << 2,     /* b is */
	ODD_MACHINE = 1 << 3,      /* parameter machine is pc-i440fx-7.2 */
	ODD_NO_DEVICES = 1 << 4,   /* no load_device */
	ODD_DEVICE_FAILS = 1 << 5, /* load_device returns -EIO */
	ODD_DEVICE_LAZY = 1 << 6,  /* load_device reads nothing */
	ODD_HUGE_DEVICES = 1 << 7, /* max-device-state is 1 TiB */
	ODD_ANNOUNCED = 1 << 8,    /* region_announced adds c, if it has at most two pages */
};

struct odd_stream {
	const char *what;
	unsigned options;
	const char *text;
	int code;
	const char *fragment; /* of the error's text */
	const char *stricter; /* why we refuse what QEMU 7.2 takes, where we do */
};

/* Each must end as it says; a failed one leaves no guest running, a good one runs it once. */
void odd_streams_run(const struct odd_stream *rows, size_t count);

/* One stream; the migration's error if it fails. */
int odd_stream_receive(const uint8_t *data, size_t bytes, unsigned options, struct rs_error *error);

#endif
