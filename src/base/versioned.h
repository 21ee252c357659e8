/* SPDX-License-Identifier: MIT */
/* Structs of the public API that carry their own size, so that later versions may grow. */
#ifndef RS_BASE_VERSIONED_H
#define RS_BASE_VERSIONED_H

#include <stddef.h>

/*
 * Copy a caller's struct of from_bytes (its size member) into ours of to_bytes. What the caller's
 * version lacks becomes zero. -EINVAL if it is too small to hold its size, or if the part
 * that we do not know is not zero: the caller asked for something we would not do.
 */
int rs_versioned_copy(void *to, size_t to_bytes, const void *from, size_t from_bytes);

#endif
