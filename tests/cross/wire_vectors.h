/* SPDX-License-Identifier: MIT */
/*
 * Encodings written down by hand from docs/wire-format.md, byte for byte; what the writer must
 * make and the parser must read, on machines of either byte order.
 */
#ifndef RS_TESTS_WIRE_VECTORS_H
#define RS_TESTS_WIRE_VECTORS_H

#include "wire/ram_record.h"

struct record_vector {
	const char *what;
	uint32_t page_bytes;
	uint64_t address;
	unsigned flags; /* as rs_record_write() takes them */
	const char *name;
	uint64_t run_bytes; /* for the writer: 0 if the record is no run */
	size_t bytes;
	uint8_t encoded[32];
	/* what the parser makes of it */
	enum rs_record_kind kind;
	uint64_t length;
};

static const struct record_vector record_vectors[] = {
	{ "end of a body",
	  4096,
	  0,
	  RS_FLAG_EOS,
	  NULL,
	  0,
	  8,
	  { 0, 0, 0, 0, 0, 0, 0, 0x10 },
	  RS_RECORD_EOS,
	  4096 },
	{ "list of regions",
	  4096,
	  0x123456000,
	  RS_FLAG_MEM_SIZE,
	  NULL,
	  0,
	  8,
	  { 0, 0, 0, 1, 0x23, 0x45, 0x60, 0x04 },
	  RS_RECORD_BLOCK_LIST,
	  4096 },
	{ "flush",
	  4096,
	  0,
	  RS_FLAG_MULTIFD_FLUSH,
	  NULL,
	  0,
	  8,
	  { 0, 0, 0, 0, 0, 0, 0x02, 0x00 },
	  RS_RECORD_FLUSH,
	  4096 },
	{ "zero page, named",
	  4096,
	  0x5000,
	  RS_FLAG_ZERO,
	  "pc.ram",
	  0,
	  16,
	  { 0, 0, 0, 0, 0, 0, 0x50, 0x02, 6, 'p', 'c', '.', 'r', 'a', 'm', 0 },
	  RS_RECORD_ZERO,
	  4096 },
	{ "zero page, continued",
	  4096,
	  0x5000,
	  RS_FLAG_ZERO,
	  NULL,
	  0,
	  9,
	  { 0, 0, 0, 0, 0, 0, 0x50, 0x22, 0 },
	  RS_RECORD_ZERO,
	  4096 },
	{ "page, named",
	  4096,
	  0xffffff000,
	  RS_FLAG_PAGE,
	  "a",
	  0,
	  10,
	  { 0, 0, 0, 0x0f, 0xff, 0xff, 0xf0, 0x08, 1, 'a' },
	  RS_RECORD_PAGE,
	  4096 },
	{ "page, continued",
	  4096,
	  0,
	  RS_FLAG_PAGE,
	  NULL,
	  0,
	  8,
	  { 0, 0, 0, 0, 0, 0, 0, 0x28 },
	  RS_RECORD_PAGE,
	  4096 },
	{ "zero run, named",
	  4096,
	  0x1000,
	  RS_FLAG_ZERO | RS_FLAG_RUN,
	  "r",
	  0x8000000000,
	  18,
	  { 0, 0, 0, 0, 0, 0, 0x10, 0x06, 1, 'r', 0, 0, 0, 0x80, 0, 0, 0, 0 },
	  RS_RECORD_ZERO_RUN,
	  0x8000000000 },
	{ "zero run, continued",
	  4096,
	  0x1000,
	  RS_FLAG_ZERO | RS_FLAG_RUN,
	  NULL,
	  0x2000,
	  16,
	  { 0, 0, 0, 0, 0, 0, 0x10, 0x26, 0, 0, 0, 0, 0, 0, 0x20, 0 },
	  RS_RECORD_ZERO_RUN,
	  0x2000 },
	{ "page run, named",
	  4096,
	  0x7000,
	  RS_FLAG_PAGE | RS_FLAG_RUN,
	  "ab",
	  0x3000,
	  19,
	  { 0, 0, 0, 0, 0, 0, 0x70, 0x0c, 2, 'a', 'b', 0, 0, 0, 0, 0, 0, 0x30, 0 },
	  RS_RECORD_PAGE_RUN,
	  0x3000 },
	{ "page run, continued",
	  4096,
	  0x7000,
	  RS_FLAG_PAGE | RS_FLAG_RUN,
	  NULL,
	  0x1000,
	  16,
	  { 0, 0, 0, 0, 0, 0, 0x70, 0x2c, 0, 0, 0, 0, 0, 0, 0x10, 0 },
	  RS_RECORD_PAGE_RUN,
	  0x1000 },
	{ "smallest pages",
	  1024,
	  0x400,
	  RS_FLAG_PAGE,
	  NULL,
	  0,
	  8,
	  { 0, 0, 0, 0, 0, 0, 0x04, 0x28 },
	  RS_RECORD_PAGE,
	  1024 },
	{ "largest pages",
	  65536,
	  0x7fffffff0000,
	  RS_FLAG_ZERO | RS_FLAG_RUN,
	  NULL,
	  0x10000,
	  16,
	  { 0, 0, 0x7f, 0xff, 0xff, 0xff, 0x00, 0x26, 0, 0, 0, 0, 0, 1, 0, 0 },
	  RS_RECORD_ZERO_RUN,
	  0x10000 },
};

#define RECORD_VECTORS (sizeof(record_vectors) / sizeof(record_vectors[0]))

struct entry_vector {
	struct rs_block_entry entry;
	bool with_address;
	size_t bytes;
	uint8_t encoded[32];
};

static const struct entry_vector entry_vectors[] = {
	{ { "pc.ram", 6, 0x8000000, 0 },
	  false,
	  15,
	  { 6, 'p', 'c', '.', 'r', 'a', 'm', 0, 0, 0, 0, 0x08, 0, 0, 0 } },
	{ { "r", 1, 0x10000000000, 0x123456789abcdef0 },
	  true,
	  18,
	  { 1, 'r', 0, 0, 1, 0, 0, 0, 0, 0, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0 } },
};

#define ENTRY_VECTORS (sizeof(entry_vectors) / sizeof(entry_vectors[0]))

static const uint8_t session_vector[16] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
					    0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };

/* All features, in the order of their numbers. */
static const uint8_t features_vector[] = {
	0,    1,    0,    24,   7,    's',  'e',  's',  's',  'i',  'o',  'n',  0x00, 0x11,
	0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
	0,    2,    0,    5,    4,    'r',  'u',  'n',  's',  0,    3,    0,    15,   14,
	'd',  'e',  'v',  'i',  'c',  'e',  '-',  'l',  'e',  'n',  'g',  't',  'h',  's',
	0,    4,    0,    9,    8,    'h',  'a',  'n',  'd',  'o',  'v',  'e',  'r',
};

#endif
