/* SPDX-License-Identifier: MIT */
/*
 * Handing the guest over, in native mode on a two-way stream:
 *
 *	source				destination
 *	CHECK	-------------------->	everything is there and checked
 *		<--------------------	READY
 *	COMMIT	-------------------->	runs the guest
 *		<--------------------	RUNNING
 *
 * Where it can break, and what is then known:
 *
 *	before COMMIT is written	the source has the guest, and resumes it. A destination that
 *					said READY does not know that: it is in doubt
 *	after, before RUNNING is read	the source is in doubt. The destination runs the guest,
 *					or is in doubt as well
 *	FAILED instead of RUNNING	the destination says that it does not run the guest and
 *					never will: the source resumes it
 *
 * In-doubt ends are complete and stopped. A reconnect settles both, see rs_handover_reconnect_*.
 */
#ifndef RS_MIGRATE_HANDOVER_H
#define RS_MIGRATE_HANDOVER_H

#include "migrate/outer_io.h"

/* 0: done; RS_ERROR_IN_DOUBT; another error: the guest is the source's. */
int rs_handover_out(struct rs_migration *migration);

/* After CHECK, committed: READY may be believed from its first byte on. 0: the guest runs here;
 * RS_ERROR_IN_DOUBT; another error: it does not. */
int rs_handover_in(struct rs_migration *migration);

/* At the destination, once it has failed: tell the source why, if it still listens. */
void rs_handover_tell_failure(struct rs_migration *migration);

/* As their public counterparts in ramsync/migrate.h. */
int rs_handover_resolve(struct rs_migration *migration, enum rs_resolution resolution);
int rs_handover_reconnect_out(struct rs_migration *migration);
int rs_handover_reconnect_in(struct rs_migration *migration);

#endif
