/* SPDX-License-Identifier: MIT */
#include "ram/region_list.h"

#include <stdlib.h>
#include <string.h>

/* ---- the table of names -------------------------------------------------------------------- */

/* FNV-1a: names are short, and the embedder's own. */
static size_t name_hash(const char *name, size_t bytes)
{
	uint64_t hash = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < bytes; i++)
		hash = (hash ^ (unsigned char)name[i]) * 0x100000001b3ull;
	return (size_t)(hash ^ hash >> 32);
}

static struct rs_region **table_slot(struct rs_state *state, const char *name, size_t bytes)
{
	return &state->region_table[name_hash(name, bytes) & (state->region_table_size - 1)];
}

static struct rs_region *find_locked(struct rs_state *state, const char *name, size_t bytes)
{
	if (state->region_table_size == 0)
		return NULL;
	struct rs_region *region = *table_slot(state, name, bytes);

	while (region != NULL &&
	       (region->name_bytes != bytes || memcmp(region->name, name, bytes) != 0))
		region = region->hash_next;
	return region;
}

static void table_insert(struct rs_state *state, struct rs_region *region)
{
	struct rs_region **slot = table_slot(state, region->name, region->name_bytes);

	region->hash_next = *slot;
	*slot = region;
}

static void table_remove(struct rs_state *state, struct rs_region *region)
{
	struct rs_region **link = table_slot(state, region->name, region->name_bytes);

	while (*link != region)
		link = &(*link)->hash_next;
	*link = region->hash_next;
}

/* Keep the table at least as large as the list. */
static int table_reserve(struct rs_state *state)
{
	if (state->region_count < state->region_table_size)
		return 0;
	size_t size = state->region_table_size == 0 ? 16 : 2 * state->region_table_size;
	struct rs_region **table = calloc(size, sizeof(struct rs_region *));

	if (table == NULL)
		return -ENOMEM;
	free(state->region_table);
	state->region_table = table;
	state->region_table_size = size;
	for (struct rs_region *region = state->first_region; region != NULL; region = region->next)
		table_insert(state, region);
	return 0;
}

/* ---- changing ------------------------------------------------------------------------------ */

int rs_region_list_add(struct rs_state *state, struct rs_region *region)
{
	int result = 0;

	pthread_mutex_lock(&state->lock);
	if (find_locked(state, region->name, region->name_bytes) != NULL)
		result = -EEXIST;
	else
		result = table_reserve(state);
	if (result == 0) {
		struct rs_region *_Atomic *end =
		    state->last_region != NULL ? &state->last_region->next : &state->first_region;

		region->ram_address = state->ram_end;
		state->ram_end += region->max_bytes;
		table_insert(state, region);
		atomic_store_explicit(end, region, memory_order_release);
		state->last_region = region;
		state->region_count++;
		/* The loader adds what the stream announces, from inside its own call. */
		if (state->session.open && !(state->load != NULL && state->session.attached &&
					     pthread_equal(state->session.thread, pthread_self())))
			rs_session_end_locked(state, -ESTALE,
					      "region %s was added during the migration",
					      region->name);
	}
	pthread_mutex_unlock(&state->lock);
	return result;
}

void rs_region_list_unlink_locked(struct rs_region *region)
{
	struct rs_state *state = region->state;
	struct rs_region *before = NULL;

	for (struct rs_region *at = state->first_region; at != region; at = at->next)
		before = at;
	struct rs_region *_Atomic *link = before != NULL ? &before->next : &state->first_region;

	atomic_store_explicit(&region->removed, true, memory_order_seq_cst);
	atomic_store_explicit(link, region->next, memory_order_release);
	if (state->last_region == region)
		state->last_region = before;
	table_remove(state, region);
	state->region_count--;
	atomic_fetch_add_explicit(&state->removals, 1, memory_order_seq_cst);
}

/* ---- walking ------------------------------------------------------------------------------- */

static void pin(struct rs_region *region)
{
	if (region != NULL)
		atomic_fetch_add_explicit(&region->pins, 1, memory_order_seq_cst);
}

bool rs_region_pin(struct rs_region *region, struct rs_state *state)
{
	/* Whoever removes a region fails the session first, under the same lock. */
	pthread_mutex_lock(&state->lock);
	bool valid = rs_session_code(state) == 0;

	if (valid)
		pin(region);
	pthread_mutex_unlock(&state->lock);
	return valid;
}

struct rs_region *rs_region_first(struct rs_state *state)
{
	rs_rcu_read_lock(&state->rcu);
	struct rs_region *region = atomic_load_explicit(&state->first_region, memory_order_acquire);

	pin(region);
	rs_rcu_read_unlock(&state->rcu);
	return region;
}

struct rs_region *rs_region_next(struct rs_region *region)
{
	struct rs_state *state = region->state;
	struct rs_region *next = NULL;

	rs_rcu_read_lock(&state->rcu);
	if (!atomic_load_explicit(&region->removed, memory_order_seq_cst))
		next = atomic_load_explicit(&region->next, memory_order_acquire);
	pin(next);
	rs_rcu_read_unlock(&state->rcu);
	rs_region_unpin(region);
	return next;
}

void rs_region_visit_all(struct rs_state *state, void (*visit)(struct rs_region *region))
{
	struct rs_region *region;
	uint64_t removals;

	/* A removal cuts a walk short. */
	do {
		removals = atomic_load_explicit(&state->removals, memory_order_seq_cst);
		rs_region_for_each (state, region)
			visit(region);
	} while (removals != atomic_load_explicit(&state->removals, memory_order_seq_cst));
}

void rs_region_unpin(struct rs_region *region)
{
	struct rs_state *state = region->state;
	/*
	 * Under the lock, in which a remover looks at the pins: once it sees none the region is
	 * freed, so nothing of it may be touched after the pin is gone.
	 */
	pthread_mutex_lock(&state->lock);
	if (atomic_fetch_sub_explicit(&region->pins, 1, memory_order_seq_cst) == 1)
		pthread_cond_broadcast(&state->unpinned);
	pthread_mutex_unlock(&state->lock);
}

struct rs_region *rs_region_find_pinned(struct rs_state *state, const char *name, size_t bytes)
{
	pthread_mutex_lock(&state->lock);
	struct rs_region *region = find_locked(state, name, bytes);

	pin(region);
	pthread_mutex_unlock(&state->lock);
	return region;
}

struct rs_region *rs_region_find(struct rs_state *state, const char *name)
{
	pthread_mutex_lock(&state->lock);
	struct rs_region *region = find_locked(state, name, strlen(name));

	pthread_mutex_unlock(&state->lock);
	return region;
}
