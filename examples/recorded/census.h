/* SPDX-License-Identifier: MIT */
/*
 * What stands in a stream, counted while the library reads it: give census_observe() to it as
 * observe callback. Memory grows with the list of regions (a bit for each page) and with sections and
 * commands up to a bound, with nothing else.
 */
#ifndef EXAMPLES_CENSUS_H
#define EXAMPLES_CENSUS_H

#include <ramsync/observe.h>
#include <stdbool.h>

#define CENSUS_KINDS (RS_RECORD_COMPRESSED + 1)
/* So many sections, and so many commands, are kept one by one. */
#define CENSUS_ENTRIES_MAX 65536u
#define CENSUS_FEATURES_MAX 64u

struct census_count {
	uint64_t records;
	uint64_t pages;
	uint64_t stream_bytes;
};

struct census_region {
	char *name;
	uint64_t index; /* in the list of regions */
	uint64_t bytes;
	uint64_t address; /* where the guest has it, if x-ignore-shared is on */
	struct census_count kind[CENSUS_KINDS];
	uint64_t pages_came; /* each counted once */
	uint64_t *came;      /* a bit for each page */
};

/* What a command is about: a range of a region, a region, or just a number of bytes. */
struct census_operand {
	size_t entry; /* which command's */
	char *name;   /* "" for none */
	uint64_t address;
	uint64_t bytes;
};

struct census_operands {
	struct census_operand *operand;
	size_t count;
	uint64_t left_out; /* beyond the bound */
};

/* A section, or a command, which has a number and a name and no more. */
struct census_entry {
	unsigned stream; /* in which of several; offsets are its own */
	uint64_t offset;
	uint64_t stream_bytes; /* 0: it broke off in it */
	uint64_t records;
	uint32_t number;
	uint32_t id;
	uint32_t instance;
	uint32_t version;
	char *name; /* shared with the entry before, if that has the same */
};

struct census_entries {
	struct census_entry *entry;
	size_t count;
	uint64_t left_out; /* beyond the bound */
};

struct census {
	uint32_t page_bytes;
	char *features[CENSUS_FEATURES_MAX];
	unsigned feature_count;
	struct census_entries sections;
	struct census_entries commands;
	struct census_operands operands; /* of commands, in their order */
	unsigned stream;                 /* the one being read, from 1 on */
	uint64_t ram_bodies;
	struct census_region **region; /* in the order of the list */
	size_t regions;
	void *by_name; /* of tsearch() */
	struct census_count kind[CENSUS_KINDS];
	uint64_t rounds; /* how often a scan over the regions began */
	/* The last record of pages. */
	struct census_region *last;
	uint64_t last_address;
	uint64_t last_offset;
	uint64_t last_bytes;
	/* The section that is open, as long as one is. */
	bool in_section;
	struct census_entry section; /* its name belongs to the entry in sections */
	bool opaque;                 /* device state is taken as it stands, from here on: */
	uint64_t opaque_offset;
	bool ended;
	uint64_t end_offset;
	bool failed;
	uint64_t failure_offset;
	struct census_region *broken; /* it failed inside the last record of pages, of this one */
	bool out_of_memory;           /* so the rest of this is not to be believed */
};

void census_init(struct census *census, uint32_t page_bytes);
void census_fini(struct census *census);

/* What comes now stands in another stream, which goes on where this one broke off. */
void census_next_stream(struct census *census);

/* Count what was seen. */
void census_observe(struct census *census, const struct rs_observation *seen);

struct census_region *census_find(const struct census *census, const char *name);

/* Did any page of a region come? */
bool census_came(const struct census *census, const char *name);

/* Pages of a region, and how many of them no record was about. */
uint64_t census_pages(const struct census *census, const struct census_region *region);
uint64_t census_missing(const struct census *census, const struct census_region *region);

/*
 * The pages that a stream broke off in count as not come: some of their bytes may be new and others
 * old. census->broken, census->last_address and census->last_bytes say which they are.
 */
void census_drop_broken(struct census *census);

#endif
