/* SPDX-License-Identifier: MIT */
/* RAM once more, as a source sends it whose guest writes all the time, with XBZRLE. */
#ifndef RS_INTEROP_LIVE_REWRITE_H
#define RS_INTEROP_LIVE_REWRITE_H

#include "interop/rewrite.h"

/*
 * A put_ram function for rewrite_ram(). In the end the regions are as they were. Leaves the number of
 * zero pages that the cache had in writer->zero_copies.
 */
int put_live_ram(struct writer *writer);

#endif
