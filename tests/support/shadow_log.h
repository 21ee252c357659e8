/* SPDX-License-Identifier: MIT */
/*
 * A dirty log as KVM has it, over a bitmap that the writers set: GET gives the bitmap and
 * leaves it as it is, CLEAR takes out exactly bits that the last GET gave. Without clear,
 * GET takes out what it gives. It checks how the library calls it, too.
 */
#ifndef RS_TESTS_SHADOW_LOG_H
#define RS_TESTS_SHADOW_LOG_H

#include <ramsync/dirty_log.h>
#include <stdatomic.h>
#include <stdbool.h>

struct shadow_log {
	/* immutable */
	uint64_t granule_bytes;
	uint64_t bits;
	bool ranges; /* report ranges instead of a bitmap */

	/* any thread */
	_Atomic uint64_t *words;

	/* the thread that saves */
	uint64_t *copy;    /* what the last GET gave, and no CLEAR has taken out since */
	uint64_t *cleared; /* granules cleared since the last GET */
	bool started;
	const char *fault; /* what the library did wrong first, or NULL */
};

/* For a region of that many bytes. 0 or -ENOMEM. */
int shadow_log_init(struct shadow_log *log, uint64_t region_bytes, uint64_t granule_bytes);
void shadow_log_fini(struct shadow_log *log);

/* After a write. Any thread. */
void shadow_log_set(struct shadow_log *log, uint64_t offset, uint64_t bytes);

/* To rs_region_add_dirty_log(), with the struct shadow_log. */
extern const struct rs_dirty_log_ops shadow_log_ops;
extern const struct rs_dirty_log_ops shadow_log_clear_ops;

#endif
