/* SPDX-License-Identifier: MIT */
/*
 * Two regions, "a" and "b", that are sent by postcopy into memory: what tests of the source share. A
 * reader counts how often each page came on which stream, and sees to what the destination relies on: units
 * are whole, their pages ascend, and nothing comes between them.
 */
#ifndef RS_TESTS_POSTCOPY_SUBJECT_H
#define RS_TESTS_POSTCOPY_SUBJECT_H

#include "save/postcopy_save.h"

#include "base/checked.h"
#include "ram/page_claim.h"
#include "support/plain_region.h"
#include "support/test_random.h"
#include "wire/ram_record.h"

#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define HUGE (2u << 20)
#define REGION_BYTES (8u << 20)
#define MOST_PAGES (REGION_BYTES / 4096)
#define REGIONS 2u

struct subject_size {
	uint32_t page_bytes;
	uint32_t host_page_bytes;
};

static const struct subject_size subject_sizes[] = {
	{ 4096, 4096 }, { 4096, 16384 }, { 4096, HUGE }, { 65536, 4096 }, { 65536, HUGE },
};

#define SUBJECT_SIZES (sizeof(subject_sizes) / sizeof(subject_sizes[0]))

struct reader {
	struct rs_stream *stream;
	size_t seen;
	unsigned region; /* of the last record */
	unsigned bodies;
	unsigned names;
	uint64_t pages;
	uint16_t came[REGIONS][MOST_PAGES];
	/* of the unit that is not whole yet: the page that has to come next */
	bool inside;
	uint64_t next;
	/* the first pages, in order */
	struct {
		unsigned region;
		uint64_t page;
	} first[64];
};

static struct {
	struct rs_state *state;
	struct rs_region *regions[REGIONS];
	uint8_t *mapped[REGIONS];
	uint8_t *memory[REGIONS];
	uint64_t pages; /* of each region */
	bool runs;
	struct reader main, urgent;
} subject;

static void reader_open(struct reader *reader)
{
	memset(reader, 0, sizeof(*reader));
	reader->region = REGIONS;
	assert_int_equal(rs_stream_to_memory(64 << 20, &reader->stream), 0);
}

/* Records join zeros with content and holes, within units and across them. */
static void subject_fill(uint64_t seed)
{
	struct test_random random = { seed };

	for (unsigned region = 0; region < REGIONS; region++)
		for (uint64_t i = 0; i < REGION_BYTES / 4096;) {
			uint64_t kind = test_random_below(&random, 3);
			uint64_t count = 1 + test_random_below(&random, 300);

			for (; count > 0 && i < REGION_BYTES / 4096; count--, i++)
				if (kind > 0)
					subject.memory[region][i * 4096 + 9] = kind == 1;
		}
}

static void subject_open(const struct subject_size *size, bool runs)
{
	static const char *const names[REGIONS] = { "a", "b" };

	subject.state = plain_state(size->page_bytes);
	subject.pages = REGION_BYTES / size->page_bytes;
	subject.runs = runs;
	for (unsigned i = 0; i < REGIONS; i++) {
		struct rs_region_config config = { .size = sizeof(config), .name = names[i] };

		subject.mapped[i] = plain_memory_map(REGION_BYTES + HUGE);
		subject.memory[i] =
		    (uint8_t *)(((uintptr_t)subject.mapped[i] + HUGE - 1) & ~(uintptr_t)(HUGE - 1));
		config.host = subject.memory[i];
		config.used_bytes = REGION_BYTES;
		config.host_page_bytes = size->host_page_bytes;
		assert_int_equal(rs_region_add(subject.state, &config, &subject.regions[i]), 0);
	}
	subject_fill(7);
	reader_open(&subject.main);
	reader_open(&subject.urgent);
	rs_session_open(subject.state);
	assert_int_equal(rs_session_attach(subject.state, subject.main.stream), 0);
	assert_int_equal(rs_ram_save_setup(subject.state, subject.main.stream, runs), 0);
	const void *data;

	/* The list of regions is no affair of postcopy. */
	subject.main.seen = (size_t)rs_stream_memory(subject.main.stream, &data);
}

static void subject_close(void)
{
	rs_session_detach(subject.state);
	rs_ram_save_cleanup(subject.state);
	rs_session_close(subject.state);
	rs_state_destroy(subject.state);
	rs_stream_close(subject.main.stream, NULL);
	rs_stream_close(subject.urgent.stream, NULL);
	for (unsigned i = 0; i < REGIONS; i++)
		plain_memory_unmap(subject.mapped[i], REGION_BYTES + HUGE);
}

/* ---- discards ------------------------------------------------------------------------------ */

static uint16_t discarded[REGIONS][MOST_PAGES];

static void note_discard(void *opaque, const struct rs_region *region,
			 const struct rs_byte_range *ranges, size_t count)
{
	unsigned index = region == subject.regions[1];
	uint64_t page_bytes = subject.state->page_bytes;

	(void)opaque;
	assert_in_range(count, 1, RS_DISCARD_RANGES);
	for (size_t i = 0; i < count; i++) {
		assert_true(rs_range_inside(ranges[i].start, ranges[i].bytes, REGION_BYTES));
		assert_int_equal(ranges[i].start % rs_placement_bytes(region), 0);
		assert_int_equal(ranges[i].bytes % rs_placement_bytes(region), 0);
		for (uint64_t at = 0; at < ranges[i].bytes; at += page_bytes)
			discarded[index][(ranges[i].start + at) / page_bytes]++;
	}
}

static inline void subject_begin(void)
{
	memset(discarded, 0, sizeof(discarded));
	assert_int_equal(rs_ram_save_discard(subject.state, true, note_discard, NULL), 0);
	rs_ram_save_begin_postcopy(subject.state);
}

/* ---- reading ------------------------------------------------------------------------------- */

static void read_page(struct reader *reader, uint64_t page)
{
	struct rs_region *region = subject.regions[reader->region];
	uint64_t unit = rs_placement_pages(region);

	if (reader->inside)
		assert_int_equal(page, reader->next);
	else
		assert_int_equal(page % unit, 0);
	reader->next = page + 1;
	reader->inside = reader->next % unit != 0;
	reader->came[reader->region][page]++;
	if (reader->pages < 64) {
		reader->first[reader->pages].region = reader->region;
		reader->first[reader->pages].page = page;
	}
	reader->pages++;
}

/* Returns how many bytes of content there are. */
static size_t read_record(struct reader *reader, const struct rs_record *record,
			  const uint8_t *data)
{
	uint64_t page_bytes = subject.state->page_bytes;
	bool zero = record->kind == RS_RECORD_ZERO || record->kind == RS_RECORD_ZERO_RUN;
	static const uint8_t zeros[65536];

	if (record->name != NULL) {
		/* Nothing comes between the pages of a unit. */
		assert_false(reader->inside);
		assert_int_equal(record->name_bytes, 1);
		reader->region = (unsigned)(record->name[0] - 'a');
		reader->names++;
	}
	assert_true(reader->region < REGIONS);
	if (!zero)
		assert_true(record->kind == RS_RECORD_PAGE || record->kind == RS_RECORD_PAGE_RUN);
	uint64_t unit = rs_placement_bytes(subject.regions[reader->region]);

	/* Parts of units are not joined with anything else. */
	if (record->address / unit != (record->address + record->bytes - 1) / unit)
		assert_int_equal(record->address % unit + record->bytes % unit, 0);
	for (uint64_t at = 0; at < record->bytes; at += page_bytes) {
		const uint8_t *memory = subject.memory[reader->region] + record->address + at;

		assert_memory_equal(memory, zero ? zeros : data + at, page_bytes);
		read_page(reader, (record->address + at) / page_bytes);
	}
	return zero ? 0 : record->bytes;
}

/* Whatever is new. */
static void subject_read(struct reader *reader)
{
	const struct rs_record_rules rules = { .page_bytes = subject.state->page_bytes,
					       .runs = subject.runs };
	const void *data;
	size_t bytes = (size_t)rs_stream_memory(reader->stream, &data);

	while (reader->seen < bytes) {
		const uint8_t *at = (const uint8_t *)data + reader->seen;
		struct rs_error error = { 0 };
		struct rs_record record;
		size_t need;
		int taken =
		    rs_record_parse(at, bytes - reader->seen, &rules, &record, &need, &error);

		assert_true(taken > 0);
		reader->seen += (size_t)taken;
		if (record.kind == RS_RECORD_EOS)
			reader->bodies++;
		else
			reader->seen += read_record(reader, &record, at + taken);
	}
	assert_false(reader->inside);
}

/* Every page came once, on one of the two. */
static inline void subject_check_all_came(void)
{
	subject_read(&subject.main);
	subject_read(&subject.urgent);
	for (unsigned region = 0; region < REGIONS; region++)
		for (uint64_t page = 0; page < subject.pages; page++)
			assert_int_equal(
			    subject.main.came[region][page] + subject.urgent.came[region][page], 1);
	assert_int_equal(subject.state->dirty_pages, 0);
}

/* ---- requests ------------------------------------------------------------------------------ */

/* name NULL: the region of the one before. Units of the region. */
static inline int subject_ask(const char *name, uint64_t start, uint64_t bytes)
{
	const struct rs_page_request request = { name, name != NULL ? (uint8_t)strlen(name) : 0,
						 start, (uint32_t)bytes };
	struct rs_error error = { 0 };
	int result = rs_ram_save_request(subject.state, &request, &error);

	assert_int_equal(result, error.code);
	return result;
}

#endif
