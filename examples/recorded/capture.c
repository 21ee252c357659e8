/* SPDX-License-Identifier: MIT */
#include "recorded/capture.h"
#include "text/fail.h"
#include "text/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- what the migration asks for ----------------------------------------------------------- */

static int vm_region_announced(void *opaque, const char *name, uint64_t used_bytes)
{
	struct capture *capture = opaque;
	struct memory *memory = &capture->memory;
	struct rs_error error = { 0 };
	int ret = memory_add_announced(memory, name, used_bytes, capture->options->max_memory_bytes,
				       &error);

	if (!ret)
		ret = memory_register(memory, memory->count - 1, capture->state, NULL, &error);
	return fail_migration(capture->state, ret, &error);
}

static int vm_load_opaque(void *opaque, const void *data, size_t bytes)
{
	struct capture *capture = opaque;
	struct rs_error error = { 0 };
	int ret = capture->ops->device_state(capture->opaque, data, bytes, &error);

	capture->device_bytes += bytes;
	return fail_migration(capture->state, ret, &error);
}

/* The native form says how long device state is, so it can be left out. */
static int vm_load_device(void *opaque, const struct rs_device_section *section,
			  struct rs_stream *body)
{
	struct capture *capture = opaque;

	capture->device_bytes += section->bytes;
	return rs_stream_skip(body, section->bytes);
}

static int vm_resume(void *opaque, enum rs_resume why)
{
	struct capture *capture = opaque;
	struct rs_error error = { 0 };
	int ret = 0;

	(void)why;
	/* Before the library closes it. */
	if (capture->resumes)
		ret = input_read_rest(&capture->resumed, &capture->behind, &error);
	if (!ret)
		ret = capture->ops->complete(capture->opaque, &error);
	return fail_migration(capture->state, ret, &error);
}

static void vm_observe(void *opaque, const struct rs_observation *seen)
{
	struct capture *capture = opaque;

	census_observe(&capture->census, seen);
}

/* Open the next recording, and have the library go on with it. */
static int go_on(struct capture *capture, struct rs_error *error)
{
	const struct options *options = capture->options;
	struct input *input = &capture->resumed;
	int ret =
	    input_open(input, options->program_name, options->resume[capture->resumes++], error);

	if (!ret && input->two_way)
		ret = fail(error, -EINVAL, "--resume %s: this is no recording", input->where);
	if (!ret)
		ret = rs_migrate_recover(capture->state, input->stream);
	if (ret) {
		input_close(input);
		return fail(error, ret, "%s: %s", input->where, strerror(-ret));
	}
	census_next_stream(&capture->census);
	return 0;
}

/* A postcopy of which no more is there ends here; see explain(). */
static void take_break(struct capture *capture, const char *why)
{
	struct rs_error *error = &capture->why_broken;

	*error = (struct rs_error){ 0 };
	if (capture->resumes < capture->options->resumes) {
		if (!go_on(capture, error))
			return;
	} else {
		fail(error, -ENODATA,
		     "postcopy breaks off: %s (--resume goes on with another recording)", why);
	}
	rs_migrate_resolve(capture->state, RS_RESOLVE_DISCARD);
}

static void vm_event(void *opaque, const struct rs_event *event)
{
	struct capture *capture = opaque;

	if (event->type == RS_EVENT_WARNING)
		utf8_report(capture->options->program_name, "warning", event->text);
	else if (event->type == RS_EVENT_STATUS && event->status == RS_STATUS_POSTCOPY_PAUSED)
		take_break(capture, event->text);
}

static const struct rs_vm_ops vm_ops = {
	.size = sizeof(struct rs_vm_ops),
	.resume = vm_resume,
	.load_device = vm_load_device,
	.region_announced = vm_region_announced,
	.event = vm_event,
	.load_opaque = vm_load_opaque,
	.observe = vm_observe,
};

/* ---- opening ------------------------------------------------------------------------------- */

static int peek_header(struct capture *capture, struct rs_error *error)
{
	int ret;

	capture->header.size = sizeof(capture->header);
	ret = rs_stream_peek_header(capture->input.stream, &capture->header, error);
	if (ret)
		input_explain(&capture->input, error);
	return ret;
}

static int create_state(struct capture *capture, struct rs_error *error)
{
	const struct rs_state_config config = { .size = sizeof(config),
						.target_page_bytes = capture->header.page_bytes };
	bool ignore_shared = capture->header.flags & RS_HEADER_IGNORE_SHARED;
	int ret = rs_state_create(&config, &capture->state);

	if (ret)
		return fail(error, ret, "pages of %u bytes: %s", config.target_page_bytes,
			    strerror(-ret));
	rs_param_set(capture->state, "x-ignore-shared", ignore_shared ? "on" : "off");
	rs_param_set(capture->state, "compress", "on");
	if (capture_is_recording(capture))
		rs_param_set(capture->state, "lax", "on");
	options_set_params(capture->options, capture->state);
	/* There --compress is about what is written. */
	if (capture->options->program == PROGRAM_CONVERT)
		rs_param_set(capture->state, "compress", "on");
	return 0;
}

int capture_open(struct capture *capture, const struct options *options,
		 const struct capture_ops *ops, void *opaque, struct rs_error *error)
{
	int ret;

	*capture = (struct capture){ .options = options, .ops = ops, .opaque = opaque };
	ret = input_open(&capture->input, options->program_name, options->input, error);
	if (!ret)
		ret = peek_header(capture, error);
	if (!ret)
		ret = create_state(capture, error);
	census_init(&capture->census, ret ? 4096 : capture->header.page_bytes);
	return ret;
}

/* ---- reading ------------------------------------------------------------------------------- */

/* The library's sentence, and what was wrong with the packing. */
static int explain(struct capture *capture, int ret, struct rs_error *error)
{
	if (capture->why_broken.code)
		*error = capture->why_broken;
	else
		rs_error_get(capture->state, RS_ERROR_OF_MIGRATION, error);
	fail(error, ret, "%s", strerror(-ret));
	input_explain(&capture->input, error);
	return ret;
}

static uint64_t wire_bytes(const struct capture *capture)
{
	struct rs_stats stats = { .size = sizeof(stats) };

	if (!capture->resumes)
		return rs_stream_bytes_read(capture->input.stream);
	rs_stats_get(capture->state, &stats);
	return stats.wire_bytes;
}

int capture_read(struct capture *capture, struct rs_error *error)
{
	struct rs_stream *stream = capture->input.stream;
	int ret = rs_migrate_in(capture->state, stream, &vm_ops, capture);

	capture->stream_bytes = wire_bytes(capture);
	/* It was closed. */
	capture->resumed = (struct input){ 0 };
	if (ret)
		return explain(capture, ret, error);
	if (capture->census.out_of_memory)
		return fail(error, -ENOMEM, "out of memory");
	return 0;
}

void capture_close(struct capture *capture)
{
	input_close(&capture->input);
	rs_state_destroy(capture->state);
	memory_destroy(&capture->memory);
	census_fini(&capture->census);
}

bool capture_is_native(const struct capture *capture)
{
	return capture->header.flags & RS_HEADER_NATIVE;
}

bool capture_is_recording(const struct capture *capture)
{
	return capture->options->program == PROGRAM_INSPECT && !capture->input.two_way &&
	       capture->header.flags & RS_HEADER_RETURN_PATH;
}

int capture_finish(struct capture *capture, uint64_t *behind, struct rs_error *error)
{
	*behind = capture->behind;
	return capture->resumes ? 0 : input_finish(&capture->input, behind, error);
}
