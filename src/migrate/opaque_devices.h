/* SPDX-License-Identifier: MIT */
/* Device state that is taken from a QEMU stream, or written into one, as it stands: for those that
 * keep it without knowing a device. wire/device_tail.h tells how its end is found. */
#ifndef RS_MIGRATE_OPAQUE_DEVICES_H
#define RS_MIGRATE_OPAQUE_DEVICES_H

#include "migrate/incoming.h"

/* Hand everything from here to the end of the stream to the VMM. 0 or the session's error. */
int rs_opaque_devices_load(struct rs_incoming *in);

/* Write such bytes up to the end mark, which the caller owes; *description receives a copy of the
 * JSON text that they end with, to be freed, or NULL without one. 0 or the session's error. */
int rs_opaque_devices_save(struct rs_migration *migration, struct rs_stream *stream,
			   const void *data, size_t bytes, char **description);

#endif
