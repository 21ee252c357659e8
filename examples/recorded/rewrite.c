/* SPDX-License-Identifier: MIT */
#include "recorded/rewrite.h"
#include "text/fail.h"
#include "text/utf8.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define CHANNEL_MS 10000u
#define CONNECT_MS 1000u
#define RETRY_MS 100

struct sending {
	const struct options *options;
	struct rs_state *state;
	const void *devices;
	size_t bytes;
	/* postcopy that breaks */
	char told[sizeof(((struct rs_error *)NULL)->text)]; /* why, last */
	bool lost;
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

/* Once for each reason: who is to be connected to may not listen yet, for a while. */
static void tell_pause(struct sending *sending, const char *why)
{
	if (strcmp(why, sending->told))
		utf8_report(sending->options->program_name,
			    rs_status_name(RS_STATUS_POSTCOPY_PAUSED), why);
	else
		poll(NULL, 0, RETRY_MS);
	snprintf(sending->told, sizeof(sending->told), "%s", why);
}

static void take_pause(struct sending *sending, const char *why)
{
	const char *address = sending->options->recover;

	tell_pause(sending, why);
	if (address && !rs_migrate_recover_connect(sending->state, address, CONNECT_MS))
		return;
	sending->lost = true;
	rs_migrate_resolve(sending->state, RS_RESOLVE_DISCARD);
}

static void vm_event(void *opaque, const struct rs_event *event)
{
	struct sending *sending = opaque;

	/* At once: nothing would be won by sending anything before. */
	if (event->type == RS_EVENT_PASS && sending->options->postcopy)
		rs_migrate_start_postcopy(sending->state);
	if (event->type == RS_EVENT_STATUS && event->status == RS_STATUS_POSTCOPY_PAUSED)
		take_pause(sending, event->text);
}

static int vm_open_channel(void *opaque, struct rs_stream **stream)
{
	struct sending *sending = opaque;
	struct rs_error error = { 0 };
	int ret = rs_stream_connect(sending->options->output, CHANNEL_MS, stream, &error);

	return fail_migration(sending->state, ret, &error);
}

static const struct rs_vm_ops vm_ops = {
	.size = sizeof(struct rs_vm_ops),
	.stop = vm_do_nothing,
	.resume = vm_resume,
	.save_devices = vm_save_devices,
	.event = vm_event,
	.open_channel = vm_open_channel,
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
	sending->state = state;
	ret = rs_migrate_out(state, out, &vm_ops, sending);
	if (sending->lost)
		ret =
		    fail(error, -ENOTCONN, "the connection broke in postcopy: %s%s", sending->told,
			 sending->options->recover
			     ? ""
			     : " (--recover ADDRESS goes on over another connection)");
	else if (ret)
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
	struct sending sending = { .options = capture->options,
				   .devices = devices,
				   .bytes = bytes };
	struct rs_state *state;
	int ret = rs_state_create(&config, &state);

	*rewrite = (struct rewrite){ 0 };
	if (!ret) {
		ret = send_all(rewrite, state, capture, &sending, out, error);
		rs_state_destroy(state);
	}
	return ret ? fail(error, ret, "writing the stream: %s", strerror(-ret)) : 0;
}
