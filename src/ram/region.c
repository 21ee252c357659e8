/* SPDX-License-Identifier: MIT */
#include "ram/region.h"

#include "base/checked.h"
#include "base/versioned.h"
#include "ram/region_list.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- adding -------------------------------------------------------------------------------- */

static int check_config(struct rs_state *state, const struct rs_region_config *config)
{
	uint64_t page = state->page_bytes;
	const char *name = config->name;

	if (name == NULL || *name == '\0' || strlen(name) >= RS_REGION_NAME_BYTES)
		return rs_state_refuse(state, -EINVAL, "a region's name must have 1 to 255 bytes");
	if (!rs_is_power_of_two(config->host_page_bytes) ||
	    config->host_page_bytes < (uint64_t)sysconf(_SC_PAGESIZE))
		return rs_state_refuse(state, -EINVAL,
				       "region %s: %llu bytes are no size of a host page", name,
				       (unsigned long long)config->host_page_bytes);
	if (config->host == NULL ||
	    !rs_is_aligned((uintptr_t)config->host, config->host_page_bytes))
		return rs_state_refuse(state, -EINVAL,
				       "region %s: its host address %p is not aligned to its host "
				       "pages of %llu bytes",
				       name, config->host,
				       (unsigned long long)config->host_page_bytes);
	if (!rs_is_aligned((uintptr_t)config->alias, config->host_page_bytes))
		return rs_state_refuse(state, -EINVAL,
				       "region %s: its alias %p is not aligned to its host pages "
				       "of %llu bytes",
				       name, config->alias,
				       (unsigned long long)config->host_page_bytes);
	if (config->used_bytes == 0 || !rs_is_aligned(config->used_bytes, page) ||
	    config->max_bytes < config->used_bytes || !rs_is_aligned(config->max_bytes, page) ||
	    config->max_bytes > UINTPTR_MAX - (uintptr_t)config->host)
		return rs_state_refuse(state, -EINVAL,
				       "region %s: %llu bytes used of %llu are not whole pages of "
				       "%u, or do not fit",
				       name, (unsigned long long)config->used_bytes,
				       (unsigned long long)config->max_bytes, state->page_bytes);
	if ((config->flags & RS_REGION_HAS_FD) && config->fd < 0)
		return rs_state_refuse(state, -EINVAL, "region %s: descriptor %d", name,
				       config->fd);
	if (config->flags &
	    ~(uint32_t)(RS_REGION_FRESH | RS_REGION_HAS_FD | RS_REGION_SHARED |
			RS_REGION_RESIZABLE | RS_REGION_IGNORED | RS_REGION_READONLY))
		return rs_state_refuse(state, -EINVAL, "region %s: unknown flags 0x%x", name,
				       config->flags);
	return 0;
}

static struct rs_region *region_new(struct rs_state *state, const struct rs_region_config *config)
{
	struct rs_region *region = calloc(1, sizeof(*region));

	if (region == NULL)
		return NULL;
	region->state = state;
	region->name_bytes = (uint8_t)strlen(config->name);
	memcpy(region->name, config->name, region->name_bytes);
	region->host = config->host;
	region->has_alias = config->alias != NULL;
	region->place = config->alias != NULL ? config->alias : config->host;
	region->fd = config->flags & RS_REGION_HAS_FD ? config->fd : -1;
	region->max_bytes = config->max_bytes;
	region->host_page_bytes = config->host_page_bytes;
	region->guest_address = config->guest_address;
	region->used_bytes = config->used_bytes;
	region->flags = config->flags;
	if (rs_marks_init(&region->marks, config->max_bytes >> state->page_shift) != 0) {
		free(region);
		return NULL;
	}
	return region;
}

void rs_region_stop_logs(struct rs_region *region)
{
	rs_marks_stop(&region->marks);
	for (struct rs_region_log *log = region->logs; log != NULL; log = log->next) {
		if (log->started)
			log->ops.stop(log->opaque, region, log->cookie);
		log->started = false;
		log->cookie = NULL;
	}
	rs_bitmap_fini(&region->dirty);
	rs_bitmap_fini(&region->clear_chunk);
}

static void region_free(struct rs_region *region)
{
	rs_region_stop_logs(region);
	while (region->logs != NULL) {
		struct rs_region_log *log = region->logs;

		region->logs = log->next;
		if (log->ops.release != NULL)
			log->ops.release(log->opaque, region);
		free(log);
	}
	rs_bitmap_fini(&region->written);
	rs_marks_fini(&region->marks);
	free(region);
}

int rs_region_add(struct rs_state *state, const struct rs_region_config *config,
		  struct rs_region **region)
{
	struct rs_region_config mine = { 0 };

	if (rs_versioned_copy(&mine, sizeof(mine), config, config->size) != 0)
		return rs_state_refuse(state, -EINVAL,
				       "rs_region_config of %zu bytes has fields unknown to this "
				       "version",
				       config->size);
	if (mine.max_bytes == 0)
		mine.max_bytes = mine.used_bytes;
	if (mine.host_page_bytes == 0)
		mine.host_page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);

	int result = check_config(state, &mine);

	if (result != 0)
		return result;
	struct rs_region *added = region_new(state, &mine);

	if (added == NULL)
		return rs_state_refuse(state, -ENOMEM, "region %s: no memory for its bitmap",
				       mine.name);
	result = rs_region_list_add(state, added);
	if (result != 0) {
		region_free(added);
		return rs_state_refuse(state, result, "region %s: %s", mine.name,
				       result == -EEXIST ? "there is one of that name"
							 : "no memory");
	}
	if (region != NULL)
		*region = added;
	return 0;
}

int rs_region_add_dirty_log(struct rs_region *region, const struct rs_dirty_log_ops *ops,
			    void *opaque)
{
	struct rs_state *state = region->state;
	struct rs_region_log *log = calloc(1, sizeof(*log));

	if (log == NULL)
		return rs_state_refuse(state, -ENOMEM, "region %s: no memory", region->name);
	if (rs_versioned_copy(&log->ops, sizeof(log->ops), ops, ops->size) != 0 ||
	    log->ops.start == NULL || log->ops.sync == NULL || log->ops.stop == NULL) {
		free(log);
		return rs_state_refuse(state, -EINVAL,
				       "region %s: a dirty log needs start, sync and stop, and "
				       "nothing unknown to this version",
				       region->name);
	}
	log->opaque = opaque;
	pthread_mutex_lock(&state->lock);
	/* Until its logs are stopped, also when the regions are not heeded any more. */
	bool busy = state->save != NULL;

	if (!busy) {
		log->next = region->logs;
		region->logs = log;
	}
	pthread_mutex_unlock(&state->lock);
	if (busy) {
		free(log);
		return rs_state_refuse(state, -EBUSY,
				       "region %s: no dirty log can be added during a migration",
				       region->name);
	}
	return 0;
}

/* ---- removing and resizing ----------------------------------------------------------------- */

/* Wait until nobody uses the region's memory. The session has failed, so it is soon. */
static void wait_unpinned_locked(struct rs_region *region)
{
	while (atomic_load_explicit(&region->pins, memory_order_seq_cst) != 0)
		pthread_cond_wait(&region->state->unpinned, &region->state->lock);
}

int rs_region_remove(struct rs_region *region)
{
	struct rs_state *state = region->state;

	pthread_mutex_lock(&state->lock);
	if (rs_session_is_mine_locked(state)) {
		pthread_mutex_unlock(&state->lock);
		return rs_state_refuse(state, -EDEADLK,
				       "region %s cannot be removed from inside the migration",
				       region->name);
	}
	if (state->session.open)
		rs_session_end_locked(state, -ESTALE, "region %s was removed during the migration",
				      region->name);
	rs_region_list_unlink_locked(region);
	pthread_mutex_unlock(&state->lock);

	rs_rcu_synchronize(&state->rcu);
	pthread_mutex_lock(&state->lock);
	wait_unpinned_locked(region);
	pthread_mutex_unlock(&state->lock);
	region_free(region);
	return 0;
}

int rs_region_resize(struct rs_region *region, uint64_t used_bytes)
{
	struct rs_state *state = region->state;

	if (used_bytes == 0 || !rs_is_aligned(used_bytes, state->page_bytes) ||
	    used_bytes > region->max_bytes)
		return rs_state_refuse(
		    state, -EINVAL,
		    "region %s: a length of %llu bytes is not whole pages of %u, "
		    "or more than its %llu",
		    region->name, (unsigned long long)used_bytes, state->page_bytes,
		    (unsigned long long)region->max_bytes);
	pthread_mutex_lock(&state->lock);
	bool shrinks = used_bytes < region->used_bytes;

	if (state->session.open && used_bytes != region->used_bytes)
		rs_session_end_locked(state, -ESTALE, "region %s was resized during the migration",
				      region->name);
	atomic_store_explicit(&region->used_bytes, used_bytes, memory_order_relaxed);
	/* What is cut off may be unmapped as soon as this returns. */
	if (shrinks && !rs_session_is_mine_locked(state))
		wait_unpinned_locked(region);
	pthread_mutex_unlock(&state->lock);
	return 0;
}

int rs_region_set_fresh(struct rs_region *region)
{
	struct rs_state *state = region->state;

	pthread_mutex_lock(&state->lock);
	bool idle = state->phase == RS_PHASE_IDLE;

	if (idle)
		atomic_fetch_or_explicit(&region->flags, RS_REGION_FRESH, memory_order_relaxed);
	pthread_mutex_unlock(&state->lock);
	if (idle)
		return 0;
	return rs_state_refuse(state, -EBUSY,
			       "region %s cannot become fresh: a migration runs, or is in doubt",
			       region->name);
}

void rs_region_set_used(struct rs_region *region, uint64_t used_bytes)
{
	atomic_store_explicit(&region->used_bytes, used_bytes, memory_order_relaxed);
}

void rs_regions_destroy(struct rs_state *state)
{
	struct rs_region *region;

	/* One by one out of the list first: what a log does in its release may look at it. */
	while ((region = state->first_region) != NULL) {
		pthread_mutex_lock(&state->lock);
		rs_region_list_unlink_locked(region);
		pthread_mutex_unlock(&state->lock);
		region_free(region);
	}
	free(state->region_table);
}

int rs_regions_check_ignored(struct rs_state *state)
{
	struct rs_region *region;

	if (rs_state_ignores_shared(state))
		return 0;
	rs_region_for_each (state, region)
		if (rs_region_has(region, RS_REGION_IGNORED))
			rs_session_fail(state, -EINVAL,
					"region %s is ignored, which needs the parameter "
					"x-ignore-shared at both ends",
					region->name);
	return rs_session_code(state);
}

/* ---- what any thread may ask or say ---------------------------------------------------------- */

void rs_dirty_mark(struct rs_region *region, uint64_t offset, uint64_t bytes)
{
	uint64_t used = atomic_load_explicit(&region->used_bytes, memory_order_relaxed);
	unsigned shift = region->state->page_shift;

	if (bytes == 0 || offset >= used)
		return;
	uint64_t last = offset + rs_min_u64(bytes, used - offset) - 1;

	rs_marks_set_range(&region->marks, offset >> shift,
			   (last >> shift) - (offset >> shift) + 1);
}

void rs_dirty_report_stall(struct rs_region *region, uint64_t ns)
{
	atomic_fetch_add_explicit(&region->state->counters.guest_stall_ns, ns,
				  memory_order_relaxed);
}

const char *rs_region_name(const struct rs_region *region)
{
	return region->name;
}

struct rs_state *rs_region_state(const struct rs_region *region)
{
	return region->state;
}

void *rs_region_host(const struct rs_region *region)
{
	return region->host;
}

uint64_t rs_region_used_bytes(const struct rs_region *region)
{
	return atomic_load_explicit(&region->used_bytes, memory_order_relaxed);
}

uint64_t rs_region_max_bytes(const struct rs_region *region)
{
	return region->max_bytes;
}

uint64_t rs_region_host_page_bytes(const struct rs_region *region)
{
	return region->host_page_bytes;
}

uint32_t rs_region_flags(const struct rs_region *region)
{
	return atomic_load_explicit(&region->flags, memory_order_relaxed);
}

int rs_region_fd(const struct rs_region *region)
{
	return region->fd;
}
