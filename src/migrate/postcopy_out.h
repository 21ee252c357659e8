/* SPDX-License-Identifier: MIT */
/*
 * Postcopy at the source. In both forms of the stream:
 *
 *	(while the guest runs)	POSTCOPY_ADVISE before RAM; the pages that are dirty are discarded
 *	(stopped)		what got dirty since is discarded; PACKAGED: LISTEN, device state, ...
 *	(runs there)		pages, asked for or not, each once; the end of RAM; SHUT comes back
 *
 * QEMU's form: the package ends with RUN, and from the moment it is on its way the guest is the
 * destination's. Native: it ends with CHECK; READY, COMMIT and RUNNING follow as without postcopy, and until
 * COMMIT the source can take its guest back.
 *
 * After that nothing that happens to the connection loses anything: what is not known to have arrived is still
 * here. The migration pauses and waits for a new connection, over which the destination first says what
 * it has.
 */
#ifndef RS_MIGRATE_POSTCOPY_OUT_H
#define RS_MIGRATE_POSTCOPY_OUT_H

#include "migrate/outgoing.h"

/* Behind the handshake: promise postcopy, if the parameters say so. 0 or the session's error. */
int rs_postcopy_out_advise(struct rs_outgoing *out);

/* Whether the guest is to be moved now. */
bool rs_postcopy_out_is_wanted(const struct rs_outgoing *out);

/*
 * All of it, up to SHUT. 0; 1: paused and ended by decree, the guest is the destination's; the session's
 * error: before the guest was handed over it is the source's, as migration->committed tells.
 */
int rs_postcopy_out_run(struct rs_outgoing *out);

/* Postcopy was promised to a QEMU, and did not come to pass: its last word on the return path. 0;
 * RS_ERROR_IN_DOUBT; or the session's error: it does not run the guest. */
int rs_postcopy_out_hear_shut(struct rs_outgoing *out);

#endif
