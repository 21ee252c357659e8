/* SPDX-License-Identifier: MIT */
/*
 * An incoming migration as its parts share it: the loop over records (incoming.c), commands and the
 * return path (incoming_command.c), postcopy (postcopy_in.c, package.c).
 *
 * A struct rs_incoming reads one stream of records, and belongs to one thread. Without postcopy there is
 * one. With it there are three: the whole stream up to the package, the package in memory (both the migrating
 * thread's), and from then on the pages, in a thread of its own.
 */
#ifndef RS_MIGRATE_INCOMING_H
#define RS_MIGRATE_INCOMING_H

#include "migrate/answers.h"

/* How far the "ram" section has come. */
enum rs_ram_progress {
	RS_RAM_AWAITED,
	RS_RAM_STARTED,
	RS_RAM_ENDED,
};

/* What is read, which decides what may stand there. */
enum rs_incoming_part {
	RS_PART_WHOLE = 1 << 0,    /* a stream from its beginning */
	RS_PART_PACKAGE = 1 << 1,  /* what is needed to run the guest in postcopy */
	RS_PART_PAGES = 1 << 2,    /* what follows the package */
	RS_PART_RECOVERY = 1 << 3, /* how another connection begins, after a break */
};

struct rs_postcopy_in;

struct rs_incoming {
	struct rs_migration *migration;
	struct rs_state *state;
	struct rs_stream *stream; /* NULL: the connection broke, and no other came */
	struct rs_answers *answers;
	struct rs_postcopy_in *postcopy; /* NULL: it was not promised */
	enum rs_incoming_part part;
	struct rs_section ram;
	enum rs_ram_progress progress;
	bool devices;     /* a device section has come */
	bool opaque;      /* the device state was taken as it stands, to the stream's end */
	bool return_path; /* QEMU's form: the source opened one */
	bool recording;   /* QEMU's form: it did, long ago, and nobody listens */
	bool handed_over;
	bool ended;            /* read to the end of its part */
	uint64_t offset;       /* of the first byte, where the stream is a piece of another one */
	uint64_t start_bytes;  /* that others had got from the stream */
	uint64_t broken_bytes; /* got over connections that have broken */
	uint64_t record_at;    /* offset of the record that is being read */
};

/* The session's error, for something that the source may not do. */
int rs_incoming_fail(struct rs_incoming *in, const char *what);

/* Read records to the end of the part. 0 or the session's error. */
int rs_incoming_get_records(struct rs_incoming *in);

/* Bytes of the migration so far. */
uint64_t rs_incoming_wire_bytes(const struct rs_incoming *in);

/* Whether all of RAM is there; the session's error if not. */
int rs_incoming_check_complete(struct rs_incoming *in);

/* A command, behind its first byte. 0 or the session's error. */
int rs_incoming_command(struct rs_incoming *in);

/* The last word on a return path of QEMU's, if there is one: whether all went well. */
void rs_incoming_shut(struct rs_incoming *in, bool good);

#endif
