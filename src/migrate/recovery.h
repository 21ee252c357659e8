/* SPDX-License-Identifier: MIT */
/*
 * Postcopy whose connection broke: it waits, paused, until somebody brings a new one, or ends it by decree.
 * What the two ends say then is theirs (postcopy_out.c, postcopy_in.c).
 */
#ifndef RS_MIGRATE_RECOVERY_H
#define RS_MIGRATE_RECOVERY_H

#include "migrate/migration.h"

/*
 * By the thread that owns the connection, after it has broken: pause, and wait for the next one, which is open
 * and attached then, and the migration's stream. 0; 1: ended by decree; the session's error: there is no
 * going on.
 */
int rs_recovery_wait(struct rs_migration *migration);

/* Close what the last recovery brought, if there was one. */
void rs_recovery_close(struct rs_migration *migration);

/* Any thread: bring a connection, which is the migration's from here on; the address is copied. 0, or -EINVAL or
 * -ENOMEM: nothing happened, and why. */
int rs_recovery_offer(struct rs_migration *migration, const struct rs_opening *opening,
		      const char **why);

/* Any thread: give up the connection that there is, or that is being made. False if there is neither. */
bool rs_recovery_break(struct rs_migration *migration);

/* Any thread: end it, saying whose the guest is. False if it is not paused. */
bool rs_recovery_end_by_decree(struct rs_migration *migration, enum rs_resolution decree);

#endif
