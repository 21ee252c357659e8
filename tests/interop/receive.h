/* SPDX-License-Identifier: MIT */
/* A whole QEMU stream through the driver. Its devices are skipped: their lengths, which only QEMU
 * knows, are given. */
#ifndef RS_INTEROP_RECEIVE_H
#define RS_INTEROP_RECEIVE_H

#include "interop/regions.h"

#include <ramsync/migrate.h>

/* lengths: a file with a line for each device section, in order: bytes, instance, name. What
 * rs_migrate_in() returned. */
int receive(struct regions *regions, struct rs_stream *stream, const char *lengths);

#endif
