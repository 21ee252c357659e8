/* SPDX-License-Identifier: MIT */
/*
 * One whole migration, in either direction. It stays with the state after its end, until the
 * next one begins: an in-doubt one may still be settled.
 */
#ifndef RS_MIGRATE_MIGRATION_H
#define RS_MIGRATE_MIGRATION_H

#include "migrate/opening.h"
#include "wire/feature.h"

#include <ramsync/migrate.h>

struct rs_migration {
	/* immutable */
	struct rs_state *state;
	struct rs_vm_ops vm;
	void *opaque;
	bool outgoing;

	/* the migration thread */
	struct rs_stream *stream;
	struct rs_opening *opening; /* of that stream; or NULL: it was just given */
	bool native;
	bool two_way;
	bool one_way;                /* the first stream was; constant once it can pause */
	struct rs_features features; /* agreed on; the session id stays after the end */
	uint32_t next_section_id;
	bool vm_stopped; /* by us, not resumed since */
	uint64_t passes; /* dirty syncs that were told */

	/* any thread */
	_Atomic bool postcopy_wanted;
	pthread_mutex_t telling; /* held while the VMM is told something */

	/* guarded by the state's lock */
	bool committed;  /* too late for cancel */
	bool paused;     /* postcopy waits for a connection, and for nothing else */
	bool connecting; /* it was brought one, which is being opened */
	bool given_up;   /* or for this: it was ended by decree, which the next is */
	enum rs_resolution decree;
	bool offered;               /* the next is valid, and to be taken */
	struct rs_opening offer;    /* what rs_migrate_recover() brought */
	struct rs_error why_paused; /* of the last break, until the next one */

	/* whoever owns the connection */
	struct rs_opening recovered; /* over what it goes on after a break */
};

/* QEMU's form, and the parameter lax is on. */
static inline bool rs_migration_is_lax(const struct rs_migration *migration)
{
	return !migration->native && rs_params_number(&migration->state->params, RS_PARAM_LAX) != 0;
}

/* A new one, in place of the state's last. NULL without memory. */
struct rs_migration *rs_migration_new(struct rs_state *state, const struct rs_vm_ops *vm,
				      void *opaque, bool outgoing);
void rs_migration_free(struct rs_migration *migration);

/* It begins, in whatever thread, and can be cancelled from now on; the thread that migrates tells.
 */
void rs_migration_begin(struct rs_migration *migration);
void rs_migration_tell_begin(struct rs_migration *migration);

/* Whether postcopy may be needed, and over two connections, going by the parameters. */
static inline bool rs_migration_may_postcopy(const struct rs_migration *migration)
{
	return rs_params_number(&migration->state->params, RS_PARAM_POSTCOPY_RAM) != 0;
}

static inline bool rs_migration_preempts(const struct rs_migration *migration)
{
	return rs_migration_may_postcopy(migration) &&
	       rs_params_number(&migration->state->params, RS_PARAM_POSTCOPY_PREEMPT) != 0;
}

/* Go to another status, if the table has that step (else nothing happens), and tell the VMM. */
void rs_migration_set_status(struct rs_migration *migration, enum rs_status status);
void rs_migration_set_status_why(struct rs_migration *migration, enum rs_status status,
				 const char *why);

/* The last status: completed, in doubt, cancelled or failed, going by the result of the whole. */
void rs_migration_set_ended(struct rs_migration *migration, int result);

void rs_migration_warn(struct rs_migration *migration, const char *text);

/* Tell an observer, if there is one. The size is filled in, and a name that is NULL becomes "". */
void rs_migration_observe(struct rs_migration *migration, struct rs_observation observation);

/* Tell about dirty syncs since the last call. */
void rs_migration_tell_passes(struct rs_migration *migration);

/* From now on cancel is refused. False if one came before, or the session failed otherwise. */
bool rs_migration_commit(struct rs_migration *migration);

/* The same in postcopy, where a connection that just broke is no failure. */
bool rs_migration_commit_unless_final(struct rs_migration *migration);

/* As the session's failures: the first wins. */
int rs_migration_fail_stream(struct rs_migration *migration);

/* Hand everything to the transport. 0 or the session's error. */
int rs_migration_flush(struct rs_migration *migration);

/* Resume the guest if this migration stopped it. What the callback returned. */
int rs_migration_resume_vm(struct rs_migration *migration);

/* At the destination: resume the guest, which is ours now. 0 or the session's error. */
int rs_migration_take_over(struct rs_migration *migration);

/* The whole of it but for its last status; see ramsync/migrate.h. No checks of the phase. */
int rs_migration_run_out(struct rs_migration *migration, struct rs_stream *stream);
int rs_migration_run_in(struct rs_migration *migration, struct rs_stream *stream);

#endif
