/* SPDX-License-Identifier: MIT */
/*
 * Bodies of the "ram" section: nothing outside the regions is written, what is accepted has put the
 * same bytes into memory as the plain model, and that memory survives a save and a load.
 *
 * Input: a byte of options, then bodies.
 */
#include "fuzz/check.h"
#include "fuzz/ram_model.h"
#include "load/load.h"
#include "support/guarded_memory.h"

#include <stdbool.h>
#include <errno.h>
#include <string.h>

#define OPTION_PAGE_SIZES 0x03
#define OPTION_RUNS 0x04
#define OPTION_IGNORE_SHARED 0x08
#define OPTION_FRESH 0x10
#define OPTION_ANNOUNCE 0x20
#define OPTION_RESIZABLE 0x40
#define OPTION_IGNORED_REGION 0x80 /* with OPTION_IGNORE_SHARED */
#define OPTION_COMPRESS 0x80       /* without it */

#define REGION_PAGES 4
#define MAX_PAGES 6
#define PAGE_MAX 65536u
#define PAGE_SIZES 4
#define IGNORED_ADDRESS 0x1000u

/* Made once; each run begins with reset memory. */
static struct guarded_memory memories[PAGE_SIZES][MODEL_REGIONS];
static uint8_t *shadows[MODEL_REGIONS];

struct loader {
	struct rs_state *state;
	struct guarded_memory *memories; /* of this page size */
	struct ram_model model;
	unsigned options;
};

static const uint32_t page_sizes[PAGE_SIZES] = { 1024, 4096, 16384, PAGE_MAX };

static void make_memory(void)
{
	for (int i = 0; i < MODEL_REGIONS && shadows[i] == NULL; i++) {
		for (int size = 0; size < PAGE_SIZES; size++)
			CHECK(guarded_memory_init(&memories[size][i],
						  MAX_PAGES * page_sizes[size]) == 0);
		shadows[i] = malloc(MAX_PAGES * PAGE_MAX);
		CHECK(shadows[i] != NULL);
	}
}

static int add_region(struct loader *loader, const char *name, uint64_t used, uint64_t max,
		      uint32_t flags)
{
	int index = loader->model.region_count++;
	struct guarded_memory *memory = &loader->memories[index];
	struct model_region *region = &loader->model.regions[index];
	struct rs_region_config config = {
		.size = sizeof(config),
		.name = name,
		.host = memory->data,
		.used_bytes = used,
		.max_bytes = max,
		.guest_address = IGNORED_ADDRESS,
		.flags = flags,
	};

	guarded_memory_reset(memory, max);
	/* A page with content, one that was written and is zero, holes. */
	if (!(flags & RS_REGION_FRESH)) {
		uint32_t page = loader->model.page_bytes;

		memset(memory->data, 0x5a, page);
		memset(memory->data + 3 * page, 0xa5, page);
		memory->data[page] = 0;
	}
	snprintf(region->name, sizeof(region->name), "%s", name);
	region->bytes = shadows[index];
	region->used = used;
	memcpy(region->bytes, memory->data, max);
	return rs_region_add(loader->state, &config, NULL);
}

static int announced(void *opaque, const char *name, uint64_t used_bytes)
{
	struct loader *loader = opaque;

	if (loader->model.region_count == MODEL_REGIONS)
		return -ENOSPC;
	if (used_bytes > MAX_PAGES * loader->model.page_bytes)
		return -E2BIG;
	return add_region(loader, name, used_bytes, used_bytes, RS_REGION_FRESH);
}

static void open_state(struct loader *loader, uint8_t options)
{
	uint32_t page = page_sizes[options & OPTION_PAGE_SIZES];
	const struct rs_state_config config = { .size = sizeof(config), .target_page_bytes = page };

	*loader = (struct loader){ .options = options,
				   .memories = memories[options & OPTION_PAGE_SIZES] };
	loader->model.page_bytes = page;
	loader->model.last = -1;
	loader->model.with_address = (options & OPTION_IGNORE_SHARED) != 0;
	CHECK(rs_state_create(&config, &loader->state) == 0);
	if (options & OPTION_IGNORE_SHARED)
		CHECK(rs_param_set(loader->state, "x-ignore-shared", "on") == 0);
	else if (options & OPTION_COMPRESS)
		CHECK(rs_param_set(loader->state, "compress", "on") == 0);
	CHECK(add_region(loader, "a", REGION_PAGES * page, MAX_PAGES * page,
			 options & OPTION_RESIZABLE ? RS_REGION_RESIZABLE : 0) == 0);
	bool ignored = options & OPTION_IGNORE_SHARED && options & OPTION_IGNORED_REGION;

	CHECK(add_region(loader, "b", REGION_PAGES * page, REGION_PAGES * page,
			 (options & OPTION_FRESH ? RS_REGION_FRESH : 0) |
			     (ignored ? RS_REGION_IGNORED : 0)) == 0);
}

static bool intact(const struct loader *loader)
{
	for (int i = 0; i < loader->model.region_count; i++) {
		const struct rs_region *region =
		    rs_region_find(loader->state, loader->model.regions[i].name);

		if (region != NULL &&
		    !guarded_memory_intact(&loader->memories[i], region->max_bytes))
			return false;
	}
	return true;
}

static void compare(const struct loader *loader)
{
	for (int i = 0; i < loader->model.region_count; i++) {
		const struct model_region *model = &loader->model.regions[i];
		const struct rs_region *region = rs_region_find(loader->state, model->name);

		CHECK(region != NULL && rs_region_used_bytes(region) == model->used);
		CHECK(memcmp(rs_region_host(region), model->bytes, region->max_bytes) == 0);
	}
}

/* Number of bodies that were accepted. */
static int load_bodies(struct loader *loader, const uint8_t *data, size_t bytes)
{
	const struct rs_load_ops ops = {
		.size = sizeof(ops),
		.region_announced = loader->options & OPTION_ANNOUNCE ? announced : NULL,
	};
	struct rs_stream *stream;
	int bodies = 0, result;
	size_t at = 0;

	CHECK(rs_stream_from_memory(data, bytes, &stream) == 0);
	CHECK(rs_load_setup(loader->state, &ops, loader) == 0);
	if (loader->options & OPTION_RUNS)
		rs_ram_load_allow_runs(loader->state);
	while (at < bytes && (result = rs_load(loader->state, stream, 4)) == 0) {
		at += ram_model_body(&loader->model, data + at, bytes - at);
		CHECK(at == rs_stream_bytes_read(stream));
		compare(loader);
		bodies++;
	}
	CHECK(intact(loader));
	if (at < bytes) {
		struct rs_error error;

		CHECK(rs_error_get(loader->state, RS_ERROR_OF_MIGRATION, &error) == result);
		CHECK(error.text[0] != '\0');
		CHECK(rs_load(loader->state, stream, 4) == -EINVAL);
	}
	CHECK(rs_load_cleanup(loader->state) == 0);
	rs_stream_close(stream, NULL);
	return at < bytes ? 0 : bodies;
}

static int announced_copy(void *opaque, const char *name, uint64_t used_bytes)
{
	struct rs_state *state = opaque;
	struct rs_region_config config = {
		.size = sizeof(config),
		.name = name,
		.host = aligned_alloc(4096, (used_bytes + 4095) & ~4095ull),
		.used_bytes = used_bytes,
	};

	CHECK(config.host != NULL);
	memset(config.host, 0xee, used_bytes);
	return rs_region_add(state, &config, NULL);
}

static ssize_t save(struct rs_state *state, struct rs_stream *stream, const void **data)
{
	CHECK(rs_save_setup(state, stream) == 0);
	CHECK(rs_save_iterate(state, stream) >= 0);
	CHECK(rs_save_complete(state, stream) == 0);
	rs_save_cleanup(state);
	return rs_stream_memory(stream, data);
}

/* Save what was loaded, and load that over rubbish. */
static void round_trip(struct loader *loader)
{
	const struct rs_state_config config = { .size = sizeof(config),
						.target_page_bytes = loader->model.page_bytes };
	const struct rs_load_ops ops = { .size = sizeof(ops), .region_announced = announced_copy };
	struct rs_stream *out, *in;
	struct rs_state *copy;
	const void *data;

	CHECK(rs_state_create(&config, &copy) == 0);
	if (loader->options & OPTION_COMPRESS)
		CHECK(rs_param_set(copy, "compress", "on") == 0);
	CHECK(rs_stream_to_memory(16u << 20, &out) == 0);
	ssize_t bytes = save(loader->state, out, &data);

	CHECK(bytes > 0);
	CHECK(rs_stream_from_memory(data, (size_t)bytes, &in) == 0);
	CHECK(rs_load_setup(copy, &ops, copy) == 0);
	while (rs_stream_bytes_read(in) < (uint64_t)bytes)
		CHECK(rs_load(copy, in, 4) == 0);
	CHECK(rs_load_cleanup(copy) == 0);
	for (int i = 0; i < loader->model.region_count; i++) {
		const struct model_region *model = &loader->model.regions[i];
		const struct rs_region *region = rs_region_find(copy, model->name);

		CHECK(region != NULL && rs_region_used_bytes(region) == model->used);
		CHECK(memcmp(rs_region_host(region), model->bytes, model->used) == 0);
		free(rs_region_host(region));
	}
	rs_stream_close(in, NULL);
	rs_stream_close(out, NULL);
	rs_state_destroy(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct loader loader;

	if (bytes == 0)
		return 0;
	make_memory();
	open_state(&loader, data[0]);
	int bodies = load_bodies(&loader, data + 1, bytes - 1);

	/* An ignored region, or the addresses of a list, need agreement of both ends. */
	if (bodies > 0 && !(data[0] & OPTION_IGNORE_SHARED))
		round_trip(&loader);
	rs_state_destroy(loader.state);
	return 0;
}
