/* SPDX-License-Identifier: MIT */
/*
 * A postcopy migration that is held in one of its phases: the connection stalls there, and nobody is told. For
 * cmocka tests.
 */
#ifndef RS_TESTS_POSTCOPY_STAGE_H
#define RS_TESTS_POSTCOPY_STAGE_H

#include "postcopy_drive.h"

enum postcopy_stage {
	STAGE_PRECOPY,    /* pages travel, and the guest runs at the source */
	STAGE_DISCARDS,   /* it still does; what is dirty is being discarded */
	STAGE_PACKAGE,    /* its devices are loaded, and look at a page that does not come */
	STAGE_READY,      /* native: the destination said READY, and the source did not hear it */
	STAGE_COMMIT,     /* native: the source heard it, and its COMMIT does not arrive */
	STAGE_ACTIVE,     /* the guest runs at the destination, on a part of its memory */
	STAGE_PAUSED,     /* the connection was given up */
	STAGE_RECOVERING, /* and another one does not bring a byte */
	STAGE_DONE,
	STAGES,
};

/* What stalls besides, from the moment when the guest is the destination's. */
enum postcopy_silence {
	SILENCE_THERE,   /* pages; as in all other phases */
	SILENCE_CHANNEL, /* only the pages that were asked for, with preempt */
};

struct postcopy_staged {
	struct postcopy_drive drive;
	enum postcopy_stage stage;
	enum postcopy_silence silence;
	size_t capacity; /* of the connections; less than what is left, or nothing stalls */
	struct fake_valve valves[2][3]; /* of the first two connections: there, back, channel */
	/* of the second connection: what passes there, and back, before it stalls; 0: all */
	uint64_t recovery_bytes[2];
	_Atomic unsigned loads;
	_Atomic unsigned passes;
};

extern const char *const postcopy_stage_names[STAGES];

/* QEMU's form has no READY and no COMMIT. */
bool postcopy_stage_exists(enum postcopy_stage stage, const struct postcopy_how *how);

/* Open the guests, which may be changed then, and go there. False if an end has given up before. */
void postcopy_stage_open(struct postcopy_staged *staged, const struct postcopy_how *how,
			 enum postcopy_stage stage);
bool postcopy_stage_reach(struct postcopy_staged *staged);

/* Nothing stalls any more. */
void postcopy_stage_release(struct postcopy_staged *staged);

#endif
