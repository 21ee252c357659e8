/* SPDX-License-Identifier: MIT */
/*
 * Streams that are odd or wrong, and what two readers say to each: QEMU, and rs_migrate_in(). The
 * destination has three regions in guarded memory, beyond whose ends nothing may be written: a, four
 * pages; b, two pages of at most four, resizable; and with ODD_IGNORE_SHARED i, two pages, ignored,
 * at guest address 0x1000.
 *
 * The rule for every row: what no QEMU takes is refused here, too; what some QEMU takes is taken
 * here, or the row has a reason why not.
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
	ODD_UUID = 1 << 9,         /* parameter uuid is 0xab all over */
	ODD_OPAQUE = 1 << 10,      /* load_opaque in place of load_device */
	ODD_LAX_TAKES = 1 << 11,   /* with parameter lax it is taken */
	ODD_COMPRESS = 1 << 16,    /* parameter compress is on, and QEMU's capability */
	ODD_POSTCOPY = 1 << 17,    /* parameter postcopy-ram is on, and QEMU's capability */
	/* Taken with parameter lax, though by no QEMU: what was recorded can be read on other memory. */
	ODD_LAX_MEMORY = 1 << 18,
};

/* In place of a code: postcopy pauses, for what the outcome says, and is given up then. A QEMU that waits for a
 * recovery has not taken the stream, either. */
#define ODD_PAUSES (-100000)

/*
 * The versions of QEMU that take a stream, as 100 * major + minor: from the one on, and before the
 * other. QEMU has the regions, the machine and the parameters that the destination has; what
 * depends on the devices alone is not its verdict on the stream.
 */
struct qemu_verdict {
	int from;
	int before;
};

/* clang-format off */
#define QEMU_TAKES		{ 0, 9999 }
#define QEMU_REFUSES		{ 0, 0 }
#define QEMU_TAKES_FROM(v)	{ v, 9999 }
#define QEMU_TAKES_BEFORE(v)	{ 0, v }
/* It has no verdict: the stream is in the native form, or the row is about a VMM's callbacks. */
#define NOT_FOR_QEMU		{ -1, -1 }
/* clang-format on */

struct odd_stream {
	const char *what;
	unsigned options;
	const char *text;
	struct qemu_verdict qemu;
	int code; /* what we return: 0 if we take it; or ODD_PAUSES */
	/*
	 * Refused: a part of the error's text. Taken: what pages hold afterwards, as in
	 * "a1:5a b0:0,10=abcd", for page 1 of a, which is 0x5a in every byte, and page 0 of b, which
	 * is 0 but for two bytes from offset 0x10 on; before, all regions hold 0x11. With
	 * ODD_LAX_TAKES or ODD_LAX_MEMORY: both, and " | " between them.
	 */
	const char *outcome;
	const char *reason; /* why we refuse what some QEMU takes */
};

/* What is wrong with the verdicts of a row, or NULL. The stream is not looked at. */
const char *odd_stream_complaint(const struct odd_stream *row);

/*
 * Each must end as it says; a failed one leaves no guest running, a good one runs it once. If the
 * environment has RS_ODD_STREAMS_TO, nothing is run, and the streams are written to files of that
 * folder: test_qemu_verdicts.py asks a real QEMU.
 */
void odd_streams_run(const struct odd_stream *rows, size_t count);

#define RUN_ODD_STREAMS(rows) odd_streams_run(rows, sizeof(rows) / sizeof((rows)[0]))

/* One stream; the migration's error if it fails. */
int odd_stream_receive(const uint8_t *data, size_t bytes, unsigned options, struct rs_error *error);

#endif
