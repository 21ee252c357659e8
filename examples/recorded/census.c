/* SPDX-License-Identifier: MIT */
#include "recorded/census.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

void census_init(struct census *census, uint32_t page_bytes)
{
	*census = (struct census){ .page_bytes = page_bytes, .stream = 1 };
}

/* ---- regions ------------------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct census_region *)a)->name,
		      ((const struct census_region *)b)->name);
}

struct census_region *census_find(const struct census *census, const char *name)
{
	const struct census_region key = { .name = (char *)name };
	void *found = tfind(&key, &census->by_name, compare_names);

	return found ? *(struct census_region **)found : NULL;
}

bool census_came(const struct census *census, const char *name)
{
	const struct census_region *region = census_find(census, name);

	return region && region->pages_came;
}

uint64_t census_pages(const struct census *census, const struct census_region *region)
{
	return region->bytes / census->page_bytes;
}

uint64_t census_missing(const struct census *census, const struct census_region *region)
{
	return census_pages(census, region) - region->pages_came;
}

static void free_region(struct census_region *region)
{
	if (!region)
		return;
	free(region->name);
	free(region->came);
	free(region);
}

/* Its pages are counted from the first of them on: its length is only a claim as yet. */
static struct census_region *new_region(const struct census *census,
					const struct rs_observation *seen)
{
	struct census_region *region = calloc(1, sizeof(*region));

	if (!region)
		return NULL;
	region->name = strdup(seen->name);
	region->index = census->regions;
	region->bytes = seen->bytes;
	region->address = seen->address;
	if (region->name)
		return region;
	free_region(region);
	return NULL;
}

static bool append_region(struct census *census, struct census_region *region)
{
	struct census_region **grown;

	if (!region)
		return false;
	grown = realloc(census->region, (census->regions + 1) * sizeof(struct census_region *));
	if (!grown)
		return false;
	census->region = grown;
	if (!tsearch(region, &census->by_name, compare_names))
		return false;
	grown[census->regions++] = region;
	return true;
}

static void see_region(struct census *census, const struct rs_observation *seen)
{
	struct census_region *region;

	census->kind[RS_RECORD_BLOCK_LIST].stream_bytes += seen->stream_bytes;
	if (census_find(census, seen->name))
		return; /* a list that comes again */
	region = new_region(census, seen);
	if (append_region(census, region))
		return;
	free_region(region);
	census->out_of_memory = true;
}

/* ---- records ------------------------------------------------------------------------------- */

static void count(struct census_count *count, const struct census *census,
		  const struct rs_observation *seen, bool has_pages)
{
	count->records++;
	count->pages += has_pages ? seen->bytes / census->page_bytes : 0;
	count->stream_bytes += seen->stream_bytes;
}

/* Have [@first, @end) noted as come, or not. Returns for how many of them that is new. Word by word: a
 * record of a few bytes can be about millions of pages. */
static uint64_t change_pages(uint64_t *came, uint64_t first, uint64_t end, bool as)
{
	uint64_t changed = 0;

	while (first < end) {
		uint64_t word_end = (first / 64 + 1) * 64;
		uint64_t stop = word_end < end ? word_end : end;
		uint64_t bits = (~0ull >> (64 - (stop - first))) << first % 64;
		uint64_t *word = &came[first / 64];
		uint64_t others = as ? bits & ~*word : bits & *word;

		*word ^= others;
		changed += (uint64_t)__builtin_popcountll(others);
		first = stop;
	}
	return changed;
}

static void mark_pages(struct census *census, struct census_region *region, uint64_t first,
		       uint64_t pages)
{
	if (!region->came)
		region->came = calloc(census_pages(census, region) / 64 + 1, sizeof(*region->came));
	census->out_of_memory |= !region->came;
	if (!region->came)
		return;
	region->pages_came += change_pages(region->came, first, first + pages, true);
}

/* Not behind the record before: a scan over the regions began anew. */
static bool begins_round(const struct census *census, const struct census_region *region,
			 uint64_t address)
{
	const struct census_region *last = census->last;

	return !last || region->index < last->index ||
	       (region == last && address <= census->last_address);
}

static void see_pages(struct census *census, const struct rs_observation *seen)
{
	struct census_region *region = census->last;

	if (!region || strcmp(region->name, seen->name))
		region = census_find(census, seen->name);
	if (!region || seen->address > region->bytes || seen->bytes > region->bytes - seen->address)
		return; /* the library refuses it */
	census->rounds += begins_round(census, region, seen->address);
	count(&region->kind[seen->number], census, seen, true);
	mark_pages(census, region, seen->address / census->page_bytes,
		   seen->bytes / census->page_bytes);
	census->last = region;
	census->last_address = seen->address;
	census->last_bytes = seen->bytes;
	census->last_offset = seen->offset;
}

static void see_record(struct census *census, const struct rs_observation *seen)
{
	bool has_pages = *seen->name;

	if (seen->number >= CENSUS_KINDS)
		return;
	census->section.records++;
	count(&census->kind[seen->number], census, seen, has_pages);
	if (has_pages)
		see_pages(census, seen);
}

void census_drop_broken(struct census *census)
{
	struct census_region *region = census->broken;
	uint64_t first = census->last_address / census->page_bytes;
	uint64_t end = first + census->last_bytes / census->page_bytes;

	if (region && region->came)
		region->pages_came -= change_pages(region->came, first, end, false);
}

/* ---- sections and commands ----------------------------------------------------------------- */

/* Returns the name in the entry; NULL if there is no room for it. */
static char *append(struct census *census, struct census_entries *entries,
		    const struct census_entry *entry, const char *name)
{
	size_t count = entries->count;
	char *before = count ? entries->entry[count - 1].name : NULL;

	if (count == CENSUS_ENTRIES_MAX) {
		entries->left_out++;
		return NULL;
	}
	/* Room for a power of two of them. */
	if (!(count & (count - 1))) {
		size_t room = count ? 2 * count : 1;
		struct census_entry *grown = realloc(entries->entry, room * sizeof(*grown));

		census->out_of_memory |= !grown;
		if (!grown)
			return NULL;
		entries->entry = grown;
	}
	entries->entry[count] = *entry;
	entries->entry[count].name = before && !strcmp(before, name) ? before : strdup(name);
	census->out_of_memory |= !entries->entry[count].name;
	entries->count += !!entries->entry[count].name;
	return entries->entry[count].name;
}

static void free_entries(struct census_entries *entries)
{
	for (size_t i = 0; i < entries->count; i++)
		if (!i || entries->entry[i].name != entries->entry[i - 1].name)
			free(entries->entry[i].name);
	free(entries->entry);
}

static struct census_entry entry_of(const struct census *census, const struct rs_observation *seen)
{
	return (struct census_entry){
		.stream = census->stream,
		.offset = seen->offset,
		.stream_bytes = seen->stream_bytes,
		.number = seen->number,
		.id = seen->id,
		.instance = seen->instance,
		.version = seen->version,
	};
}

static void see_section(struct census *census, const struct rs_observation *seen)
{
	census->section = entry_of(census, seen);
	census->in_section = true;
	census->ram_bodies += !strcmp(seen->name, "ram");
	census->section.name = append(census, &census->sections, &census->section, seen->name);
}

static void see_section_end(struct census *census, const struct rs_observation *seen)
{
	struct census_entries *sections = &census->sections;

	census->in_section = false;
	if (sections->left_out || !sections->count)
		return;
	sections->entry[sections->count - 1].records = census->section.records;
	sections->entry[sections->count - 1].stream_bytes = seen->stream_bytes;
}

/* A range that is given up, to come again in postcopy. */
static void drop_pages(struct census *census, const struct rs_observation *seen)
{
	struct census_region *region = census_find(census, seen->name);
	uint64_t first = seen->address / census->page_bytes;

	if (!region || !region->came || seen->address > region->bytes ||
	    seen->bytes > region->bytes - seen->address)
		return; /* the library refuses it */
	region->pages_came -=
	    change_pages(region->came, first, first + seen->bytes / census->page_bytes, false);
}

static void see_operand(struct census *census, const struct rs_observation *seen)
{
	struct census_operands *operands = &census->operands;
	size_t count = operands->count;

	if (seen->bytes)
		drop_pages(census, seen);
	if (count == CENSUS_ENTRIES_MAX || !census->commands.count || census->commands.left_out) {
		operands->left_out++;
		return;
	}
	/* Room for a power of two of them. */
	if (!(count & (count - 1))) {
		size_t room = count ? 2 * count : 1;
		struct census_operand *grown = realloc(operands->operand, room * sizeof(*grown));

		census->out_of_memory |= !grown;
		if (!grown)
			return;
		operands->operand = grown;
	}
	operands->operand[count] = (struct census_operand){
		.entry = census->commands.count - 1,
		.name = strdup(seen->name),
		.address = seen->address,
		.bytes = seen->bytes,
	};
	census->out_of_memory |= !operands->operand[count].name;
	operands->count += !!operands->operand[count].name;
}

void census_next_stream(struct census *census)
{
	census->stream++;
	census->in_section = false;
}

/* ---- all ----------------------------------------------------------------------------------- */

static void see_feature(struct census *census, const char *name)
{
	if (census->feature_count == CENSUS_FEATURES_MAX)
		return;
	census->features[census->feature_count] = strdup(name);
	census->feature_count += !!census->features[census->feature_count];
}

static void see_failure(struct census *census, const struct rs_observation *seen)
{
	struct census_entries *sections = &census->sections;

	census->failed = true;
	census->failure_offset = seen->offset;
	if (census->last && census->last_offset == seen->offset)
		census->broken = census->last;
	if (census->in_section && sections->count && !sections->left_out)
		sections->entry[sections->count - 1].records = census->section.records;
}

void census_observe(struct census *census, const struct rs_observation *seen)
{
	struct census_entry command;

	switch (seen->type) {
	case RS_OBSERVED_FEATURE:
		see_feature(census, seen->name);
		break;
	case RS_OBSERVED_COMMAND:
		command = entry_of(census, seen);
		append(census, &census->commands, &command, seen->name);
		break;
	case RS_OBSERVED_OPERAND:
		see_operand(census, seen);
		break;
	case RS_OBSERVED_SECTION:
		see_section(census, seen);
		break;
	case RS_OBSERVED_SECTION_END:
		see_section_end(census, seen);
		break;
	case RS_OBSERVED_REGION:
		see_region(census, seen);
		break;
	case RS_OBSERVED_RECORD:
		see_record(census, seen);
		break;
	case RS_OBSERVED_OPAQUE:
		census->opaque = true;
		census->opaque_offset = seen->offset;
		break;
	case RS_OBSERVED_END:
		census->ended = true;
		census->end_offset = seen->offset + seen->stream_bytes;
		break;
	case RS_OBSERVED_FAILURE:
		see_failure(census, seen);
		break;
	default:
		break;
	}
}

static void leave_region(void *region)
{
	(void)region;
}

void census_fini(struct census *census)
{
	tdestroy(census->by_name, leave_region);
	for (size_t i = 0; i < census->regions; i++)
		free_region(census->region[i]);
	free(census->region);
	for (unsigned i = 0; i < census->feature_count; i++)
		free(census->features[i]);
	free_entries(&census->sections);
	free_entries(&census->commands);
	for (size_t i = 0; i < census->operands.count; i++)
		free(census->operands.operand[i].name);
	free(census->operands.operand);
	*census = (struct census){ 0 };
}
