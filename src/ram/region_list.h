/* SPDX-License-Identifier: MIT */
/* Changing the list of regions; region.h says how that goes together with walking it. */
#ifndef RS_RAM_REGION_LIST_H
#define RS_RAM_REGION_LIST_H

#include "ram/region.h"

/* Put a region at the end, complete before it can be seen. A session that is open fails, unless it
 * is the loader that adds what the stream announces. 0, -EEXIST or -ENOMEM. */
int rs_region_list_add(struct rs_state *state, struct rs_region *region);

/* Take it out. It may be freed after a grace period, once nobody pins it. */
void rs_region_list_unlink_locked(struct rs_region *region);

#endif
