/* SPDX-License-Identifier: MIT */
/*
 * A region in a state of its own, and its dirty logs without a migration around them: for tests and
 * benchmarks of what watches memory.
 */
#ifndef RS_TESTS_TRACKED_REGION_H
#define RS_TESTS_TRACKED_REGION_H

#include "ram/dirty_sync.h"

#include <string.h>

struct tracked_region {
	struct rs_state state;
	struct rs_region *region;
	struct rs_error error; /* of start or sync */
};

/* config: all but size and name. 0 or a negative errno. */
static inline int tracked_region_init(struct tracked_region *tracked, uint32_t page_bytes,
				      struct rs_region_config config)
{
	memset(tracked, 0, sizeof(*tracked));
	int result = rs_state_init(&tracked->state, page_bytes);

	if (result != 0)
		return result;
	config.size = sizeof(config);
	config.name = "memory";
	return rs_region_add(&tracked->state, &config, &tracked->region);
}

static inline void tracked_region_fini(struct tracked_region *tracked)
{
	rs_regions_destroy(&tracked->state);
	rs_state_fini(&tracked->state);
}

/* Start the logs, all clean. Anything that fails is in error afterwards. */
static inline int tracked_region_start(struct tracked_region *tracked)
{
	rs_session_open(&tracked->state);
	int result = rs_dirty_logs_start(&tracked->state);

	tracked->error = tracked->state.session.error;
	if (result == 0)
		rs_bitmap_reset(&tracked->region->dirty);
	return result;
}

/* Pull the logs; the region's dirty bitmap has the result. */
static inline int tracked_region_sync(struct tracked_region *tracked)
{
	uint64_t newly_dirty;
	int result = rs_dirty_sync(&tracked->state, &newly_dirty);

	tracked->error = tracked->state.session.error;
	return result;
}

static inline void tracked_region_stop(struct tracked_region *tracked)
{
	rs_dirty_logs_stop(&tracked->state);
	rs_session_close(&tracked->state);
}

#endif
