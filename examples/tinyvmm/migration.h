/* SPDX-License-Identifier: MIT */
/*
 * The VM's migrations, one at a time, out of this process or into it. The library runs them in a
 * thread of its own; the control thread starts and cancels them, and draws the consequences.
 */
#ifndef TINYVMM_MIGRATION_H
#define TINYVMM_MIGRATION_H

#include "tinyvmm/vm.h"

#define MIGRATION_ADDRESS 256u

/* How long to wait for a peer that should be there. */
#define CONNECT_MS 10000u

struct migration {
	struct vm *vm;
	bool take_digest; /* at every hand-over, at both ends */
	bool running;     /* the end of the last one was not seen yet */
	bool outgoing;
	bool postcopy;                   /* outgoing ones switch over to it by themselves, */
	unsigned postcopy_after;         /* after so many passes */
	_Atomic bool paused;             /* a postcopy waits for `recover` or `resolve` */
	char address[MIGRATION_ADDRESS]; /* of the last one, with the real port */
	_Atomic uint64_t digest;         /* of the last hand-over; 0 if there was none */
};

/* Begin to send the guest, or to wait for one. Returns at once, 0 or a negative errno. */
int migration_start_out(struct migration *migration, const char *address, struct rs_error *error);
int migration_start_in(struct migration *migration, const char *address, struct rs_error *error);

/* Where it stands, and if it has ended, with all that follows: a guest that was sent is no more here. */
enum rs_status migration_look(struct migration *migration);

/* In doubt, or a postcopy that nobody will recover: the guest is this end's, or it is not. */
int migration_resolve(struct migration *migration, enum rs_resolution resolution,
		      struct rs_error *error);

#endif
