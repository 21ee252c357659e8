/* SPDX-License-Identifier: MIT */
/* ramsync-convert: read a QEMU's stream, and write it anew with each page once. */
#include "text/fail.h"
#include "text/json.h"
#include "files/output.h"
#include "recorded/rewrite.h"
#include "text/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct conversion {
	const struct options *options;
	struct capture capture;
	struct output output;
	uint8_t *devices; /* device state, as it stands */
	size_t devices_bytes;
	size_t devices_room;
	struct rewrite rewrite;
	bool written;
	struct rs_error error;
};

/* The library hands over no more than max-device-state. */
static int keep_device_state(void *opaque, const void *data, size_t bytes, struct rs_error *error)
{
	struct conversion *conversion = opaque;
	size_t needed = conversion->devices_bytes + bytes;

	if (needed > conversion->devices_room) {
		size_t room = 2 * needed;
		uint8_t *grown = realloc(conversion->devices, room);

		if (!grown)
			return fail(error, -ENOMEM, "no memory for %zu bytes of device state",
				    room);
		conversion->devices = grown;
		conversion->devices_room = room;
	}
	memcpy(conversion->devices + conversion->devices_bytes, data, bytes);
	conversion->devices_bytes = needed;
	return 0;
}

static int write_out(struct conversion *conversion, struct rs_error *error)
{
	int ret = rewrite_send(&conversion->rewrite, &conversion->capture, conversion->devices,
			       conversion->devices_bytes, conversion->output.stream, error);

	/* By postcopy the other end has said that it has all of it, maybe over another connection. */
	if (!ret && !conversion->options->postcopy)
		ret = output_finish(&conversion->output, error);
	conversion->written = !ret;
	return ret;
}

/*
 * A source that is to be told that all went well must not be told before. One that is not can be
 * read to the end first, where gzip has its checksum.
 */
static int complete(void *opaque, struct rs_error *error)
{
	struct conversion *conversion = opaque;

	return conversion->capture.input.two_way ? write_out(conversion, error) : 0;
}

static const struct capture_ops ops = { keep_device_state, complete };

static int check_form(struct conversion *conversion)
{
	if (!capture_is_native(&conversion->capture))
		return 0;
	return fail(&conversion->error, -EOPNOTSUPP,
		    "%s is in libramsync's own form: no QEMU's device state is in it, and without "
		    "that it cannot become a QEMU's stream",
		    conversion->options->input);
}

static void convert(struct conversion *conversion)
{
	const struct options *options = conversion->options;
	struct capture *capture = &conversion->capture;
	struct rs_error *error = &conversion->error;
	uint64_t behind;

	if (capture_open(capture, options, &ops, conversion, error) || check_form(conversion) ||
	    output_open(&conversion->output, options->output, error) ||
	    capture_read(capture, error))
		return;
	if (!conversion->written && !input_finish(&capture->input, &behind, error))
		write_out(conversion, error);
}

/* Never sent, for instance because the guest had told its QEMU that they are free. */
static uint64_t pages_missing(const struct conversion *conversion)
{
	const struct census *census = &conversion->capture.census;
	uint64_t missing = 0;

	for (size_t i = 0; i < census->regions; i++)
		missing += census_missing(census, census->region[i]);
	return missing;
}

static void print_json(const struct conversion *conversion, FILE *out)
{
	const struct capture *capture = &conversion->capture;
	const struct rs_stats *stats = &conversion->rewrite.stats;
	struct json json = { .out = out };

	json_open_object(&json, NULL);
	json_string(&json, "program", conversion->options->program_name);
	json_string(&json, "version", rs_version_text());
	json_string(&json, "input", conversion->options->input);
	json_string(&json, "output", conversion->options->output);
	json_bool(&json, "written", conversion->written);
	json_string(&json, "error", conversion->error.text);
	json_string(&json, "machine", capture->header.machine);
	json_number(&json, "page-size", capture->header.page_bytes);
	json_string(&json, "uuid", capture->header.uuid);
	json_number(&json, "regions", capture->memory.count);
	json_number(&json, "regions-not-sent", conversion->rewrite.not_sent);
	json_number(&json, "memory", capture->memory.bytes);
	json_number(&json, "bytes-read", capture->stream_bytes);
	json_number(&json, "bytes-written", conversion->rewrite.stream_bytes);
	json_number(&json, "device-state-bytes", conversion->devices_bytes);
	json_number(&json, "zero-pages", stats->duplicate);
	json_number(&json, "full-pages", stats->normal);
	json_number(&json, "compressed-pages", stats->compress_pages);
	json_number(&json, "pages-missing", pages_missing(conversion));
	json_number(&json, "requests", stats->postcopy_requests);
	json_close(&json);
}

static void print_text(const struct conversion *conversion, FILE *out)
{
	const struct capture *capture = &conversion->capture;
	const struct rewrite *rewrite = &conversion->rewrite;
	const struct rs_stats *stats = &rewrite->stats;

	if (!conversion->written)
		return;
	fprintf(out, "%s: machine ", conversion->options->output);
	utf8_print(out, capture->header.machine);
	fprintf(out, ", %u regions of %" PRIu64 " bytes: %" PRIu64 " full pages",
		capture->memory.count, capture->memory.bytes, stats->normal);
	if (stats->compress_pages)
		fprintf(out, ", %" PRIu64 " compressed", stats->compress_pages);
	fprintf(out,
		" and %" PRIu64 " of zeros; %zu bytes of device state; %" PRIu64
		" bytes instead of %" PRIu64 "\n",
		stats->duplicate, conversion->devices_bytes, rewrite->stream_bytes,
		capture->stream_bytes);
	if (rewrite->not_sent)
		fprintf(out, "%" PRIu64 " regions are listed only, as in %s\n", rewrite->not_sent,
			conversion->options->input);
}

static void report(struct conversion *conversion)
{
	/* Standard output may be where the stream goes. */
	FILE *out = strcmp(conversion->options->output, "-") ? stdout : stderr;
	const char *failure = "the report could not be written";

	if (conversion->error.code)
		utf8_report(conversion->options->program_name, NULL, conversion->error.text);
	if (conversion->options->json)
		print_json(conversion, out);
	else
		print_text(conversion, out);
	if (!fflush(out) && !ferror(out))
		return;
	utf8_report(conversion->options->program_name, NULL, failure);
	fail(&conversion->error, -EIO, "%s", failure);
}

int main(int argc, char **argv)
{
	struct options options;
	struct conversion conversion = { .options = &options };

	options_parse(&options, PROGRAM_CONVERT, argc, argv);
	convert(&conversion);
	report(&conversion);
	output_close(&conversion.output);
	capture_close(&conversion.capture);
	free(conversion.devices);
	return conversion.error.code ? EXIT_FAILED : 0;
}
