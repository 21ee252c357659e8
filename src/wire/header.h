/* SPDX-License-Identifier: MIT */
/*
 * How a stream begins: magic number, version, and the configuration record with its subsections.
 * Layout only; what fits this end is for others to judge.
 */
#ifndef RS_WIRE_HEADER_H
#define RS_WIRE_HEADER_H

#include "base/error.h"
#include "base/uuid.h"
#include "wire/outer.h"

#include <stdbool.h>

struct rs_header {
	char machine[RS_MACHINE_MAX_BYTES + 1];
	bool has_page_bits;
	uint32_t page_bits; /* log2 of the target page size; RS_PLAIN_PAGE_BITS if absent */
	bool ignore_shared;
	bool mapped_ram;
	char unknown[256]; /* the first other capability, or "" */
	bool has_uuid;
	uint8_t uuid[RS_UUID_BYTES];
};

/* The page size that needs no mention: QEMU's for the machines that have just one. */
#define RS_PLAIN_PAGE_BITS 12u

/* Longest that is written, and fewest bytes with which parsing can begin. */
#define RS_HEADER_MAX_BYTES 512u
#define RS_HEADER_MIN_BYTES 8u

/* Page bits are written if they are not the plain ones. Returns the length. */
size_t rs_header_write(uint8_t *to, const struct rs_header *header);

/* Length of the header; 0 if it takes more bytes to tell, at least *need in all (more than have);
 * -EINVAL with a text. One byte behind it is looked at: there always is one. */
int rs_header_parse(const uint8_t *data, size_t have, struct rs_header *header, size_t *need,
		    struct rs_error *error);

#endif
