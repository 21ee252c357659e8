/* SPDX-License-Identifier: MIT */
/*
 * Reads bodies of the "ram" section and counts what came for each page of two regions, "a" and
 * "b". Content is held against the regions' memory, which must not change meanwhile.
 */
#ifndef RS_TESTS_BODY_TALLY_H
#define RS_TESTS_BODY_TALLY_H

#include "wire/ram_record.h"

#include <ramsync/region.h>

#define TALLY_REGIONS 2u
#define TALLY_PAGES 4096u

struct body_tally {
	/* set before use */
	struct rs_record_rules rules;
	struct rs_region *regions[TALLY_REGIONS]; /* in alphabetical order */

	/* what came */
	uint16_t zero[TALLY_REGIONS][TALLY_PAGES];
	uint16_t content[TALLY_REGIONS][TALLY_PAGES];
	uint64_t zero_pages;
	uint64_t content_pages;
	unsigned page_records;
	uint64_t longest_zero_pages;
	uint64_t longest_content_pages;
	unsigned bodies;
	unsigned last; /* region of the last record, for CONTINUE */
};

/* Read all of it: whole bodies, the list of regions included. Asserts that it is well-formed. */
void body_tally_read(struct body_tally *tally, const uint8_t *data, size_t bytes);

/* Forget what came, but not the region of the last record. */
void body_tally_reset(struct body_tally *tally);

#endif
