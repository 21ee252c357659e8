/* SPDX-License-Identifier: MIT */
/*
 * Received bitmaps: of a region's own size or refused; and what is accepted is, in a region, written again as it
 * was but for the bits behind the last page.
 *
 * Input: a byte, how many pages the region has; then the bitmap as it stands on the wire.
 */
#include "fuzz/check.h"
#include "postcopy/received_map.h"

#include <string.h>
#include <sys/mman.h>

#define PAGE 4096u
#define MAX_PAGES 256u

static struct rs_region *add_region(struct rs_state *state, uint64_t pages)
{
	static uint8_t *memory;
	struct rs_region *region;

	if (memory == NULL)
		memory =
		    mmap(NULL, MAX_PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(memory != MAP_FAILED);
	const struct rs_region_config config = {
		.size = sizeof(config), .name = "a", .host = memory, .used_bytes = pages * PAGE
	};

	CHECK(rs_region_add(state, &config, &region) == 0);
	CHECK(rs_bitmap_init(&region->received, pages) == 0);
	return region;
}

static void write_again(struct rs_region *region, const uint8_t *bitmap, uint64_t size,
			const uint8_t *data)
{
	uint64_t pages = rs_region_pages(region);
	struct rs_stream *stream;
	const void *written;

	for (uint64_t page = 0; page < size * 8; page++) {
		bool set = (bitmap[page / 8] >> page % 8 & 1) != 0;

		CHECK(set == (page < pages && (data[8 + page / 8] >> page % 8 & 1) != 0));
		if (set)
			rs_bitmap_set_range(&region->received, page, 1);
	}
	CHECK(rs_stream_to_memory(1 << 16, &stream) == 0);
	rs_received_map_put(stream, region);
	CHECK(rs_stream_memory(stream, &written) == (ssize_t)(size + 16));
	CHECK(memcmp(written, data, 8) == 0);
	CHECK(memcmp((const uint8_t *)written + 8, bitmap, size) == 0);
	CHECK(memcmp((const uint8_t *)written + 8 + size, data + 8 + size, 8) == 0);
	rs_stream_close(stream, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct rs_error error = { 0 };
	struct rs_stream *stream;
	struct rs_state *state;
	uint8_t *bitmap;
	uint64_t size;

	if (bytes == 0)
		return 0;
	CHECK(rs_state_create(NULL, &state) == 0);
	struct rs_region *region = add_region(state, 1u + data[0]);

	CHECK(rs_stream_from_memory(data + 1, bytes - 1, &stream) == 0);
	int result = rs_received_map_get(stream, region, &bitmap, &size, &error);

	CHECK(error.code == result && (result == 0 || error.text[0] != '\0'));
	CHECK((bitmap == NULL) == (result != 0));
	if (result == 0) {
		CHECK(size == (data[0] / 64u + 1) * 8);
		CHECK(rs_stream_bytes_read(stream) == size + 16);
		write_again(region, bitmap, size, data + 1);
	}
	free(bitmap);
	rs_stream_close(stream, NULL);
	rs_bitmap_fini(&region->received);
	rs_state_destroy(state);
	return 0;
}
