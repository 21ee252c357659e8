/* SPDX-License-Identifier: MIT */
/*
 * Postcopy at the destination.
 *
 * The migrating thread reads the stream up to the package, which it holds in memory as a whole. At its head
 * stands LISTEN: from then on missing memory faults, and a thread of its own (the *page thread*) reads the stream
 * on, for what the device state needs may still be under way there. The migrating thread loads the devices, runs the
 * guest, and waits for the page thread.
 *
 *	thread		reads			calls
 *	migrating	stream, package		load_device, load_opaque, resume
 *	page		pages, recoveries	event (status), observe, open_channel
 *	urgent		the channel		-
 *	fault		userfaultfd		-
 *
 * The page thread owns the connection. If it breaks while the guest may run here, nothing is lost: faults wait, and
 * the page thread waits for a new connection, says what it has, and goes on.
 *
 * A recorded stream, to which nobody listens any more, is read by the migrating thread alone; its guest runs when
 * all is there.
 */
#ifndef RS_MIGRATE_POSTCOPY_IN_H
#define RS_MIGRATE_POSTCOPY_IN_H

#include "migrate/incoming.h"
#include "wire/postcopy.h"

/* Commands, each 0 or the session's error. */
int rs_postcopy_in_advise(struct rs_incoming *in, const struct rs_message *message);
int rs_postcopy_in_discard(struct rs_incoming *in, const struct rs_message *message);
int rs_postcopy_in_package(struct rs_incoming *in, const struct rs_message *message);
int rs_postcopy_in_listen(struct rs_incoming *in, const struct rs_message *message);
int rs_postcopy_in_run(struct rs_incoming *in, const struct rs_message *message);
int rs_postcopy_in_check(struct rs_incoming *in, const struct rs_message *message);
int rs_postcopy_in_commit(struct rs_incoming *in, const struct rs_message *message);
int rs_postcopy_in_send_bitmap(struct rs_incoming *in, const struct rs_message *message);
int rs_postcopy_in_resume(struct rs_incoming *in, const struct rs_message *message);

/* Tell an observer what a command is about. The name need not be terminated. */
void rs_postcopy_in_observe(struct rs_incoming *in, const struct rs_message *message,
			    const char *name, uint8_t name_bytes, struct rs_byte_range range);

/* The regions are known now: whether postcopy can keep what was promised. The session's error. */
int rs_postcopy_in_probe(struct rs_incoming *in);

/* Whether the guest was, or may have been, handed over. */
bool rs_postcopy_in_is_committed(const struct rs_incoming *in);

/* Give back what it has. NULL is allowed. */
void rs_postcopy_in_destroy(struct rs_postcopy_in *postcopy);

#endif
