/* SPDX-License-Identifier: MIT */
#include "recorded/rewrite.h"
#include "text/fail.h"

#include <string.h>

struct sending {
	const void *devices;
	size_t bytes;
};

/* There is no guest that could be stopped or run. */
static int vm_do_nothing(void *opaque)
{
	(void)opaque;
	return 0;
}

static int vm_resume(void *opaque, enum rs_resume why)
{
	(void)why;
	return vm_do_nothing(opaque);
}

static int vm_save_devices(void *opaque, struct rs_device_writer *writer)
{
	const struct sending *sending = opaque;

	return rs_device_save_opaque(writer, sending->devices, sending->bytes);
}

static const struct rs_vm_ops vm_ops = {
	.size = sizeof(struct rs_vm_ops),
	.stop = vm_do_nothing,
	.resume = vm_resume,
	.save_devices = vm_save_devices,
};

/* The user's parameters first: what the stream said of itself stays as it is. */
static int set_params(struct rs_state *state, const struct capture *capture)
{
	const struct rs_stream_header *header = &capture->header;
	bool ignore_shared = header->flags & RS_HEADER_IGNORE_SHARED;
	int ret = rs_param_set(state, "max-bandwidth", "0");

	options_set_params(capture->options, state);
	if (!ret)
		ret = rs_param_set(state, "machine", header->machine);
	if (!ret)
		ret = rs_param_set(state, "uuid", header->uuid);
	if (!ret)
		ret = rs_param_set(state, "x-ignore-shared", ignore_shared ? "on" : "off");
	return ret;
}

static int add_regions(struct rewrite *rewrite, struct rs_state *state, struct capture *capture,
		       struct rs_error *error)
{
	bool ignore_shared = capture->header.flags & RS_HEADER_IGNORE_SHARED;

	for (unsigned i = 0; i < capture->memory.count; i++) {
		struct memory_block *block = &capture->memory.block[i];
		const struct census_region *region = census_find(&capture->census, block->name);

		block->guest_address = region ? region->address : 0;
		block->ignored = ignore_shared && !census_came(&capture->census, block->name);
		block->fresh = false;
		rewrite->not_sent += block->ignored;
	}
	return memory_register(&capture->memory, 0, state, NULL, error);
}

static int send_all(struct rewrite *rewrite, struct rs_state *state, struct capture *capture,
		    struct sending *sending, struct rs_stream *out, struct rs_error *error)
{
	int ret = set_params(state, capture);

	if (ret)
		rs_error_get(state, RS_ERROR_OF_CALL, error);
	if (!ret)
		ret = add_regions(rewrite, state, capture, error);
	if (ret)
		return ret;
	ret = rs_migrate_out(state, out, &vm_ops, sending);
	if (ret)
		rs_error_get(state, RS_ERROR_OF_MIGRATION, error);
	rewrite->stats.size = sizeof(rewrite->stats);
	rs_stats_get(state, &rewrite->stats);
	rewrite->stream_bytes = rs_stream_bytes_written(out);
	return ret;
}

int rewrite_send(struct rewrite *rewrite, struct capture *capture, const void *devices,
		 size_t bytes, struct rs_stream *out, struct rs_error *error)
{
	const struct rs_state_config config = { .size = sizeof(config),
						.target_page_bytes = capture->header.page_bytes };
	struct sending sending = { devices, bytes };
	struct rs_state *state;
	int ret = rs_state_create(&config, &state);

	*rewrite = (struct rewrite){ 0 };
	if (!ret) {
		ret = send_all(rewrite, state, capture, &sending, out, error);
		rs_state_destroy(state);
	}
	return ret ? fail(error, ret, "writing the stream: %s", strerror(-ret)) : 0;
}
