/* SPDX-License-Identifier: MIT */
/*
 * Which parts of a block were ever populated. The rest is zero, and is found without a touch,
 * because to read a hole of a memfd allocates a page, and to read one of anonymous memory page
 * tables: 64 GiB of mostly nothing would become 128 MiB of something.
 */
#ifndef EXAMPLES_POPULATED_H
#define EXAMPLES_POPULATED_H

#include "guest/memory.h"

/* Told of [@from, @to) of a block, in host pages. What it returns, if not 0, ends the walk. */
typedef int (*populated_visit)(void *opaque, const struct memory_block *block, uint64_t from,
			       uint64_t to);

/* Visit every populated part of @block, in order; all of it where nobody can tell. */
int populated_walk(const struct memory_block *block, populated_visit visit, void *opaque);

#endif
