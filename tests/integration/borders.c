/* SPDX-License-Identifier: MIT */
#include "borders.h"

#include "base/bytes.h"
#include "wire/outer.h"
#include "wire/ram_record.h"

#include <errno.h>
#include <string.h>

struct walk {
	struct borders *borders;
	const uint8_t *data;
	size_t bytes;
	size_t at;
	struct rs_record_rules rules;
};

static void border(struct walk *walk)
{
	struct borders *borders = walk->borders;

	if (borders->count < sizeof(borders->at) / sizeof(borders->at[0]))
		borders->at[borders->count++] = walk->at;
}

/* Go on by that many bytes; false at the end of the recording. */
static bool step(struct walk *walk, uint64_t bytes)
{
	if (bytes > walk->bytes - walk->at)
		return false;
	walk->at += bytes;
	return true;
}

static const uint8_t *here(const struct walk *walk)
{
	return walk->data + walk->at;
}

static bool has(const struct walk *walk, size_t bytes)
{
	return bytes <= walk->bytes - walk->at;
}

static bool walk_message(struct walk *walk)
{
	return has(walk, 4) && step(walk, 4ull + rs_get_be16(here(walk) + 2));
}

static bool walk_list(struct walk *walk, uint64_t total)
{
	while (total > 0) {
		struct rs_block_entry entry;
		struct rs_error error = { 0 };
		size_t need;
		int bytes = rs_block_entry_parse(here(walk), walk->bytes - walk->at, false, &entry,
						 &need, &error);

		border(walk);
		if (bytes <= 0 || entry.used_bytes > total || !step(walk, (uint64_t)bytes))
			return false;
		total -= entry.used_bytes;
	}
	return true;
}

static bool walk_body(struct walk *walk)
{
	for (;;) {
		struct rs_record record;
		struct rs_error error = { 0 };
		size_t need;
		int bytes = rs_record_parse(here(walk), walk->bytes - walk->at, &walk->rules,
					    &record, &need, &error);

		border(walk);
		if (bytes <= 0 || !step(walk, (uint64_t)bytes))
			return false;
		if (record.kind == RS_RECORD_EOS)
			return true;
		if (record.kind == RS_RECORD_BLOCK_LIST && !walk_list(walk, record.address))
			return false;
		if (record.kind != RS_RECORD_PAGE && record.kind != RS_RECORD_PAGE_RUN)
			continue;
		border(walk);
		if (!step(walk, record.bytes))
			return false;
	}
}

static bool walk_section(struct walk *walk, uint8_t record)
{
	bool whole = record == RS_OUTER_SECTION_START || record == RS_OUTER_SECTION_FULL;

	if (!step(walk, 4) || (whole && (!has(walk, 1) || !step(walk, 1ull + *here(walk) + 8))))
		return false;
	border(walk);
	if (record != RS_OUTER_SECTION_FULL)
		return walk_body(walk);
	return has(walk, 8) && step(walk, 8 + rs_get_be64(here(walk)));
}

static bool walk_record(struct walk *walk)
{
	uint8_t record = *here(walk);

	border(walk);
	step(walk, 1);
	switch (record) {
	case RS_OUTER_EOF:
		return true;
	case RS_OUTER_SECTION_START:
	case RS_OUTER_SECTION_PART:
	case RS_OUTER_SECTION_END:
	case RS_OUTER_SECTION_FULL:
		return walk_section(walk, record);
	case RS_OUTER_FOOTER:
		return step(walk, 4);
	case RS_OUTER_COMMAND:
		return walk_message(walk);
	default:
		return false;
	}
}

int borders_of_source(struct borders *borders, const uint8_t *data, size_t bytes,
		      uint32_t page_bytes)
{
	struct walk walk = { .borders = borders,
			     .data = data,
			     .bytes = bytes,
			     .rules = { .page_bytes = page_bytes, .runs = true } };
	bool good = bytes >= 13 && step(&walk, 13ull + rs_get_be32(data + 9));

	borders->count = 0;
	while (good && walk.at < bytes)
		good = walk_record(&walk);
	border(&walk);
	return good ? 0 : -EINVAL;
}

int borders_of_answers(struct borders *borders, const uint8_t *data, size_t bytes)
{
	struct walk walk = { .borders = borders, .data = data, .bytes = bytes };
	bool good = true;

	borders->count = 0;
	while (good && walk.at < bytes) {
		border(&walk);
		good = walk_message(&walk);
	}
	border(&walk);
	return good ? 0 : -EINVAL;
}
