/* SPDX-License-Identifier: MIT */
/*
 * A postcopy migration that is held in one of its phases, and then ends in one of the ways that there are: the guest is
 * whole at exactly one end. For cmocka tests.
 */
#ifndef RS_TESTS_POSTCOPY_OUTCOME_H
#define RS_TESTS_POSTCOPY_OUTCOME_H

#include "postcopy_stage.h"

#define SOURCE true
#define DESTINATION false

struct guest *staged_guest(struct postcopy_staged *staged, bool source);

/* With RS_TEST_SAY: what is done now. */
void staged_say(const struct postcopy_staged *staged, const char *what, bool source);

/* Open it, and go there. */
void staged_reach(struct postcopy_staged *staged, const struct postcopy_how *how,
		  enum postcopy_stage stage);

/* The same in two steps; the source's guest writes nothing: it may lose regions, or its state. */
void staged_open_quiet(struct postcopy_staged *staged, const struct postcopy_how *how,
		       enum postcopy_stage stage);
void staged_go(struct postcopy_staged *staged);

/* In each form of the stream and in each phase. */
void staged_everywhere(void (*test)(const struct postcopy_how *how, enum postcopy_stage stage));

/* Whether the source has said that the guest is the destination's; and whether that has heard it. */
bool staged_source_let_go(const struct postcopy_staged *staged);
bool staged_destination_took(const struct postcopy_staged *staged);

/* Whether that end may be paused. */
bool staged_is_connected(const struct postcopy_staged *staged, bool source);

/* A call is refused, with that code and for that reason. */
void staged_refuses(struct postcopy_staged *staged, bool source, const char *name,
		    int (*call)(struct rs_state *state), int code, const char *says);

/* Remove a region that migrates. */
void staged_remove_region(struct postcopy_staged *staged, bool source);

/* That end has ended so, for that reason. */
void staged_check_ended(const struct postcopy_staged *staged, bool source, int result,
			enum rs_status status, int code, const char *says);

/* It ends, however much stalls. */
void staged_await_end(const struct postcopy_staged *staged, bool source);

/* The guest runs at that end, whole, and is stopped. */
void staged_check_whole(struct postcopy_staged *staged, bool source);

/* The same at the destination, after both ends have completed; and before that let it go on. */
void staged_check_moved(struct postcopy_staged *staged);
void staged_finish_moved(struct postcopy_staged *staged);

/* Stop the guest there, if it runs. */
void staged_stop_destination(struct postcopy_staged *staged);

/* It goes on, and the guest is lost at the destination; then it comes back to the source. */
void staged_lose_destination(struct postcopy_staged *staged);
void staged_finish_at_source(struct postcopy_staged *staged);

#endif
