/* SPDX-License-Identifier: MIT */
/* Migrations that run in a thread of ours. */
#ifndef RS_API_BACKGROUND_H
#define RS_API_BACKGROUND_H

#include "migrate/migration.h"
#include "migrate/opening.h"

/* 0 or a negative errno. */
int rs_background_init(struct rs_state *state);

/* Cancels and waits for what runs. */
void rs_background_fini(struct rs_state *state);

/* What was started has not been waited for. */
bool rs_background_is_busy(struct rs_state *state);

typedef int rs_background_work(struct rs_state *state, struct rs_opening *opening);

/* Run work(state, a copy of opening) in a thread; one at a time, until rs_migrate_wait(). 0, -EBUSY,
 * -EAGAIN, -ENOMEM. */
int rs_background_start(struct rs_state *state, const struct rs_opening *opening,
			rs_background_work *work);

#endif
