/* SPDX-License-Identifier: MIT */
/* Which public call is legal when, and what it leads to. */
#ifndef RS_API_PHASE_H
#define RS_API_PHASE_H

#include "ram/state.h"

enum rs_call {
	RS_CALL_SAVE_SETUP,
	RS_CALL_SAVE_PENDING,
	RS_CALL_SAVE_ITERATE,
	RS_CALL_SAVE_THROTTLE,
	RS_CALL_SAVE_COMPLETE,
	RS_CALL_SAVE_CLEANUP,
	RS_CALL_SAVE_DISCARD,
	RS_CALL_SAVE_START_POSTCOPY,
	RS_CALL_RESUME_PREPARE,
	RS_CALL_LOAD_SETUP,
	RS_CALL_LOAD,
	RS_CALL_LOAD_CLEANUP,
	RS_CALL_LOAD_ADVISE,
	RS_CALL_LOAD_DISCARD,
	RS_CALL_LOAD_LISTEN,
	RS_CALL_LOAD_RESUME,
	RS_CALL_MIGRATE,
	RS_CALL_SETTLE, /* resolve or reconnect an in-doubt migration */
	RS_CALL_COUNT,
};

/* 0 and the phase of the running call, or -EBUSY or -EINVAL with a text. */
int rs_phase_enter(struct rs_state *state, enum rs_call call);

/* The call is over; result >= 0 is success. */
void rs_phase_leave(struct rs_state *state, enum rs_call call, int result);

#endif
