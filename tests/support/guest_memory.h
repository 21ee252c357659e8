/* SPDX-License-Identifier: MIT */
/* Memory of the kinds that guests are made of. */
#ifndef RS_TESTS_GUEST_MEMORY_H
#define RS_TESTS_GUEST_MEMORY_H

#include <ramsync/region.h>
#include <stdbool.h>

enum guest_kind {
	GUEST_PRIVATE,       /* anonymous */
	GUEST_MEMFD,         /* shared */
	GUEST_MEMFD_ALIASED, /* shared, and mapped a second time */
	GUEST_PRIVATE_FILE,  /* a private mapping of a file */
	GUEST_HUGETLB,       /* private, of huge pages; few machines have any reserved */
	GUEST_KINDS,
};

struct guest_memory {
	enum guest_kind kind;
	uint8_t *host;
	uint8_t *alias; /* NULL without one */
	int fd;         /* -1 without one */
	uint64_t bytes; /* mapped: whole host pages */
	uint64_t host_page_bytes;
};

/* All holes. 0 or a negative errno: this machine has no such memory. */
int guest_memory_map(struct guest_memory *memory, enum guest_kind kind, uint64_t bytes);
void guest_memory_unmap(struct guest_memory *memory);

/* Fill in what rs_region_add() wants to know about it. */
void guest_memory_describe(const struct guest_memory *memory, struct rs_region_config *config);

/* What is written to the file is in the mapping, always. */
bool guest_memory_is_shared(const struct guest_memory *memory);

/* Give pages back: they are holes, and zero, afterwards. */
bool guest_memory_can_discard(const struct guest_memory *memory);
void guest_memory_discard(const struct guest_memory *memory, uint64_t offset, uint64_t bytes);

const char *guest_kind_name(enum guest_kind kind);

#endif
