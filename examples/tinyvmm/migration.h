/* SPDX-License-Identifier: MIT */
/*
 * The VM's migrations, one at a time, out of this process or into it: what the library asks of a
 * VMM (struct rs_vm_ops), and a thread that opens the stream and runs rs_migrate_out() or
 * rs_migrate_in() over it.
 */
#ifndef TINYVMM_MIGRATION_H
#define TINYVMM_MIGRATION_H

#include "tinyvmm/vm.h"

#define MIGRATION_ADDRESS 256u

enum direction {
	DIRECTION_OUT,
	DIRECTION_IN,
};

struct migration {
	struct vm *vm;
	bool take_digest; /* at every hand-over, at both ends */
	int ended_fd;     /* readable when a migration has ended */

	pthread_t thread;
	bool started; /* and not joined */

	/* Guarded by the lock. */
	pthread_mutex_t lock;
	bool busy;
	bool cancelled;
	enum direction direction;
	enum rs_status status;
	struct rs_listener *listener;
	char address[MIGRATION_ADDRESS];
	struct rs_error error;
	uint64_t digest; /* of the last hand-over; 0 if there was none */
};

int migration_init(struct migration *migration, struct vm *vm, bool take_digest);

/* Cancel what runs, and wait for it. */
void migration_fini(struct migration *migration);

/*
 * Begin to migrate. Returns at once, -EBUSY if one runs, -ENOENT if there is no guest to send,
 * -EEXIST if there is one already.
 */
int migration_start(struct migration *migration, enum direction direction, const char *address,
		    struct rs_error *error);

/* End it, if it is not too late. Returns 0, -ESRCH or -EALREADY. */
int migration_cancel(struct migration *migration);

/* In doubt: the guest is this end's, or it is not. */
int migration_resolve(struct migration *migration, enum rs_resolution resolution,
		      struct rs_error *error);

#endif
