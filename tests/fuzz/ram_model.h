/* SPDX-License-Identifier: MIT */
/*
 * What bodies of RAM that the library has accepted must have done, the plain way: one record after
 * the other, copied or zeroed. Written from the format's description, not from the library's code.
 */
#ifndef RS_FUZZ_RAM_MODEL_H
#define RS_FUZZ_RAM_MODEL_H

#include <stddef.h>
#include <stdint.h>

#define MODEL_REGIONS 3

struct model_region {
	char name[256];
	uint8_t *bytes; /* room for as much as the real one has */
	uint64_t used;
};

struct ram_model {
	uint32_t page_bytes;
	int with_address;
	struct model_region regions[MODEL_REGIONS];
	int region_count;
	int last; /* region of the last page record */
};

/* Apply one body, all of which the library has read. Returns its length. */
size_t ram_model_body(struct ram_model *model, const uint8_t *data, size_t bytes);

#endif
