/* SPDX-License-Identifier: MIT */
#include "api/background.h"
#include "base/checked.h"
#include "base/versioned.h"
#include "load/load.h"
#include "migrate/migration.h"
#include "postcopy/blocktime.h"
#include "postcopy/faults.h"
#include "save/save.h"

#include <stdlib.h>
#include <string.h>

#define STRINGIFY(value) #value
#define VERSION_TEXT(major, minor, patch) STRINGIFY(major) "." STRINGIFY(minor) "." STRINGIFY(patch)

const char *rs_version_text(void)
{
	return VERSION_TEXT(RS_VERSION_MAJOR, RS_VERSION_MINOR, RS_VERSION_PATCH);
}

int rs_state_create(const struct rs_state_config *config, struct rs_state **state)
{
	struct rs_state_config mine = { .size = sizeof(mine) };

	if (config != NULL && rs_versioned_copy(&mine, sizeof(mine), config, config->size) != 0)
		return -EINVAL;
	if (mine.target_page_bytes == 0)
		mine.target_page_bytes = 4096;
	if (!rs_is_power_of_two(mine.target_page_bytes) || mine.target_page_bytes < 1024 ||
	    mine.target_page_bytes > 65536)
		return -EINVAL;
	struct rs_state *made = calloc(1, sizeof(*made));

	if (made == NULL)
		return -ENOMEM;
	int result = rs_state_init(made, mine.target_page_bytes);

	if (result == 0) {
		result = rs_blocktime_create(&made->blocktime);
		if (result == 0)
			result = rs_background_init(made);
		if (result != 0) {
			rs_blocktime_destroy(made->blocktime);
			rs_state_fini(made);
		}
	}
	if (result != 0) {
		free(made);
		return result;
	}
	*state = made;
	return 0;
}

void rs_state_destroy(struct rs_state *state)
{
	if (state == NULL)
		return;
	rs_background_fini(state);
	rs_ram_save_cleanup(state);
	if (state->load != NULL)
		rs_faults_destroy(state->load->faults);
	rs_ram_load_cleanup(state);
	rs_migration_free(state->migration);
	rs_regions_destroy(state);
	rs_blocktime_destroy(state->blocktime);
	rs_state_fini(state);
	free(state);
}

uint32_t rs_state_page_bytes(const struct rs_state *state)
{
	return state->page_bytes;
}

int rs_error_get(const struct rs_state *state, enum rs_error_source source, struct rs_error *error)
{
	/* The lock is no part of what the state means. */
	struct rs_state *locked = (struct rs_state *)state;

	pthread_mutex_lock(&locked->lock);
	struct rs_error found =
	    source == RS_ERROR_OF_CALL ? state->call_error : state->session.error;

	if (source == RS_ERROR_OF_MIGRATION && found.code == 0 && state->migration != NULL &&
	    state->migration->paused)
		found = state->migration->why_paused;
	pthread_mutex_unlock(&locked->lock);
	if (error != NULL)
		*error = found;
	return found.code;
}

int rs_stats_get(const struct rs_state *state, struct rs_stats *stats)
{
	struct rs_blocktime_summary waits;
	struct rs_stats mine = { 0 };
	size_t bytes = stats->size;

	if (bytes == 0)
		return -EINVAL;
	rs_counters_read(&state->counters, state->page_bytes,
			 atomic_load_explicit(&state->dirty_pages, memory_order_relaxed), &mine);
	rs_blocktime_read(state->blocktime, &waits);
	mine.postcopy_blocktime_ns = waits.all_blocked_ns;
	mine.postcopy_latency_ns = waits.faults != 0 ? waits.latency_ns / waits.faults : 0;
	mine.size = bytes;
	memset(stats, 0, bytes);
	memcpy(stats, &mine, rs_min_u64(bytes, sizeof(mine)));
	return 0;
}

/* ---- parameters ---------------------------------------------------------------------------- */

int rs_param_set(struct rs_state *state, const char *name, const char *value)
{
	enum rs_param_id id;
	const struct rs_param_info *info = rs_param_find(name, &id);
	struct rs_error error = { 0 };
	int result = -EBUSY;

	if (info == NULL)
		return rs_state_refuse(state, -ENOENT, "there is no parameter '%s'", name);
	if (id == RS_PARAM_MACHINE && strcmp(value, RS_NATIVE_MACHINE) == 0)
		return rs_state_refuse(state, -EINVAL,
				       "parameter machine: '%s' stands for libramsync's own form, "
				       "which is written when it is empty",
				       value);
	pthread_mutex_lock(&state->lock);
	if (info->live || state->phase == RS_PHASE_IDLE) {
		result = rs_params_set(&state->params, id, value, &error);
		if (result == 0 &&
		    (id == RS_PARAM_MAX_BANDWIDTH || id == RS_PARAM_MAX_POSTCOPY_BANDWIDTH))
			rs_ram_save_apply_limit_locked(state);
	}
	pthread_mutex_unlock(&state->lock);
	if (result == -EBUSY)
		return rs_state_refuse(state, result,
				       "parameter %s cannot be changed during a migration", name);
	return result == 0 ? 0 : rs_state_refuse(state, result, "%s", error.text);
}

int rs_param_get(const struct rs_state *state, const char *name, char *value, size_t value_bytes)
{
	struct rs_state *locked = (struct rs_state *)state;
	enum rs_param_id id;

	if (rs_param_find(name, &id) == NULL)
		return rs_state_refuse(locked, -ENOENT, "there is no parameter '%s'", name);
	pthread_mutex_lock(&locked->lock);
	int result = rs_params_get(&state->params, id, value, value_bytes);

	pthread_mutex_unlock(&locked->lock);
	return result;
}
