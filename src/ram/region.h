/* SPDX-License-Identifier: MIT */
/*
 * Regions and the list of them.
 *
 * The list is walked by the thread that migrates while other threads change it:
 *
 *			| walk (RCU)	| find (lock)	| add (lock)	| remove (lock)
 *	walk		| yes		| yes		| sees it or not| see below
 *	add, remove	| yes		| one at a time	| one at a time	| one at a time
 *
 * A walker holds a *pin* on the region at which it is. rs_region_remove() unlinks the region, waits
 * for a grace period, after which nobody can take a new pin on it, and then for the pins; before
 * that it has failed the session and woken its stream, so pins end soon. A walker whose region
 * was unlinked meanwhile must not follow its link (the next one may be freed already): the flag
 * removed, set before anything that is reachable from here can be freed, says so, and the
 * walk ends.
 */
#ifndef RS_RAM_REGION_H
#define RS_RAM_REGION_H

#include "base/bitmap.h"
#include "ram/state.h"
#include "track/marks.h"

/* A dirty log of a region; constant while a session is open, except for cookie and started. */
struct rs_region_log {
	struct rs_dirty_log_ops ops;
	void *opaque;
	struct rs_region_log *next;
	/* saver only */
	void *cookie;
	bool started;
};

struct rs_region {
	/* immutable */
	struct rs_state *state;
	char name[RS_REGION_NAME_BYTES];
	uint8_t name_bytes;
	uint8_t *host;  /* read by the saver */
	uint8_t *place; /* written by the loader: the alias if there is one */
	bool has_alias;
	int fd; /* -1: none */
	uint64_t max_bytes;
	uint64_t host_page_bytes;
	uint64_t guest_address;
	/* Where it begins if all regions ever added lie one behind the other: with an offset, the name
	 * of a page that no page of another region ever has. */
	uint64_t ram_address;

	/* atomic, any thread */
	_Atomic uint64_t used_bytes;
	_Atomic uint32_t flags;
	struct rs_marks marks;

	/* guarded by the state's lock; next is read under RCU */
	struct rs_region *_Atomic next;
	struct rs_region *hash_next;
	struct rs_region_log *logs;

	/* atomic, see above */
	_Atomic bool removed;
	_Atomic unsigned pins;

	/* saver only, while a save session is open */
	struct rs_bitmap dirty;       /* a bit for each target page */
	struct rs_bitmap clear_chunk; /* a bit for each chunk whose logs are not cleared yet */

	/* loader only, while a load session is open */
	struct rs_bitmap written;  /* pages into which content was put */
	struct rs_bitmap received; /* pages that came, with content or without */
	bool listed;               /* in the list of regions of the present body */
	bool zero_until_written;   /* was fresh when the load began */
};

static inline uint64_t rs_region_pages(const struct rs_region *region)
{
	return atomic_load_explicit(&region->used_bytes, memory_order_relaxed) >>
	       region->state->page_shift;
}

/* What memory is placed in at the destination of postcopy: whole host pages, and whole target pages. Both are
 * powers of two. */
static inline uint64_t rs_placement_bytes(const struct rs_region *region)
{
	uint64_t page_bytes = region->state->page_bytes;

	return region->host_page_bytes > page_bytes ? region->host_page_bytes : page_bytes;
}

static inline bool rs_region_has(const struct rs_region *region, uint32_t flag)
{
	return (atomic_load_explicit(&region->flags, memory_order_relaxed) & flag) != 0;
}

/*
 * Walk all regions, in the order in which they were added. Each call gives a pinned region, or NULL
 * at the end or when the list changed under the walk (the session has failed then); next gives
 * the pin of its argument back. Leave a walk early with rs_region_unpin().
 */
struct rs_region *rs_region_first(struct rs_state *state);
struct rs_region *rs_region_next(struct rs_region *region);
void rs_region_unpin(struct rs_region *region);

/* Pin a region that was pinned earlier in the session; false if the session has failed since. */
bool rs_region_pin(struct rs_region *region, struct rs_state *state);

#define rs_region_for_each(state, region)                                                          \
	for ((region) = rs_region_first(state); (region) != NULL; (region) = rs_region_next(region))

/* The region of that name, pinned; NULL if there is none. name need not be terminated. */
struct rs_region *rs_region_find_pinned(struct rs_state *state, const char *name, size_t bytes);

/* Set the used length without ending the session: the loader's own. */
void rs_region_set_used(struct rs_region *region, uint64_t used_bytes);

/* End what a session has of a region: its logs, its bitmaps. Harmless if there is nothing. Not
 * to be called while the saver or loader uses them. */
void rs_region_stop_logs(struct rs_region *region);

/* Fail the session if a region is ignored and x-ignore-shared is off. The session's error. */
int rs_regions_check_ignored(struct rs_state *state);

/* Call visit for every region that stays, though others may be removed meanwhile; some regions are
 * visited more than once then. */
void rs_region_visit_all(struct rs_state *state, void (*visit)(struct rs_region *region));

/* Free all regions of a state that is going away. */
void rs_regions_destroy(struct rs_state *state);

#endif
