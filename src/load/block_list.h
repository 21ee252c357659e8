/* SPDX-License-Identifier: MIT */
/* The list of regions at the head of a stream: every region that it names is checked, resized or
 * announced before a page of it is accepted. */
#ifndef RS_LOAD_BLOCK_LIST_H
#define RS_LOAD_BLOCK_LIST_H

#include "load/load.h"

/* Read the entries, whose lengths must sum up to total. The session's error. */
int rs_block_list_load(struct rs_load *load, struct rs_stream *stream, uint64_t total);

#endif
