/* SPDX-License-Identifier: MIT */
#include "api/phase.h"

#define IN(phase) (1u << RS_PHASE_##phase)

static const struct {
	const char *name;
	unsigned legal; /* phases */
	enum rs_phase during;
	enum rs_phase success;
	enum rs_phase failure;
} calls[RS_CALL_COUNT] = {
	[RS_CALL_SAVE_SETUP] = { "rs_save_setup", IN(IDLE), RS_PHASE_SAVING, RS_PHASE_SAVING,
				 RS_PHASE_IDLE },
	[RS_CALL_SAVE_PENDING] = { "rs_save_pending", IN(SAVING), RS_PHASE_SAVING, RS_PHASE_SAVING,
				   RS_PHASE_SAVE_FAILED },
	[RS_CALL_SAVE_ITERATE] = { "rs_save_iterate", IN(SAVING), RS_PHASE_SAVING, RS_PHASE_SAVING,
				   RS_PHASE_SAVE_FAILED },
	[RS_CALL_SAVE_THROTTLE] = { "rs_save_throttle", IN(SAVING), RS_PHASE_SAVING,
				    RS_PHASE_SAVING, RS_PHASE_SAVE_FAILED },
	[RS_CALL_SAVE_COMPLETE] = { "rs_save_complete", IN(SAVING), RS_PHASE_SAVING, RS_PHASE_SAVED,
				    RS_PHASE_SAVE_FAILED },
	[RS_CALL_SAVE_CLEANUP] = { "rs_save_cleanup",
				   IN(IDLE) | IN(SAVING) | IN(SAVED) | IN(SAVE_FAILED),
				   RS_PHASE_SAVE_FAILED, RS_PHASE_IDLE, RS_PHASE_IDLE },
	[RS_CALL_SAVE_DISCARD] = { "rs_save_discard", IN(SAVING), RS_PHASE_SAVING, RS_PHASE_SAVING,
				   RS_PHASE_SAVE_FAILED },
	[RS_CALL_SAVE_START_POSTCOPY] = { "rs_save_start_postcopy", IN(SAVING), RS_PHASE_SAVING,
					  RS_PHASE_SAVING, RS_PHASE_SAVE_FAILED },
	[RS_CALL_RESUME_PREPARE] = { "rs_resume_prepare", IN(SAVING) | IN(SAVE_FAILED),
				     RS_PHASE_SAVING, RS_PHASE_SAVING, RS_PHASE_SAVE_FAILED },
	[RS_CALL_LOAD_SETUP] = { "rs_load_setup", IN(IDLE), RS_PHASE_LOADING, RS_PHASE_LOADING,
				 RS_PHASE_IDLE },
	[RS_CALL_LOAD] = { "rs_load", IN(LOADING), RS_PHASE_LOADING, RS_PHASE_LOADING,
			   RS_PHASE_LOAD_FAILED },
	[RS_CALL_LOAD_CLEANUP] = { "rs_load_cleanup", IN(IDLE) | IN(LOADING) | IN(LOAD_FAILED),
				   RS_PHASE_LOAD_FAILED, RS_PHASE_IDLE, RS_PHASE_IDLE },
	[RS_CALL_LOAD_ADVISE] = { "rs_load_advise", IN(LOADING), RS_PHASE_LOADING, RS_PHASE_LOADING,
				  RS_PHASE_LOAD_FAILED },
	[RS_CALL_LOAD_DISCARD] = { "rs_load_discard", IN(LOADING), RS_PHASE_LOADING,
				   RS_PHASE_LOADING, RS_PHASE_LOAD_FAILED },
	[RS_CALL_LOAD_LISTEN] = { "rs_load_listen", IN(LOADING), RS_PHASE_LOADING, RS_PHASE_LOADING,
				  RS_PHASE_LOAD_FAILED },
	[RS_CALL_LOAD_RESUME] = { "rs_load_resume", IN(LOADING) | IN(LOAD_FAILED), RS_PHASE_LOADING,
				  RS_PHASE_LOADING, RS_PHASE_LOAD_FAILED },
	[RS_CALL_MIGRATE] = { "a migration", IN(IDLE), RS_PHASE_MIGRATING, RS_PHASE_IDLE,
			      RS_PHASE_IDLE },
	[RS_CALL_SETTLE] = { "settling a migration", IN(IDLE) | IN(IN_DOUBT), RS_PHASE_MIGRATING,
			     RS_PHASE_IDLE, RS_PHASE_IN_DOUBT },
};

static const char *const phase_names[RS_PHASE_COUNT] = {
	[RS_PHASE_IDLE] = "nothing runs",
	[RS_PHASE_SAVING] = "the state is saving",
	[RS_PHASE_SAVED] = "the state has saved all; only rs_save_cleanup is left",
	[RS_PHASE_SAVE_FAILED] = "the save failed; only rs_save_cleanup is left",
	[RS_PHASE_LOADING] = "the state is loading",
	[RS_PHASE_LOAD_FAILED] = "the load failed; only rs_load_cleanup is left",
	[RS_PHASE_MIGRATING] = "a migration runs",
	[RS_PHASE_IN_DOUBT] = "a migration is in doubt",
};

int rs_phase_enter(struct rs_state *state, enum rs_call call)
{
	pthread_mutex_lock(&state->lock);
	enum rs_phase phase = state->phase;
	bool legal = (calls[call].legal >> phase & 1) != 0;

	if (legal)
		state->phase = calls[call].during;
	pthread_mutex_unlock(&state->lock);
	if (legal)
		return 0;
	/* Beginning something while something else runs is bad timing, the rest a mistake. */
	return rs_state_refuse(state, calls[call].legal == IN(IDLE) ? -EBUSY : -EINVAL,
			       "%s is not possible now: %s", calls[call].name, phase_names[phase]);
}

void rs_phase_leave(struct rs_state *state, enum rs_call call, int result)
{
	enum rs_phase next = result >= 0 ? calls[call].success : calls[call].failure;

	if (result == RS_ERROR_IN_DOUBT && (call == RS_CALL_MIGRATE || call == RS_CALL_SETTLE))
		next = RS_PHASE_IN_DOUBT;
	pthread_mutex_lock(&state->lock);
	state->phase = next;
	pthread_mutex_unlock(&state->lock);
}
