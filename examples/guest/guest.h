/* SPDX-License-Identifier: MIT */
/*
 * The guest stand-in: memory and writers, and what a migration asks of them.
 *
 * Threads: created and destroyed by the main thread, which leaves it alone while a migration runs;
 * the callbacks of guest_vm_ops come from the migration's thread.
 */
#ifndef EXAMPLES_GUEST_H
#define EXAMPLES_GUEST_H

#include "guest/memory.h"
#include "guest/writers.h"

#include <stdatomic.h>

struct qemu_guest;

/* Who connects the guest to its peer, if it wants to hear of events, and has more connections to give. */
struct guest_link {
	void (*event)(void *opaque, const struct rs_event *event);
	int (*open_channel)(void *opaque, struct rs_stream **stream, struct rs_error *error);
};

struct guest {
	const char *program;
	struct rs_state *state;
	struct memory memory;
	struct writers *writers; /* NULL: a guest that does nothing */
	bool hold;            /* resume only notes that the guest runs; guest_release() lets it */
	bool touch_announced; /* make announced regions present before they are filled */
	uint64_t max_bytes;   /* of announced regions */
	_Atomic bool running; /* as the migration sees it */
	_Atomic bool was_stopped;
	const struct guest_link *link; /* or NULL */
	void *link_opaque;
	struct qemu_guest *qemu; /* it goes from a QEMU into files; NULL: it does not */
};

/* What rs_migrate_out() and rs_migrate_in() need; the opaque argument is the guest. */
extern const struct rs_vm_ops guest_vm_ops;

/* Some of them, for other tables. */
int guest_region_announced(void *opaque, const char *name, uint64_t used_bytes);
void guest_event(void *opaque, const struct rs_event *event);
int guest_open_channel(void *opaque, struct rs_stream **stream);

/* Really run a guest that was resumed on hold. */
void guest_release(struct guest *guest);

/* Let the guest run for @seconds, or until a fault or a signal at @signal_fd; then stop it and
 * verify all of its working set. False, with a sentence, if a page was not what it must be. */
bool guest_prove(struct guest *guest, double seconds, int signal_fd, struct rs_error *error);

/* Take everything apart. */
void guest_destroy(struct guest *guest);

#endif
