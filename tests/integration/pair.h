/* SPDX-License-Identifier: MIT */
/* A guest that runs at a source, and a destination to which it may move. For cmocka tests. */
#ifndef RS_TESTS_PAIR_H
#define RS_TESTS_PAIR_H

#include "support/fake_stream.h"
#include "support/transfer.h"

struct pair {
	struct guest_world world;
	const struct guest_spec *spec; /* of both */
	struct guest *from;
	struct guest *to;
	char text[256]; /* what differed when the destination ran */
	bool postcopy;  /* the destination runs before all is there */
	/* The test's own hook, called for both guests; may be NULL. */
	guest_hook *hook;
	void *hook_opaque;
};

/* Their writers make a break after the first pass, and memory is compared at the switchover. */
void pair_open(struct pair *pair, const struct guest_spec *spec);
/* With a guest of half a thousand pages that writes a little, and a watchdog: nothing that comes may
 * wait for ever. */
extern const struct guest_spec pair_small_guest;
void pair_open_small(struct pair *pair);
void pair_close(struct pair *pair);

/* In place of the last one. */
void pair_new_destination(struct pair *pair);

void pair_set_param(struct pair *pair, const char *name, const char *value);

/* Over a fake connection; NULL options mean none. */
void pair_migrate(struct pair *pair, const struct fake_options *there,
		  const struct fake_options *back, struct transfer *transfer);

/* At no time did both ends run, and nobody saw a wrong page. */
void pair_check_sane(struct pair *pair);

/* The guest was moved, whole. */
void pair_check_moved(struct pair *pair, const struct transfer *transfer);

/* After whatever happened: the guest runs at the source, whole, and can be moved to a new
 * destination. */
void pair_move_on(struct pair *pair);

#endif
