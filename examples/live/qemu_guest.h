/* SPDX-License-Identifier: MIT */
/*
 * A guest that comes from a QEMU and goes into files: its regions, as the stream has them, and its
 * device state, as it stands. All is on the disk before the source is told that all went well; but by
 * postcopy the source gives its guest up before all is here.
 */
#ifndef EXAMPLES_QEMU_GUEST_H
#define EXAMPLES_QEMU_GUEST_H

#include "command/options.h"
#include "guest/guest.h"

/* Open the files. Then guest->state, guest->memory and the rest are as for any other guest. */
int qemu_guest_init(struct guest *guest, const struct options *options, struct rs_error *error);

/* The migration is over, and was one by postcopy: only now all is there to be stored. */
int qemu_guest_finish(struct guest *guest, struct rs_error *error);

void qemu_guest_fini(struct guest *guest);

/* In place of guest_vm_ops. */
extern const struct rs_vm_ops qemu_guest_vm_ops;

#endif
