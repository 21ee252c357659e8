/* SPDX-License-Identifier: MIT */
/* The way into postcopy at the source: the promise, the discards, the package, the hand-over; see postcopy_out.h. */
#ifndef RS_MIGRATE_POSTCOPY_SWITCH_H
#define RS_MIGRATE_POSTCOPY_SWITCH_H

#include "migrate/outgoing.h"

/*
 * All that takes time, while the guest still runs: the channel is opened, and what is dirty already is discarded,
 * for it goes after the switch in any case. 0 or the session's error.
 */
int rs_postcopy_prepare_switch(struct rs_outgoing *out);

/*
 * The guest is stopped: what it needs to run goes, and the guest with it. 0, and the return path is heard in a
 * thread; or the session's error: whose the guest is then, migration->committed tells.
 */
int rs_postcopy_switch_over(struct rs_outgoing *out);

#endif
