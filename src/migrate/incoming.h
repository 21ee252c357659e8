/* SPDX-License-Identifier: MIT */
/* An incoming migration as its parts share it: the loop over records (incoming.c), commands and the
 * return path (incoming_command.c). All of it belongs to the migration thread. */
#ifndef RS_MIGRATE_INCOMING_H
#define RS_MIGRATE_INCOMING_H

#include "migrate/outer_io.h"

/* How far the "ram" section has come. */
enum rs_ram_progress {
	RS_RAM_AWAITED,
	RS_RAM_STARTED,
	RS_RAM_ENDED,
};

struct rs_incoming {
	struct rs_migration *migration;
	struct rs_state *state;
	struct rs_stream *stream;
	struct rs_section ram;
	enum rs_ram_progress progress;
	bool devices;     /* a device section has come */
	bool opaque;      /* the device state was taken as it stands, to the stream's end */
	bool return_path; /* QEMU's form: the source opened one */
	bool recording;   /* QEMU's form: it did, long ago, and nobody listens */
	bool handed_over;
	uint64_t start_bytes; /* that others had got from the stream */
	uint64_t record_at;   /* offset of the record that is being read */
};

/* The session's error, for something that the source may not do. */
int rs_incoming_fail(struct rs_incoming *in, const char *what);

/* Whether all of RAM is there; the session's error if not. */
int rs_incoming_check_complete(struct rs_incoming *in);

/* A command, behind its first byte. 0 or the session's error. */
int rs_incoming_command(struct rs_incoming *in);

/* The last word on a return path of QEMU's, if there is one: whether all went well. */
void rs_incoming_shut(struct rs_incoming *in, bool good);

#endif
