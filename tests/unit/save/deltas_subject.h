/* SPDX-License-Identifier: MIT */
/*
 * Deltas of a region, and the memory of a destination that loads them; for the tests of deltas only.
 */
#ifndef RS_TESTS_DELTAS_SUBJECT_H
#define RS_TESTS_DELTAS_SUBJECT_H

#include "save/deltas.h"

#include "codec/xbzrle.h"
#include "support/plain_region.h"
#include "wire/ram_record.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define PAGE 4096u
#define PAGES 32u
#define SLOTS 16u /* page n and page n + SLOTS have the same one */

static struct rs_region *region;
static uint8_t *memory;
static struct rs_record_writer writer;
static struct rs_deltas deltas;

/* What the destination has, and what it got last: a letter for each record, with its page and
 * count. */
static uint8_t there[PAGES * PAGE];
static char got[512];
static size_t seen_bytes;

static inline void set_generation(uint64_t generation)
{
	rs_counter_set(writer.state->counters.dirty_sync_count, generation);
}

static inline void set_cache_pages(const char *bytes)
{
	assert_int_equal(rs_param_set(writer.state, "xbzrle-cache-size", bytes), 0);
}

static inline int setup(void **state)
{
	memory = plain_memory_map(PAGES * PAGE);
	memset(there, 0, sizeof(there));
	*state = plain_state(PAGE);
	/* So that addresses do not begin at zero. */
	plain_region_add(*state, "before", memory, 2 * SLOTS * PAGE, 0);
	region = plain_region_add(*state, "r", memory, PAGES * PAGE, 0);
	writer = (struct rs_record_writer){ .state = *state,
					    .counters = &((struct rs_state *)*state)->counters };
	assert_int_equal(rs_stream_to_memory(4 << 20, &writer.stream), 0);
	seen_bytes = 0;
	rs_session_open(*state);
	assert_int_equal(rs_param_set(*state, "xbzrle", "on"), 0);
	set_cache_pages("65536");
	deltas = (struct rs_deltas){ .snapshot = NULL };
	assert_int_equal(rs_deltas_init(&deltas, *state), 0);
	set_generation(1);
	return 0;
}

static inline int teardown(void **state)
{
	rs_deltas_fini(&deltas);
	rs_session_close(*state);
	rs_stream_close(writer.stream, NULL);
	rs_state_destroy(*state);
	plain_memory_unmap(memory, PAGES * PAGE);
	return 0;
}

/* ---- the destination ----------------------------------------------------------------------- */

static inline size_t apply(const struct rs_record *record, const uint8_t *content)
{
	uint8_t *to = there + record->address;

	switch (record->kind) {
	case RS_RECORD_ZERO:
	case RS_RECORD_ZERO_RUN:
		memset(to, 0, record->bytes);
		break;
	case RS_RECORD_PAGE:
	case RS_RECORD_PAGE_RUN:
		memcpy(to, content, record->bytes);
		break;
	default:
		assert_int_equal(record->kind, RS_RECORD_XBZRLE);
		assert_int_equal(rs_xbzrle_decode(to, PAGE, content, record->content), 0);
	}
	return record->content;
}

static inline void note(const struct rs_record *record)
{
	static const char letters[] = {
		[RS_RECORD_ZERO] = 'z',     [RS_RECORD_ZERO_RUN] = 'Z', [RS_RECORD_PAGE] = 'p',
		[RS_RECORD_PAGE_RUN] = 'P', [RS_RECORD_XBZRLE] = 'd',
	};
	size_t used = strlen(got);
	char count[16] = "";

	if (record->bytes > PAGE)
		snprintf(count, sizeof(count), "+%u", (unsigned)(record->bytes / PAGE));
	snprintf(got + used, sizeof(got) - used, "%s%c%u%s", used > 0 ? " " : "",
		 letters[record->kind], (unsigned)(record->address / PAGE), count);
}

/* Flush, load what is new, and say what it was. */
static inline const char *load(void)
{
	const struct rs_record_rules rules = { .page_bytes = PAGE, .runs = writer.runs };
	const void *data;

	assert_int_equal(rs_record_writer_flush(&writer), 0);
	size_t bytes = (size_t)rs_stream_memory(writer.stream, &data);

	got[0] = '\0';
	while (seen_bytes < bytes) {
		const uint8_t *at = (const uint8_t *)data + seen_bytes;
		struct rs_error error = { 0 };
		struct rs_record record;
		size_t need;
		int header =
		    rs_record_parse(at, bytes - seen_bytes, &rules, &record, &need, &error);

		assert_true(header > 0);
		seen_bytes += (size_t)header + apply(&record, at + header);
		note(&record);
	}
	return got;
}

/* Each page of the cache is what the destination has. */
static inline void check_cache(void)
{
	for (uint64_t slot = 0; slot < deltas.cache.max_num_items; slot++) {
		const struct rs_page_cache_item *item = &deltas.cache.items[slot];

		if (item->age != 0)
			assert_memory_equal(deltas.cache.data + slot * PAGE,
					    there + (item->address - region->ram_address), PAGE);
	}
}

static inline bool is_cached(uint64_t page)
{
	const struct rs_page_cache_item *item = &deltas.cache.items[page % SLOTS];

	return item->age != 0 && item->address == region->ram_address + page * PAGE;
}

static inline void send(uint64_t first, uint64_t count)
{
	rs_deltas_send(&deltas, &writer, region, first, count);
}

#endif
