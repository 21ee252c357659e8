/* SPDX-License-Identifier: MIT */
/*
 * The features of native mode, as they are offered and accepted: a list of
 *
 *	u16 id, u16 length, value: pstr name, then what the feature defines
 *
 * The name is part of the value so that an end which has never heard of a feature can
 * still say what it lacks.
 */
#ifndef RS_WIRE_FEATURE_H
#define RS_WIRE_FEATURE_H

#include "base/error.h"
#include "wire/outer.h"

#include <stdbool.h>

enum rs_feature_id {
	RS_FEATURE_SESSION = 1,        /* 16 bytes: which migration this is */
	RS_FEATURE_RUNS = 2,           /* records for runs of pages */
	RS_FEATURE_DEVICE_LENGTHS = 3, /* u64 length before the body of a device section */
	RS_FEATURE_HANDOVER = 4,       /* CHECK/READY/COMMIT/RUNNING; two-way streams only */
	RS_FEATURE_COMPRESS = 5,       /* compressed pages may come */
	RS_FEATURE_POSTCOPY = 6,       /* the guest may run before all of RAM is there */
	RS_FEATURE_PREEMPT = 7,        /* then what it waits for has a channel of its own */
};

#define RS_FEATURE_BIT(id) (1u << (id))

struct rs_features {
	unsigned present; /* RS_FEATURE_BIT of each */
	uint8_t session[RS_SESSION_BYTES];
	/* Parsing only: name of one that this version does not know, or "". */
	char unknown[64];
};

/* Room for every feature that there is. */
#define RS_FEATURES_MAX_BYTES 256u

size_t rs_features_write(uint8_t *to, const struct rs_features *features);

/* 0, or -EINVAL with a text for a list that is not well-formed. */
int rs_features_parse(const uint8_t *data, size_t bytes, struct rs_features *features,
		      struct rs_error *error);

/* Name of the lowest feature in the set bits, for messages; "" if there is none. */
const char *rs_feature_name(unsigned bits);

#endif
