/* SPDX-License-Identifier: MIT */
/*
 * The guest's memory: blocks of different kinds, each of them a region of the library.
 *
 * One thread at a time; blocks must not be added once others use them.
 */
#ifndef EXAMPLES_MEMORY_H
#define EXAMPLES_MEMORY_H

#include "guest/pattern.h"

#include <ramsync/ramsync.h>
#include <stdbool.h>

/* Lengths that a user gives are multiples of this, so that every page size on the wire fits. */
#define MEMORY_GRAIN_BYTES 65536u

enum memory_kind {
	MEMORY_ANON,    /* private anonymous */
	MEMORY_MEMFD,   /* shared, with a descriptor */
	MEMORY_HUGETLB, /* shared, with a descriptor, of huge pages */
};

struct memory_block {
	char name[RS_REGION_NAME_BYTES];
	enum memory_kind kind;
	uint8_t *host;
	uint64_t bytes;
	uint64_t host_page_bytes;
	int fd;                   /* -1 without one */
	bool rom;                 /* no writer's place */
	bool fresh;               /* never touched so far */
	bool ignored;             /* is listed in a stream; its content is not in it */
	uint64_t guest_address;   /* counts where x-ignore-shared is on */
	struct rs_region *region; /* once registered */
};

struct memory {
	struct memory_block *block;
	unsigned count;
	uint64_t bytes; /* of all blocks */
};

bool memory_kind_parse(const char *text, enum memory_kind *kind);

int memory_add(struct memory *memory, const char *name, enum memory_kind kind, uint64_t bytes,
	       struct rs_error *error);

/*
 * What a stream announced: private anonymous memory, of any length as long as all blocks together
 * have no more than @max_bytes.
 */
int memory_add_announced(struct memory *memory, const char *name, uint64_t bytes,
			 uint64_t max_bytes, struct rs_error *error);

/* What --memory stands for: ram.low (anonymous), ram.high (memfd) and a small rom. */
int memory_add_standard(struct memory *memory, uint64_t bytes, struct rs_error *error);

/* Unmap everything. The regions must be gone from their state. */
void memory_destroy(struct memory *memory);

/* Make every page present. The memory is not fresh any more. */
void memory_touch(struct memory *memory, unsigned first_block);

/* Fill the first @bytes, shared out over the blocks by their size; the rest stays untouched. */
void memory_fill(struct memory *memory, enum pattern pattern, uint64_t bytes);

/* Share @bytes out over the blocks, @rom ones too or not. Returns the share of block @index. */
uint64_t memory_share(const struct memory *memory, uint64_t bytes, bool rom, unsigned index);

/* Load a file, one block after the other; its holes stay untouched. */
int memory_load_image(struct memory *memory, const char *path, struct rs_error *error);

/* Tell @state about the blocks from @first_block on, with @log, if any, as their dirty log. */
int memory_register(struct memory *memory, unsigned first_block, struct rs_state *state,
		    const struct rs_dirty_log_ops *log, struct rs_error *error);

/* Digest of all blocks, see digest.h; nothing that was never populated is touched. */
uint64_t memory_digest(const struct memory *memory);

#endif
