/* SPDX-License-Identifier: MIT */
/*
 * The state and its session.
 *
 * A *session* is one open sequence of save or load calls, from set-up to clean-up. It has one
 * error, the first, whichever thread reports it; and while one of its calls runs, the stream of
 * that call is attached, so that another thread that reports a failure can wake the call. That is
 * how cancel and the removal of a region end a migration whose peer is stalled.
 */
#ifndef RS_RAM_STATE_H
#define RS_RAM_STATE_H

#include "base/error.h"
#include "ram/counters.h"
#include "ram/param.h"
#include "ram/rcu.h"

#include <ramsync/region.h>
#include <ramsync/stream.h>
#include <pthread.h>
#include <stdarg.h>

/* What sequence of calls is open; api/phase.c has the table of what is legal when. */
enum rs_phase {
	RS_PHASE_IDLE,
	RS_PHASE_SAVING,
	RS_PHASE_SAVED, /* after rs_save_complete() */
	RS_PHASE_SAVE_FAILED,
	RS_PHASE_LOADING,
	RS_PHASE_LOAD_FAILED,
	RS_PHASE_MIGRATING, /* a driver's: the handlers are its own */
	RS_PHASE_IN_DOUBT,
	RS_PHASE_COUNT,
};

struct rs_session {
	/* atomic, so that the thread that works can look without the lock */
	_Atomic int code;
	/* guarded by the state's lock */
	bool open;     /* changes of the regions end it */
	bool final;    /* what failed ends a migration even in postcopy, which survives the rest */
	bool attached; /* a call runs, in this thread, on this stream */
	pthread_t thread;
	pthread_t vm_thread; /* and calls the VMM back in this one */
	bool lent;           /* which is another one, for good: what fails there is final */
	struct rs_stream *stream;
	int wake_fd;  /* or it waits for a stream to be opened, until this is written to; -1 */
	bool limited; /* max-bandwidth holds for that stream */
	struct rs_error error;
	/* worker only: where odd things are told, or NULL */
	void (*warn)(void *opaque, const char *text);
	void *warn_opaque;
};

struct rs_save;
struct rs_load;
struct rs_migration;
struct rs_background;
struct rs_blocktime;

struct rs_state {
	/* immutable */
	uint32_t page_bytes;
	unsigned page_shift;

	/* atomic, any thread */
	struct rs_params params;
	struct rs_counters counters;
	_Atomic uint64_t dirty_pages; /* set bits in the dirty bitmaps; written by the saver */
	_Atomic int status;           /* enum rs_status */
	_Atomic uint64_t removals;    /* of regions, so far */

	/* guarded by lock; the list is also walked under RCU */
	pthread_mutex_t lock;
	pthread_cond_t unpinned;
	struct rs_rcu rcu;
	struct rs_region *_Atomic first_region;
	struct rs_region *last_region;
	struct rs_region **region_table; /* hash of names; region_table_size is a power of two */
	size_t region_table_size;
	size_t region_count;
	uint64_t ram_end; /* of the regions that were ever added, one behind the other */
	struct rs_session session;
	enum rs_phase phase;
	struct rs_error call_error;

	/* the folders' own, of the session that is open */
	struct rs_save *save;
	struct rs_load *load;
	struct rs_migration *migration;
	struct rs_background *background;

	int userfaultfd; /* the embedder's own, for postcopy; -1. Constant while a migration runs */

	/* any thread, with a lock of its own; of all migrations */
	struct rs_blocktime *blocktime;
};

/* Everything but the layers' own. 0 or -ENOMEM. */
int rs_state_init(struct rs_state *state, uint32_t page_bytes);
void rs_state_fini(struct rs_state *state);

/* Whether the stream is of the form x-ignore-shared. */
static inline bool rs_state_ignores_shared(const struct rs_state *state)
{
	return rs_params_number(&state->params, RS_PARAM_X_IGNORE_SHARED) != 0;
}

/* Keep why a call was refused (RS_ERROR_OF_CALL). Returns code. */
int rs_state_refuse(struct rs_state *state, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void rs_session_open(struct rs_state *state);

/* The same, but changes of the regions are no failure (yet). */
void rs_session_open_unheeding(struct rs_state *state);
void rs_session_close(struct rs_state *state);

/* From here on changes of the regions are no failure any more: all RAM is sent. */
void rs_session_ignore_regions(struct rs_state *state);

/* From here on they are one again. */
void rs_session_heed_regions(struct rs_state *state);

/* A call begins to use a stream (may be NULL), or to wait for one, in a way that a write to an
 * eventfd ends. The session's error if there is one. */
int rs_session_attach(struct rs_state *state, struct rs_stream *stream);
int rs_session_attach_wait(struct rs_state *state, int wake_fd);
void rs_session_detach(struct rs_state *state);

/* The call that is attached waits for this stream now, which a failure shuts. The session's error if there is one. */
int rs_session_use_stream(struct rs_state *state, struct rs_stream *stream);

/* The calling thread uses the stream from now on, and attaches others; the one that attached it goes on
 * calling the VMM back. */
void rs_session_lend(struct rs_state *state);

/*
 * Postcopy: the connection broke, which loses nothing. Takes the failure away, tells it, and detaches. False
 * if the migration cannot go on: it was cancelled, or regions changed.
 */
bool rs_session_pause(struct rs_state *state, struct rs_error *why);

/* The same by somebody else's will: what the call waits for ends, and it may go on with another one. */
void rs_session_break_locked(struct rs_state *state, int code, const char *why);

/* No new connection would help any more: whatever fails is final, and the call that runs is woken. */
void rs_session_give_up(struct rs_state *state);

/* The call that is attached waits for something else than its stream, in a way that a write to an eventfd
 * ends; -1: no more. */
void rs_session_set_wake_fd(struct rs_state *state, int wake_fd);

/* Is this a thread whose call uses the stream? */
bool rs_session_is_mine_locked(const struct rs_state *state);

/* Shut the stream of the call that runs, if there is one: it returns soon. Any thread. */
void rs_session_wake_locked(struct rs_state *state);

/*
 * Record a failure, unless there was one before, and shut the attached stream down if the call
 * that uses it is another thread's. Any thread.
 * Returns the code of the session's first failure.
 */
int rs_session_fail(struct rs_state *state, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int rs_session_failv_locked(struct rs_state *state, int code, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

/* The same for what no new connection would mend. */
int rs_session_end_locked(struct rs_state *state, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with an error at hand; with the sticky error of a stream, if it has one (else 0). */
int rs_session_fail_with(struct rs_state *state, const struct rs_error *error);
int rs_session_check_stream(struct rs_state *state, struct rs_stream *stream);

/* A better text for what has failed already: it takes the place of the first error. */
int rs_session_explain(struct rs_state *state, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static inline int rs_session_code(const struct rs_state *state)
{
	return atomic_load_explicit(&state->session.code, memory_order_acquire);
}

void rs_session_warn(struct rs_state *state, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
