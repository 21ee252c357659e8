/* SPDX-License-Identifier: MIT */
/*
 * Payloads of the commands of postcopy: what is accepted is written again as it was, and of a discard nothing
 * outside the region is touched.
 *
 * Input: a payload.
 */
#include "fuzz/exactly.h"
#include "postcopy/discard.h"
#include "support/guarded_memory.h"
#include "wire/postcopy.h"

#define PAGE 4096u
#define PAGES 16u

static struct guarded_memory memory;

/* ---- the parser ---------------------------------------------------------------------------- */

static void write_again(const struct rs_discard *discard, const uint8_t *data, size_t bytes)
{
	struct rs_byte_range *ranges = malloc(discard->count * sizeof(*ranges));
	uint8_t *written = exactly(NULL, bytes);
	char name[256] = "";

	CHECK(ranges != NULL && discard->count > 0 && discard->name_bytes > 0);
	memcpy(name, discard->name, discard->name_bytes);
	CHECK(strlen(name) == discard->name_bytes);
	for (size_t i = 0; i < discard->count; i++) {
		ranges[i] = rs_discard_range(discard, i);
		CHECK(ranges[i].start + ranges[i].bytes >= ranges[i].start);
	}
	CHECK(rs_discard_write(written, name, ranges, discard->count) == bytes);
	CHECK(memcmp(written, data, bytes) == 0);
	free(written);
	free(ranges);
}

static void parse_advice(const uint8_t *data, size_t bytes)
{
	struct rs_postcopy_advice advice;
	struct rs_error error = { 0 };
	uint8_t written[RS_POSTCOPY_ADVICE_BYTES];
	int result = rs_postcopy_advice_parse(data, bytes, &advice, &error);

	CHECK((result == 0) == (bytes == sizeof(written)) && error.code == result);
	if (result != 0)
		return;
	rs_postcopy_advice_write(written, &advice);
	CHECK(memcmp(written, data, bytes) == 0);
}

static void parse_name(const uint8_t *data, size_t bytes)
{
	uint8_t written[RS_BITMAP_NAME_MAX_BYTES], name_bytes;
	struct rs_error error = { 0 };
	char text[256] = "";
	const char *name;
	int result = rs_bitmap_name_parse(data, bytes, &name, &name_bytes, &error);

	CHECK(error.code == result);
	if (result != 0)
		return;
	memcpy(text, name, name_bytes);
	CHECK(rs_bitmap_name_write(written, text) == bytes);
	CHECK(memcmp(written, data, bytes) == 0);
}

/* ---- a region ------------------------------------------------------------------------------ */

static struct rs_region *add_region(struct rs_state *state)
{
	if (memory.data == NULL)
		CHECK(guarded_memory_init(&memory, (PAGES + 1) * PAGE) == 0);
	guarded_memory_reset(&memory, PAGES * PAGE);
	memset(memory.data, 0x77, PAGES * PAGE);
	const struct rs_region_config config = {
		.size = sizeof(config), .name = "a", .host = memory.data, .used_bytes = PAGES * PAGE
	};
	struct rs_region *region;

	CHECK(rs_region_add(state, &config, &region) == 0);
	CHECK(rs_bitmap_init(&region->received, PAGES) == 0);
	rs_bitmap_set_range(&region->received, 0, PAGES);
	return region;
}

/* Pages are gone as a whole, or untouched; as the received bitmap says. */
static void check_memory(const struct rs_region *region)
{
	for (unsigned page = 0; page < PAGES; page++) {
		uint8_t byte = rs_bitmap_test(&region->received, page) ? 0x77 : 0;

		for (unsigned at = 0; at < PAGE; at++)
			CHECK(memory.data[page * PAGE + at] == byte);
	}
	CHECK(guarded_memory_intact(&memory, PAGES * PAGE));
}

static void apply(const struct rs_discard *discard)
{
	uint64_t gone = 0;
	struct rs_state *state;

	CHECK(rs_state_create(NULL, &state) == 0);
	struct rs_region *region = add_region(state);

	for (size_t i = 0; i < discard->count; i++) {
		struct rs_byte_range range = rs_discard_range(discard, i);
		struct rs_error error = { 0 };
		bool good = (range.start | range.bytes) % PAGE == 0 && range.bytes != 0 &&
			    range.start + range.bytes <= PAGES * PAGE;

		CHECK((rs_discard_pages(region, range.start, range.bytes, &error) == 0) == good);
		CHECK(good == (error.code == 0));
		for (uint64_t at = range.start; good && at < range.start + range.bytes; at += PAGE)
			gone |= 1ull << at / PAGE;
	}
	CHECK(rs_bitmap_count(&region->received) == PAGES - (unsigned)__builtin_popcountll(gone));
	check_memory(region);
	rs_bitmap_fini(&region->received);
	rs_state_destroy(state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct rs_discard discard;
	struct rs_error error = { 0 };
	uint8_t *copy = exactly(data, bytes);
	int result = rs_discard_parse(copy, bytes, &discard, &error);

	CHECK(error.code == result && (result == 0 || error.text[0] != '\0'));
	if (result == 0) {
		write_again(&discard, data, bytes);
		apply(&discard);
	}
	parse_advice(copy, bytes);
	parse_name(copy, bytes);
	free(copy);
	return 0;
}
