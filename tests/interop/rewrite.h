/* SPDX-License-Identifier: MIT */
/* A QEMU stream once more, with its RAM written by this library. */
#ifndef RS_INTEROP_REWRITE_H
#define RS_INTEROP_REWRITE_H

#include "interop/framing.h"
#include "interop/regions.h"

/* Copy all of the stream at from to the one at to, but write the sections of RAM anew, from regions
 * that were loaded from it. 0, or a negative errno after a message. */
int rewrite_ram(const struct regions *regions, const struct framing *framing, const char *from,
		const char *to);

#endif
