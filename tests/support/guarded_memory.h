/* SPDX-License-Identifier: MIT */
/*
 * Memory for a region under test, with pages around it that nothing can touch, and a pattern
 * in whatever the region does not use. A write outside the region crashes or is seen.
 */
#ifndef RS_TESTS_GUARDED_MEMORY_H
#define RS_TESTS_GUARDED_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct guarded_memory {
	uint8_t *data;
	size_t room; /* whole host pages */
	uint8_t *map;
	size_t map_bytes;
};

/* 0 or a negative errno. The memory is never populated and zero. */
int guarded_memory_init(struct guarded_memory *memory, size_t bytes);
void guarded_memory_fini(struct guarded_memory *memory);

/* Back to never populated, and the pattern into all from used on. */
void guarded_memory_reset(struct guarded_memory *memory, size_t used);

/* Whether the pattern from used on is untouched. */
bool guarded_memory_intact(const struct guarded_memory *memory, size_t used);

#endif
