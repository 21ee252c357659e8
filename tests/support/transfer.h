/* SPDX-License-Identifier: MIT */
/* Two guests and a connection: both ends of a migration, each in a thread of its own. */
#ifndef RS_TESTS_TRANSFER_H
#define RS_TESTS_TRANSFER_H

#include "support/guest.h"

#include <pthread.h>

struct transfer_end {
	struct guest *guest;
	struct rs_stream *stream; /* closed when the migration has ended */
	int (*work)(struct guest *guest, struct rs_stream *stream);
	pthread_t thread;
	_Atomic bool ended;
	int result;
	struct rs_error error; /* of the migration, if it failed */
};

struct transfer {
	struct transfer_end out;
	struct transfer_end in;
};

/* The driver, blocking. */
int transfer_out(struct guest *guest, struct rs_stream *stream);
int transfer_in(struct guest *guest, struct rs_stream *stream);

/* Both ends at once, from start to end. */
void transfer_run(struct transfer *transfer, struct guest *from, struct rs_stream *out,
		  struct guest *to, struct rs_stream *in);

/* One end by itself. */
void transfer_end_start(struct transfer_end *end, struct guest *guest, struct rs_stream *stream,
			int (*work)(struct guest *guest, struct rs_stream *stream));
void transfer_end_join(struct transfer_end *end);

#endif
