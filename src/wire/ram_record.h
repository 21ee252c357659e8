/* SPDX-License-Identifier: MIT */
/*
 * The records of which a body of the "ram" section is made: constants, writer, and the one
 * bounds-checked parser. docs/wire-format.md has the whole picture.
 *
 * A record begins with a big-endian u64 word: a byte address, multiple of the page size, ORed with
 * flags in its low bits.
 */
#ifndef RS_WIRE_RAM_RECORD_H
#define RS_WIRE_RAM_RECORD_H

#include "base/error.h"

#include <ramsync/observe.h>
#include <stdbool.h>

enum rs_record_flag {
	RS_FLAG_FULL = 0x001, /* obsolete */
	RS_FLAG_ZERO = 0x002,
	RS_FLAG_MEM_SIZE = 0x004,
	RS_FLAG_PAGE = 0x008,
	RS_FLAG_EOS = 0x010,
	RS_FLAG_CONTINUE = 0x020,
	RS_FLAG_XBZRLE = 0x040,
	RS_FLAG_HOOK = 0x080, /* RDMA's */
	RS_FLAG_COMPRESS_PAGE = 0x100,
	RS_FLAG_MULTIFD_FLUSH = 0x200,
	/*
	 * Ours, in native mode: ZERO or PAGE with MEM_SIZE is a run of pages; its length in bytes
	 * follows the name. No new bit, for 1 KiB pages leave room for none.
	 */
	RS_FLAG_RUN = RS_FLAG_MEM_SIZE,
};

struct rs_record {
	enum rs_record_kind kind;
	uint64_t address; /* of a list: sum of the lengths of its entries */
	uint64_t bytes;   /* of memory */
	uint64_t content; /* bytes that follow in the stream */
	const char *name; /* not terminated, inside the parsed data; NULL with CONTINUE */
	uint8_t name_bytes;
	uint8_t fill;     /* of a ZERO record */
	uint8_t encoding; /* of an XBZRLE record */
};

/* Whether it is about pages. */
static inline bool rs_record_has_pages(const struct rs_record *record)
{
	return record->kind != RS_RECORD_EOS && record->kind != RS_RECORD_BLOCK_LIST &&
	       record->kind != RS_RECORD_FLUSH;
}

struct rs_record_rules {
	uint32_t page_bytes;
	bool runs;                 /* native: runs were agreed on */
	uint32_t compressed_limit; /* longest content of a compressed page; 0: none may come */
};

/* The one encoding that an XBZRLE record may name. */
#define RS_XBZRLE_ENCODING 1u

/* Longest header of a record, and of an entry of the list of regions. */
#define RS_RECORD_MAX_BYTES (8u + 1u + 255u + 8u)
#define RS_BLOCK_ENTRY_MAX_BYTES (1u + 255u + 8u + 8u)

/* Fewest bytes with which parsing a record, or an entry of the list of regions, can begin. */
#define RS_RECORD_MIN_BYTES 8u
#define RS_BLOCK_ENTRY_MIN_BYTES 1u

/*
 * Parse a record's header, everything up to its content. Returns its length; 0 if it takes more
 * bytes to tell, at least *need in all (more than have); -EINVAL or -EOPNOTSUPP with a text. What
 * only a region can say (whether the address lies in it) is left to the caller.
 */
int rs_record_parse(const uint8_t *data, size_t have, const struct rs_record_rules *rules,
		    struct rs_record *record, size_t *need, struct rs_error *error);

/*
 * Write a record's header: flags without CONTINUE, which a NULL name stands for. length: of
 * memory, if flags have RS_FLAG_RUN beside ZERO or PAGE; of the content, of an XBZRLE or compressed
 * page; not used otherwise. A ZERO without RS_FLAG_RUN gets its fill.
 * Returns the header's length, at most RS_RECORD_MAX_BYTES.
 */
size_t rs_record_write(uint8_t *to, uint64_t address, unsigned flags, const char *name,
		       uint64_t length);

/* An entry of the list of regions. */
struct rs_block_entry {
	const char *name;
	uint8_t name_bytes;
	uint64_t used_bytes;
	uint64_t guest_address;
};

/* with_address: the stream has x-ignore-shared on. Results as for rs_record_parse(). */
int rs_block_entry_parse(const uint8_t *data, size_t have, bool with_address,
			 struct rs_block_entry *entry, size_t *need, struct rs_error *error);
size_t rs_block_entry_write(uint8_t *to, const struct rs_block_entry *entry, bool with_address);

#endif
