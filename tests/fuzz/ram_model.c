/* SPDX-License-Identifier: MIT */
#include "fuzz/ram_model.h"

#include "fuzz/check.h"

#include <stdbool.h>
#include <string.h>
#include <zlib.h>

struct input {
	const uint8_t *data;
	size_t bytes;
	size_t at;
};

static const uint8_t *take(struct input *input, size_t bytes)
{
	CHECK(bytes <= input->bytes - input->at);
	input->at += bytes;
	return input->data + input->at - bytes;
}

static uint64_t take_number(struct input *input, size_t bytes)
{
	const uint8_t *byte = take(input, bytes);
	uint64_t value = 0;

	for (size_t i = 0; i < bytes; i++)
		value = value << 8 | byte[i];
	return value;
}

static uint64_t take_u64(struct input *input)
{
	return take_number(input, 8);
}

static int take_region(struct ram_model *model, struct input *input)
{
	size_t length = *take(input, 1);
	const uint8_t *name = take(input, length);

	for (int i = 0; i < model->region_count; i++)
		if (strlen(model->regions[i].name) == length &&
		    memcmp(model->regions[i].name, name, length) == 0)
			return i;
	CHECK_THAT(false, "the library knows this region");
	return -1;
}

static void apply_list(struct ram_model *model, struct input *input, uint64_t total)
{
	while (total > 0) {
		struct model_region *region = &model->regions[take_region(model, input)];

		region->used = take_u64(input);
		if (model->with_address)
			take_u64(input);
		CHECK(region->used <= total);
		total -= region->used;
	}
}

/* Length of a run inside a delta: 7 bits, and 7 higher ones if the first byte says so. */
static size_t take_run(struct input *delta)
{
	size_t length = *take(delta, 1);

	if (length >= 128)
		length = length - 128 + 128 * (size_t)*take(delta, 1);
	CHECK(length < 16384);
	return length;
}

static void apply_delta(uint8_t *page, uint64_t page_bytes, struct input *input)
{
	CHECK(take_number(input, 1) == 1);
	size_t bytes = take_number(input, 2), at = 0;
	struct input delta = { .data = take(input, bytes), .bytes = bytes };

	CHECK(bytes <= page_bytes);
	while (delta.at < delta.bytes) {
		bool first = delta.at == 0;
		size_t same = take_run(&delta), different = take_run(&delta);

		CHECK((same > 0 || first) && different > 0);
		CHECK(at + same + different <= page_bytes);
		memcpy(page + at + same, take(&delta, different), different);
		at += same + different;
	}
}

static void apply_compressed(uint8_t *page, uint64_t page_bytes, struct input *input)
{
	size_t bytes = take_number(input, 4);
	uLongf room = page_bytes;

	CHECK(uncompress(page, &room, take(input, bytes), bytes) == Z_OK && room == page_bytes);
}

static void apply_pages(struct ram_model *model, struct input *input, uint64_t address,
			unsigned flags)
{
	uint64_t bytes = model->page_bytes;

	if (!(flags & 0x20))
		model->last = take_region(model, input);
	CHECK(model->last >= 0);
	struct model_region *region = &model->regions[model->last];

	if (flags & 0x04)
		bytes = take_u64(input);
	else if (flags & 0x02)
		CHECK(*take(input, 1) == 0);
	CHECK(address <= region->used && bytes <= region->used - address);
	if (flags & 0x40)
		apply_delta(region->bytes + address, bytes, input);
	else if (flags & 0x100)
		apply_compressed(region->bytes + address, bytes, input);
	else if (flags & 0x02)
		memset(region->bytes + address, 0, bytes);
	else
		memcpy(region->bytes + address, take(input, bytes), bytes);
}

size_t ram_model_body(struct ram_model *model, const uint8_t *data, size_t bytes)
{
	struct input input = { .data = data, .bytes = bytes };

	for (;;) {
		uint64_t word = take_u64(&input);
		unsigned flags = (unsigned)(word & (model->page_bytes - 1));

		if (flags & 0x10)
			return input.at;
		if (flags & 0x14a)
			apply_pages(model, &input, word - flags, flags);
		else if (flags & 0x04)
			apply_list(model, &input, word - flags);
		else
			CHECK((flags & ~0x20u) == 0x200);
	}
}
