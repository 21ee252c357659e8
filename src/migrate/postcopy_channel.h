/* SPDX-License-Identifier: MIT */
/* The channel for preempt, at the source. */
#ifndef RS_MIGRATE_POSTCOPY_CHANNEL_H
#define RS_MIGRATE_POSTCOPY_CHANNEL_H

#include "migrate/outgoing.h"

/*
 * A QEMU of 7.1 or 7.2, and later ones with such a machine, wait for the channel before they begin, and for its
 * end mark at the end; later machines take it when postcopy begins, and have no mark.
 */
bool rs_postcopy_wants_channel_at_once(const struct rs_migration *migration);

/* Open it, over the present connection, and say whose it is. 0 or the session's error. */
int rs_postcopy_open_channel(struct rs_outgoing *out);

/* From now on requests are served there, if there is one. No request may come meanwhile. */
void rs_postcopy_use_channel(struct rs_outgoing *out);

/* All was sent, so nobody else writes to it any more: its end mark, for those who want one. */
void rs_postcopy_end_channel(struct rs_outgoing *out);

#endif
