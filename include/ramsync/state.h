/* SPDX-License-Identifier: MIT */
/*
 * The state: one object for each virtual machine whose RAM may ever migrate.
 *
 * Life cycle: create it when the VM is created, describe its memory with
 * rs_region_add() (region.h), run any number of migrations in either direction,
 * one at a time, and destroy it with the VM. Any number of states may live in one
 * process; they share nothing.
 *
 * Threads: unless a function says otherwise it may be called from any thread, and
 * concurrently with every other call on the same state except rs_state_destroy().
 */
#ifndef RAMSYNC_STATE_H
#define RAMSYNC_STATE_H

#include <ramsync/error.h>

RS_BEGIN_DECLS

struct rs_state;

/**
 * struct rs_state_config - what must be known when a state is created.
 * @size: sizeof(struct rs_state_config), for versioning. A larger struct than the
 *	library knows is accepted if its unknown tail is all zero.
 * @target_page_bytes: page size on the wire, a power of two from 1024 to 65536, and
 *	a multiple or divisor of the host's; 0 means 4096. Dirty pages are counted, sent
 *	and cached in this unit.
 */
struct rs_state_config {
	size_t size;
	uint32_t target_page_bytes;
};

/**
 * rs_state_create() - make a state.
 * @config: creation options, copied; NULL for all defaults.
 * @state: receives the new state; untouched on failure.
 *
 * Return: 0; -EINVAL for a bad page size or an unknown option in @config; -ENOMEM.
 * Context: any thread.
 * Ownership: the caller's, until rs_state_destroy().
 */
RS_API int rs_state_create(const struct rs_state_config *config, struct rs_state **state);

/**
 * rs_state_destroy() - free a state and all its regions.
 * @state: may be NULL. No call on it may be running or come later; a migration that
 *	was started is cancelled and waited for; if the guest is just changing hands it is given a
 *	second to end by itself, and ends in doubt otherwise.
 *
 * The guest memory itself is the embedder's and is not touched.
 */
RS_API void rs_state_destroy(struct rs_state *state);

/**
 * rs_state_page_bytes() - page size on the wire.
 * @state: the state.
 *
 * Return: bytes, as settled by rs_state_create().
 */
RS_API uint32_t rs_state_page_bytes(const struct rs_state *state);

/**
 * enum rs_error_source - which of the two texts of a state is meant.
 * @RS_ERROR_OF_MIGRATION: the first error of the migration that runs, or of the
 *	last one. Whoever failed first wins, in whatever thread; a new migration clears it.
 * @RS_ERROR_OF_CALL: the last call on the state that was refused, for instance for a
 *	bad argument or in a wrong phase. Another thread's refusal may replace it.
 */
enum rs_error_source {
	RS_ERROR_OF_MIGRATION,
	RS_ERROR_OF_CALL,
};

/**
 * rs_error_get() - why something failed.
 * @state: the state.
 * @source: which failure.
 * @error: receives code and text; code 0 and "" if there was none. May be NULL.
 *
 * Return: the code of that failure, or 0.
 */
RS_API int rs_error_get(const struct rs_state *state, enum rs_error_source source,
			struct rs_error *error);

RS_END_DECLS
#endif
