/* SPDX-License-Identifier: MIT */
/* ramsync-inspect: check a migration stream, show what stands in it, get the memory out of it. */
#include "text/fail.h"
#include "guest/populated.h"
#include "recorded/inspection.h"
#include "recorded/save_regions.h"
#include "text/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int keep_device_state(void *opaque, const void *data, size_t bytes, struct rs_error *error)
{
	struct inspection *inspection = opaque;

	if (!inspection->devices.open)
		return 0;
	return outfile_write(&inspection->devices, data, bytes, error);
}

/* Looking at a guest is no reason to take it: a source that asks is told that it keeps it. */
static int complete(void *opaque, struct rs_error *error)
{
	struct inspection *inspection = opaque;

	inspection->complete = true;
	if (inspection->capture.input.two_way)
		return fail(error, -ECANCELED, "the stream was inspected, and nothing more");
	return 0;
}

static const struct capture_ops ops = { keep_device_state, complete };

/* ---- regions in files ---------------------------------------------------------------------- */

static bool is_wanted(void *opaque, const struct memory_block *block)
{
	const struct inspection *inspection = opaque;
	const struct census_region *region = census_find(&inspection->capture.census, block->name);

	return region && region->pages_came && inspection_shows(inspection, region);
}

static int clear_range(void *opaque, const struct memory_block *block, uint64_t from, uint64_t to)
{
	const struct census *census = opaque;
	uint64_t end = census->last_address + census->last_bytes;

	from = from > census->last_address ? from : census->last_address;
	to = to < end ? to : end;
	if (from < to)
		memset(block->host + from, 0, to - from);
	return 0;
}

/*
 * Pages that are part old and part new are not worth to be kept. Only where there is memory: a
 * record that breaks off may have been about much more than ever came.
 */
static void clear_broken(struct capture *capture)
{
	struct census *census = &capture->census;

	census_drop_broken(census);
	for (unsigned i = 0; census->broken && i < capture->memory.count; i++)
		if (!strcmp(capture->memory.block[i].name, census->broken->name))
			populated_walk(&capture->memory.block[i], clear_range, census);
}

static void extract(struct inspection *inspection)
{
	const struct options *options = inspection->options;
	struct rs_error error = { 0 };

	if (!options->save || (inspection->error.code && !options->keep_going))
		return;
	inspection->saved = !save_regions(&inspection->capture.memory, options->save, is_wanted,
					  inspection, &error);
	if (inspection->saved)
		return;
	/* With --keep-going it is not the first thing that went wrong, which is told at the end. */
	if (inspection->error.code)
		utf8_report(options->program_name, "--extract", error.text);
	fail(&inspection->error, error.code, "--extract: %s", error.text);
}

static void check_region(struct inspection *inspection)
{
	const struct census *census = &inspection->capture.census;
	const char *only = inspection->options->only_region;
	struct rs_error *error = &inspection->error;

	if (!only || !census->regions || census_find(census, only))
		return;
	fail(error, -ENOENT, "--region: there is no region \"%s\", only", only);
	for (size_t i = 0; i < census->regions; i++) {
		size_t length = strlen(error->text);

		snprintf(error->text + length, sizeof(error->text) - length, "%s \"%s\"",
			 i ? "," : "", census->region[i]->name);
	}
}

/* ---- all of it ----------------------------------------------------------------------------- */

static void keep_devices(struct inspection *inspection)
{
	struct outfile *devices = &inspection->devices;

	if (devices->open && !inspection->error.code && !outfile_sync(devices, &inspection->error))
		outfile_publish(devices, &inspection->error);
	outfile_drop(devices);
}

static int open_devices(struct inspection *inspection)
{
	const char *path = inspection->options->devices;

	if (!path)
		return 0;
	if (capture_is_native(&inspection->capture))
		return fail(&inspection->error, -EINVAL,
			    "--devices: the stream is in libramsync's own form, and the device "
			    "state in it is no QEMU's");
	return outfile_open(&inspection->devices, path, &inspection->error);
}

static void read_stream(struct inspection *inspection)
{
	struct capture *capture = &inspection->capture;
	int ret = capture_read(capture, &inspection->error);

	/* The failure that we asked for ourselves. */
	if (ret && inspection->complete && capture->input.two_way)
		inspection->error = (struct rs_error){ 0 };
	if (inspection->error.code) {
		inspection->complete = false;
		clear_broken(capture);
		return;
	}
	if (capture->input.two_way)
		return;
	inspection->read_on =
	    !capture_finish(capture, &inspection->behind, &inspection->error);
	inspection->complete = inspection->read_on;
}

static void inspect(struct inspection *inspection)
{
	const struct options *options = inspection->options;
	int ret = capture_open(&inspection->capture, options, &ops, inspection, &inspection->error);

	inspection->opened = !ret;
	if (ret || open_devices(inspection))
		return;
	read_stream(inspection);
	check_region(inspection);
	keep_devices(inspection);
	extract(inspection);
}

static void print_place(const struct census *census)
{
	fprintf(stderr, "at byte %" PRIu64, census->failure_offset);
	if (census->in_section) {
		fprintf(stderr, ", in section ");
		utf8_print(stderr, census->section.name ? census->section.name : "");
		fprintf(stderr, " from byte %" PRIu64, census->section.offset);
	}
	if (census->broken) {
		fprintf(stderr, ", in region ");
		utf8_print(stderr, census->broken->name);
		fprintf(stderr, " at offset 0x%" PRIx64, census->last_address);
	}
	fprintf(stderr, ": ");
}

/* Where it is damaged; the library's sentence says of what kind the damage is. */
static void print_failure(const struct inspection *inspection)
{
	const struct census *census = &inspection->capture.census;

	if (!inspection->error.code)
		return;
	fprintf(stderr, "%s: ", inspection->options->program_name);
	if (census->failed && !inspection->complete)
		print_place(census);
	utf8_print(stderr, inspection->error.text);
	fprintf(stderr, "\n");
}

/* What a user of --keep-going has to know. */
static void print_missing(const struct inspection *inspection)
{
	const struct census *census = &inspection->capture.census;

	for (size_t i = 0; inspection->options->keep_going && i < census->regions; i++) {
		const struct census_region *region = census->region[i];
		uint64_t missing = census_missing(census, region);

		if (!missing || !inspection_shows(inspection, region))
			continue;
		fprintf(stderr, "%s: region ", inspection->options->program_name);
		utf8_print(stderr, region->name);
		fprintf(stderr, " lacks %" PRIu64 " of its %" PRIu64 " pages\n", missing,
			census_pages(census, region));
	}
}

int main(int argc, char **argv)
{
	struct options options;
	struct inspection inspection = { .options = &options };

	options_parse(&options, PROGRAM_INSPECT, argc, argv);
	inspect(&inspection);
	print_failure(&inspection);
	if (inspection.error.code)
		print_missing(&inspection);
	if (options.json)
		inspection_print_json(&inspection);
	else
		inspection_print_text(&inspection);
	if (fflush(stdout) || ferror(stdout)) {
		utf8_report(options.program_name, NULL, "the report could not be written");
		fail(&inspection.error, -EIO, "standard output");
	}
	outfile_drop(&inspection.devices);
	capture_close(&inspection.capture);
	return inspection.error.code ? EXIT_FAILED : 0;
}
