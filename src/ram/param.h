/* SPDX-License-Identifier: MIT */
/* The table of parameters, and the values of one state. */
#ifndef RS_RAM_PARAM_H
#define RS_RAM_PARAM_H

#include "base/uuid.h"

#include <ramsync/param.h>

#include <stdatomic.h>
#include <stdbool.h>

enum rs_param_id {
	RS_PARAM_MAX_BANDWIDTH,
	RS_PARAM_DOWNTIME_LIMIT,
	RS_PARAM_MACHINE,
	RS_PARAM_STALL_TIMEOUT,
	RS_PARAM_MAX_DEVICE_STATE,
	RS_PARAM_X_IGNORE_SHARED,
	RS_PARAM_X_CLEAR_BITMAP_SHIFT,
	RS_PARAM_UUID,
	RS_PARAM_SWITCHOVER_ACK,
	RS_PARAM_LAX,
	RS_PARAM_XBZRLE,
	RS_PARAM_XBZRLE_CACHE_SIZE,
	RS_PARAM_COMPRESS,
	RS_PARAM_COMPRESS_LEVEL,
	RS_PARAM_COMPRESS_THREADS,
	RS_PARAM_COMPRESS_WAIT_THREAD,
	RS_PARAM_DECOMPRESS_THREADS,
	RS_PARAM_POSTCOPY_RAM,
	RS_PARAM_POSTCOPY_PREEMPT,
	RS_PARAM_MAX_POSTCOPY_BANDWIDTH,
	RS_PARAM_COUNT,
};

#define RS_PARAM_STRING_BYTES 256

struct rs_params {
	uint32_t page_bytes; /* immutable */
	/* any thread */
	_Atomic uint64_t number[RS_PARAM_COUNT];
	/* the texts; guarded by the state's lock, and constant while a migration runs */
	char machine[RS_PARAM_STRING_BYTES];
	char uuid[RS_UUID_TEXT_BYTES];
};

/* The parameter uuid as bytes. False if it is not set. */
static inline bool rs_params_uuid(const struct rs_params *params, uint8_t uuid[RS_UUID_BYTES])
{
	return rs_uuid_parse(params->uuid, uuid);
}

/* All defaults, for pages of that size. */
void rs_params_init(struct rs_params *params, uint32_t page_bytes);

/* Row and id of a name; NULL if there is none. */
const struct rs_param_info *rs_param_find(const char *name, enum rs_param_id *id);

/* The name of a parameter. */
const char *rs_param_name(enum rs_param_id id);

/* Parse and check a text, then store it. 0, -EINVAL or -ERANGE with a text. */
int rs_params_set(struct rs_params *params, enum rs_param_id id, const char *value,
		  struct rs_error *error);

/* Length of the text, or -ENOSPC. */
int rs_params_get(const struct rs_params *params, enum rs_param_id id, char *value, size_t bytes);

static inline uint64_t rs_params_number(const struct rs_params *params, enum rs_param_id id)
{
	return atomic_load_explicit(&params->number[id], memory_order_relaxed);
}

#endif
