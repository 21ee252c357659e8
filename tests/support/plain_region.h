/* SPDX-License-Identifier: MIT */
/* Private anonymous memory as a region, for tests to which its kind does not matter. */
#ifndef RS_TESTS_PLAIN_REGION_H
#define RS_TESTS_PLAIN_REGION_H

#include <ramsync/region.h>

/* Never populated, takes address space only. It is never NULL: the test is over then. */
uint8_t *plain_memory_map(uint64_t bytes);
void plain_memory_unmap(uint8_t *memory, uint64_t bytes);

/* rs_region_add() with the usual description; the result is asserted. */
struct rs_region *plain_region_add(struct rs_state *state, const char *name, void *memory,
				   uint64_t bytes, uint32_t flags);

/* A state with pages of that size; the result is asserted. */
struct rs_state *plain_state(uint32_t page_bytes);

/* The text of the last error of that kind. Valid until the next call. */
const char *plain_error_text(const struct rs_state *state, enum rs_error_source source);

/* Assert that this text is part of it. */
void plain_error_check(const struct rs_state *state, enum rs_error_source source, const char *text);

#endif
