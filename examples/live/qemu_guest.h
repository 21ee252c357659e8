/* SPDX-License-Identifier: MIT */
/*
 * A guest that comes from a QEMU and goes into files: its regions, as the stream has them, and its
 * device state, as it stands. All is on the disk before the source is told that all went well.
 */
#ifndef EXAMPLES_QEMU_GUEST_H
#define EXAMPLES_QEMU_GUEST_H

#include "guest/guest.h"

/* Open the files. Then guest->state, guest->memory and the rest are as for any other guest. */
int qemu_guest_init(struct guest *guest, const char *devices, const char *save,
		    struct rs_error *error);

void qemu_guest_fini(struct guest *guest);

/* In place of guest_vm_ops. */
extern const struct rs_vm_ops qemu_guest_vm_ops;

#endif
