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

/* A package's device state is of no known length in QEMU's form, so it is taken as one. */
static bool walk_command(struct walk *walk)
{
	bool package = has(walk, 8) && rs_get_be16(here(walk)) == RS_COMMAND_PACKAGED;
	uint32_t bytes = package ? rs_get_be32(here(walk) + 4) : 0;

	if (!walk_message(walk))
		return false;
	if (package)
		border(walk);
	return step(walk, bytes);
}

/* A received bitmap follows its message. */
static bool walk_answer(struct walk *walk)
{
	bool bitmap = has(walk, 2) && rs_get_be16(here(walk)) == RS_RETURN_RECV_BITMAP;

	if (!walk_message(walk))
		return false;
	if (!bitmap)
		return true;
	border(walk);
	if (!has(walk, 8))
		return false;
	uint64_t bytes = rs_get_be64(here(walk));

	if (!step(walk, 8))
		return false;
	border(walk);
	return step(walk, bytes + 8);
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
		return walk_command(walk);
	default:
		return false;
	}
}

static struct walk begin(struct borders *borders, const uint8_t *data, size_t bytes,
			 uint32_t page_bytes)
{
	borders->count = 0;
	return (struct walk){ .borders = borders,
			      .data = data,
			      .bytes = bytes,
			      .rules = { .page_bytes = page_bytes, .runs = true } };
}

/* Not of a recovery in QEMU's form, which has none. */
static bool walk_header(struct walk *walk)
{
	if (*here(walk) == RS_OUTER_COMMAND)
		return true;
	return walk->bytes >= 13 && step(walk, 13ull + rs_get_be32(walk->data + 9));
}

int borders_of_source(struct borders *borders, const uint8_t *data, size_t bytes,
		      uint32_t page_bytes)
{
	struct walk walk = begin(borders, data, bytes, page_bytes);
	bool good = bytes > 0 && walk_header(&walk);

	while (good && walk.at < bytes)
		good = walk_record(&walk);
	border(&walk);
	return good ? 0 : -EINVAL;
}

int borders_of_channel(struct borders *borders, const uint8_t *data, size_t bytes,
		       uint32_t page_bytes)
{
	struct walk walk = begin(borders, data, bytes, page_bytes);
	bool native = bytes > 0 && *data == 'Q';

	if (native && (!walk_header(&walk) || !walk_record(&walk)))
		return -EINVAL;
	/* Without an end mark, mostly. */
	walk_body(&walk);
	border(&walk);
	return walk.at == bytes ? 0 : -EINVAL;
}

int borders_of_answers(struct borders *borders, const uint8_t *data, size_t bytes)
{
	struct walk walk = begin(borders, data, bytes, 0);
	bool good = true;

	while (good && walk.at < bytes) {
		border(&walk);
		good = walk_answer(&walk);
	}
	border(&walk);
	return good ? 0 : -EINVAL;
}
