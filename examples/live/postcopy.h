/* SPDX-License-Identifier: MIT */
/*
 * What postcopy asks of the programs: to switch over in time, to open one more connection, and to bring
 * a new one where the first has broken.
 */
#ifndef EXAMPLES_POSTCOPY_H
#define EXAMPLES_POSTCOPY_H

#include "live/session.h"

/* The guest's link; its opaque argument is the session. */
extern const struct guest_link postcopy_link;

/* A postcopy has paused, which made session->pause_fd readable: without --recover it is given up. */
void postcopy_take_pause(struct session *session);

/* One try to bring a connection, as --recover says, while session->broken. */
void postcopy_mend(struct session *session);

/* A signal came: what is paused is given up now, or when it pauses next. False if nothing is. */
bool postcopy_give_up(struct session *session);

#endif
