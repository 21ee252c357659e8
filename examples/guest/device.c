/* SPDX-License-Identifier: MIT */
#include "guest/device.h"
#include "text/fail.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The stand-in has no more regions; a stream that says so is not ours. */
#define PIECES_MAX 4096u

static void put_body(const struct writers *writers, struct rs_stream *out)
{
	const struct writers_config *config = writers_config(writers);
	const struct workset *set = writers_workset(writers);

	rs_stream_put_be32(out, config->count);
	rs_stream_put_be64(out, config->dirty_rate);
	rs_stream_put_be32(out, set->count);
	for (unsigned i = 0; i < set->count; i++) {
		const char *name = rs_region_name(set->piece[i].region);
		size_t length = strlen(name);

		rs_stream_put_u8(out, (uint8_t)length);
		rs_stream_put_bytes(out, name, length);
		rs_stream_put_be64(out, set->piece[i].offset);
		rs_stream_put_be64(out, set->piece[i].pages);
	}
	for (unsigned i = 0; i < config->count; i++)
		rs_stream_put_be64(out, writers_steps(writers, i));
}

int device_save(const struct writers *writers, struct rs_device_writer *out, struct rs_error *error)
{
	const struct rs_device_section section = { .name = DEVICE_NAME, .version = DEVICE_VERSION };
	struct rs_stream *buffer;
	const void *data;
	ssize_t bytes;
	int ret;

	ret = rs_stream_to_memory(8u << 20, &buffer);
	if (ret)
		return fail(error, ret, "device state: %s", strerror(-ret));
	put_body(writers, buffer);
	bytes = rs_stream_memory(buffer, &data);
	ret = bytes < 0 ? (int)bytes : rs_device_save(out, &section, data, (size_t)bytes);
	rs_stream_close(buffer, NULL);
	return ret;
}

static int get_pieces(struct rs_state *state, struct rs_stream *body, struct workset *set,
		      struct rs_error *error)
{
	uint32_t pieces = rs_stream_get_be32(body);

	if (pieces > PIECES_MAX)
		return fail(error, -EINVAL, "device state: %u pieces of working set", pieces);
	while (pieces--) {
		char name[RS_REGION_NAME_BYTES] = "";
		uint8_t length = rs_stream_get_u8(body);
		uint64_t offset, pages;
		int ret;

		rs_stream_get_bytes(body, name, length);
		offset = rs_stream_get_be64(body);
		pages = rs_stream_get_be64(body);
		if (rs_stream_error(body, error))
			return error->code;
		ret = workset_add(set, state, name, offset, pages, error);
		if (ret)
			return ret;
	}
	return 0;
}

static int get_writers(struct rs_stream *body, struct writers_config *config, struct workset *set,
		       struct writers **writers, struct rs_error *error)
{
	uint64_t *steps = calloc(config->count, sizeof(*steps));
	int ret;

	if (!steps)
		return fail(error, -ENOMEM, "device state: out of memory");
	for (unsigned i = 0; i < config->count; i++)
		steps[i] = rs_stream_get_be64(body);
	ret = rs_stream_error(body, error);
	if (!ret)
		ret = writers_create(config, set, steps, writers, error);
	free(steps);
	return ret;
}

int device_load(struct rs_state *state, struct rs_stream *body, struct writers **writers,
		struct rs_error *error)
{
	struct writers_config config = { .state = state };
	struct workset set = { 0 };
	int ret;

	config.count = rs_stream_get_be32(body);
	config.dirty_rate = rs_stream_get_be64(body);
	if (!config.count || config.count > WRITERS_MAX)
		ret = fail(error, -EINVAL, "device state: %u writers", config.count);
	else
		ret = get_pieces(state, body, &set, error);
	if (!ret)
		ret = get_writers(body, &config, &set, writers, error);
	workset_fini(&set);
	return ret;
}
