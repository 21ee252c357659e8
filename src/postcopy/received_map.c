/* SPDX-License-Identifier: MIT */
#include "postcopy/received_map.h"

#include "base/checked.h"
#include "wire/postcopy.h"

#include <endian.h>
#include <stdlib.h>

/* Words that are converted at once. */
#define CHUNK_WORDS 64u

/* Without the bits behind the last page: they are nobody's. */
static uint64_t word_of(const struct rs_region *region, uint64_t index, uint64_t pages)
{
	uint64_t word = atomic_load_explicit(&region->received.words[index], memory_order_relaxed);
	uint64_t left = pages - index * RS_BITS_PER_WORD;

	return left < RS_BITS_PER_WORD ? word & rs_bitmap_mask(0, (unsigned)left - 1) : word;
}

void rs_received_map_put(struct rs_stream *stream, const struct rs_region *region)
{
	uint64_t pages = rs_region_pages(region), words = rs_bitmap_word_count(pages);
	uint64_t chunk[CHUNK_WORDS];

	rs_stream_put_be64(stream, rs_received_bitmap_bytes(pages));
	for (uint64_t index = 0; index < words;) {
		size_t count = (size_t)rs_min_u64(words - index, CHUNK_WORDS);

		for (size_t i = 0; i < count; i++)
			chunk[i] = htole64(word_of(region, index + i, pages));
		rs_stream_put_bytes(stream, chunk, count * sizeof(chunk[0]));
		index += count;
	}
	rs_stream_put_be64(stream, RS_RECEIVED_BITMAP_END);
}

/* The size, which decides how much is allocated. */
static int get_size(struct rs_stream *stream, const struct rs_region *region, uint64_t *bytes,
		    struct rs_error *error)
{
	uint64_t there = rs_stream_get_be64(stream);

	*bytes = rs_received_bitmap_bytes(rs_region_pages(region));
	if (rs_stream_error(stream, NULL) != 0)
		return 0;
	if (there != *bytes)
		return rs_error_setf(error, -EINVAL,
				     "region %s: a received bitmap of %llu bytes instead of %llu",
				     region->name, (unsigned long long)there,
				     (unsigned long long)*bytes);
	return 0;
}

static int get_end(struct rs_stream *stream, const struct rs_region *region, struct rs_error *error)
{
	uint64_t end = rs_stream_get_be64(stream);
	struct rs_error broken = { 0 };

	if (rs_stream_error(stream, &broken) != 0)
		return rs_error_setf(error, broken.code, "region %s: received bitmap: %s",
				     region->name, broken.text);
	if (end != RS_RECEIVED_BITMAP_END)
		return rs_error_setf(error, -EINVAL,
				     "region %s: a received bitmap ends with 0x%llx", region->name,
				     (unsigned long long)end);
	return 0;
}

/* QEMU may have anything in the bits behind the last page. */
static void clear_tail(uint8_t *bitmap, uint64_t bytes, uint64_t pages)
{
	for (uint64_t bit = pages; bit < bytes * 8; bit++)
		bitmap[bit / 8] &= (uint8_t) ~(1u << bit % 8);
}

int rs_received_map_get(struct rs_stream *stream, const struct rs_region *region, uint8_t **bitmap,
			uint64_t *bytes, struct rs_error *error)
{
	int result = get_size(stream, region, bytes, error);

	*bitmap = NULL;
	if (result != 0)
		return result;
	uint8_t *map = malloc(*bytes);

	if (map == NULL)
		return rs_error_setf(error, -ENOMEM, "region %s: no memory for a received bitmap",
				     region->name);
	rs_stream_get_bytes(stream, map, *bytes);
	result = get_end(stream, region, error);
	if (result != 0) {
		free(map);
		return result;
	}
	clear_tail(map, *bytes, rs_region_pages(region));
	*bitmap = map;
	return 0;
}
