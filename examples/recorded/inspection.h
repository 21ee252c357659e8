/* SPDX-License-Identifier: MIT */
/* What ramsync-inspect found out, and how it tells it. */
#ifndef EXAMPLES_INSPECTION_H
#define EXAMPLES_INSPECTION_H

#include "recorded/capture.h"
#include "files/outfile.h"

struct inspection {
	const struct options *options;
	struct capture capture;
	struct outfile devices;
	bool opened;   /* the header could be read */
	bool complete; /* the whole stream was there and good */
	bool saved;    /* --extract did its work */
	bool read_on;  /* behind the stream was read, too: */
	uint64_t behind;
	struct rs_error error; /* the first thing that went wrong */
};

/* Is a region one that is asked for? */
bool inspection_shows(const struct inspection *inspection, const struct census_region *region);

/* Words for the first byte of a section: "start", "part", "end" or "full". */
const char *inspection_section_kind(uint32_t number);

/* Everything on standard output. */
void inspection_print_text(const struct inspection *inspection);
void inspection_print_json(const struct inspection *inspection);

#endif
