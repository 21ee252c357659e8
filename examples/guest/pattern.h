/* SPDX-License-Identifier: MIT */
/*
 * Page contents that any process can make again: they depend on nothing but the pattern and
 * the number of the page. Zero, text (compresses about 3:1), random (not at all), or a mix of
 * half zero and a quarter of each, shuffled by page.
 */
#ifndef EXAMPLES_PATTERN_H
#define EXAMPLES_PATTERN_H

#include <stdbool.h>
#include <stdint.h>

/* Numbering is in pages of this size, whatever the host's are. */
#define PATTERN_PAGE_BYTES 4096u

enum pattern {
	PATTERN_ZERO,
	PATTERN_TEXT,
	PATTERN_RANDOM,
	PATTERN_MIX,
};

bool pattern_parse(const char *text, enum pattern *pattern);

/* Fill one page with what @pattern puts at page number @index. */
void pattern_fill(uint8_t *page, enum pattern pattern, uint64_t index);

#endif
