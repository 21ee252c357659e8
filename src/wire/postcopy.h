/* SPDX-License-Identifier: MIT */
/*
 * What postcopy says, in both directions: payloads of its commands and return messages, and the form of
 * a received bitmap. Parsers take bytes at hand, and answer -EINVAL with a text. What only a region can
 * say (whether a range lies in it, its host pages) is left to the caller.
 */
#ifndef RS_WIRE_POSTCOPY_H
#define RS_WIRE_POSTCOPY_H

#include "base/error.h"
#include "wire/outer.h"

#include <ramsync/region.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* POSTCOPY_ADVISE */
struct rs_postcopy_advice {
	uint64_t host_page_sizes; /* those of all regions, ORed */
	uint64_t target_page_bytes;
};

#define RS_POSTCOPY_ADVICE_BYTES 16u

void rs_postcopy_advice_write(uint8_t to[RS_POSTCOPY_ADVICE_BYTES],
			      const struct rs_postcopy_advice *advice);
int rs_postcopy_advice_parse(const uint8_t *data, size_t bytes, struct rs_postcopy_advice *advice,
			     struct rs_error *error);

/* POSTCOPY_RAM_DISCARD: bytes of one region. */
/* As many as QEMU puts into one, and we do; more are read. */
#define RS_DISCARD_RANGES 12u
#define RS_DISCARD_MAX_BYTES (1u + 1u + 255u + 1u + RS_DISCARD_RANGES * 16u)

struct rs_discard {
	const char *name; /* not terminated */
	uint8_t name_bytes;
	size_t count;
	const uint8_t *ranges; /* for rs_discard_range() */
};

size_t rs_discard_write(uint8_t *to, const char *name, const struct rs_byte_range *ranges,
			size_t count);
int rs_discard_parse(const uint8_t *data, size_t bytes, struct rs_discard *discard,
		     struct rs_error *error);
struct rs_byte_range rs_discard_range(const struct rs_discard *discard, size_t index);

/* REQ_PAGES_ID, or REQ_PAGES for the region of the request before. */
struct rs_page_request {
	const char *name; /* not terminated; NULL: REQ_PAGES */
	uint8_t name_bytes;
	uint64_t start;
	uint32_t bytes;
};

#define RS_PAGE_REQUEST_MAX_BYTES (8u + 4u + 1u + 255u)

/* Write the payload; its type is RS_RETURN_REQ_PAGES_ID with a name, RS_RETURN_REQ_PAGES without. */
size_t rs_page_request_write(uint8_t *to, const struct rs_page_request *request);
int rs_page_request_parse(bool with_name, const uint8_t *data, size_t bytes,
			  struct rs_page_request *request, struct rs_error *error);

/* The payload of the command and of the return message RECV_BITMAP: a region's name. */
#define RS_BITMAP_NAME_MAX_BYTES 256u

size_t rs_bitmap_name_write(uint8_t *to, const char *name);
int rs_bitmap_name_parse(const uint8_t *data, size_t bytes, const char **name, uint8_t *name_bytes,
			 struct rs_error *error);

/*
 * What follows the return message: u64 size, then the bitmap, bit i mod 8 of byte i / 8 for page i, then
 * u64 RS_RECEIVED_BITMAP_END.
 */
#define RS_RECEIVED_BITMAP_END 0x0123456789abcdefull

static inline uint64_t rs_received_bitmap_bytes(uint64_t pages)
{
	return (pages / 64 + (pages % 64 != 0)) * 8;
}

#endif
