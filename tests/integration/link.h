/* SPDX-License-Identifier: MIT */
/* Connections of every kind between two guests. */
#ifndef RS_TESTS_LINK_H
#define RS_TESTS_LINK_H

#include "support/test_random.h"

#include <ramsync/stream.h>

enum link_kind {
	LINK_FAKE, /* two-way, in memory, with short and interrupted calls */
	LINK_FAKE_ONE_WAY,
	LINK_SOCKETS, /* a pair of Unix sockets, of any buffer size, blocking or not */
	LINK_TCP,     /* loopback, opened by address */
	LINK_PIPE,    /* one-way */
	LINK_FILE,    /* written first, then read */
	LINK_KINDS,
};

struct link {
	struct rs_stream *out;
	struct rs_stream *in; /* NULL for a file until it is written */
	int file;             /* -1 without one */
};

/* 0 or a negative errno. The fakes call taken(opaque) in the writer's thread each time that they took
 * bytes, if it is not NULL. */
int link_open(struct link *link, enum link_kind kind, struct test_random *random,
	      void (*taken)(void *opaque), void *opaque);
/* A file that is written: open the reader. */
int link_open_reader(struct link *link);

const char *link_kind_name(enum link_kind kind);

#endif
