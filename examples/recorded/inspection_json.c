/* SPDX-License-Identifier: MIT */
#include "recorded/inspection.h"
#include "text/json.h"
#include "files/region_file_name.h"

static void print_features(struct json *json, const struct census *census)
{
	json_open_array(json, "features");
	for (unsigned i = 0; i < census->feature_count; i++)
		json_string(json, NULL, census->features[i]);
	json_close(json);
}

static void print_header(struct json *json, const struct inspection *inspection)
{
	const struct rs_stream_header *header = &inspection->capture.header;
	bool native = header->flags & RS_HEADER_NATIVE;

	if (!inspection->opened) {
		json_null(json, "header");
		return;
	}
	json_open_object(json, "header");
	json_string(json, "form", native ? "native" : "qemu");
	json_string(json, "machine", native ? NULL : header->machine);
	json_number(json, "page-size", header->page_bytes);
	json_string(json, "uuid", header->flags & RS_HEADER_UUID ? header->uuid : NULL);
	json_open_array(json, "capabilities");
	if (header->flags & RS_HEADER_IGNORE_SHARED)
		json_string(json, NULL, "x-ignore-shared");
	if (header->flags & RS_HEADER_MAPPED_RAM)
		json_string(json, NULL, "mapped-ram");
	json_close(json);
	print_features(json, &inspection->capture.census);
	json_close(json);
}

static void print_sections(struct json *json, const struct census *census)
{
	const struct census_entries *sections = &census->sections;

	json_open_array(json, "sections");
	for (size_t i = 0; i < sections->count; i++) {
		const struct census_entry *section = &sections->entry[i];

		json_open_object(json, NULL);
		json_number(json, "stream", section->stream);
		json_number(json, "offset", section->offset);
		json_string(json, "kind", inspection_section_kind(section->number));
		json_number(json, "id", section->id);
		json_string(json, "name", section->name);
		json_number(json, "instance", section->instance);
		json_number(json, "version", section->version);
		json_number(json, "bytes", section->stream_bytes);
		json_number(json, "records", section->records);
		json_close(json);
	}
	json_close(json);
	json_number(json, "sections-left-out", sections->left_out);
	json_number(json, "ram-bodies", census->ram_bodies);
}

/* Those of one command, which begin with number @from. Returns how many. */
static size_t print_operands(struct json *json, const struct census_operands *operands, size_t from,
			     size_t command)
{
	size_t i = from;

	json_open_array(json, "about");
	for (; i < operands->count && operands->operand[i].entry == command; i++) {
		const struct census_operand *operand = &operands->operand[i];

		json_open_object(json, NULL);
		json_string(json, "region", *operand->name ? operand->name : NULL);
		json_number(json, "address", operand->address);
		json_number(json, "bytes", operand->bytes);
		json_close(json);
	}
	json_close(json);
	return i - from;
}

static void print_commands(struct json *json, const struct census *census)
{
	const struct census_entries *commands = &census->commands;
	size_t operands = 0;

	json_open_array(json, "commands");
	for (size_t i = 0; i < commands->count; i++) {
		json_open_object(json, NULL);
		json_number(json, "stream", commands->entry[i].stream);
		json_number(json, "offset", commands->entry[i].offset);
		json_number(json, "number", commands->entry[i].number);
		json_string(json, "name", commands->entry[i].name);
		operands += print_operands(json, &census->operands, operands, i);
		json_close(json);
	}
	json_close(json);
	json_number(json, "commands-left-out", commands->left_out + census->operands.left_out);
}

/* The kinds that came. */
static void print_counts(struct json *json, const struct census_count *counts)
{
	json_open_object(json, "records");
	for (unsigned i = 0; i < CENSUS_KINDS; i++) {
		if (!counts[i].records)
			continue;
		json_open_object(json, rs_record_kind_name((enum rs_record_kind)i));
		json_number(json, "records", counts[i].records);
		json_number(json, "pages", counts[i].pages);
		json_number(json, "bytes", counts[i].stream_bytes);
		json_close(json);
	}
	json_close(json);
}

static void print_region(struct json *json, const struct inspection *inspection,
			 const struct census_region *region)
{
	const struct capture *capture = &inspection->capture;
	const struct census *census = &capture->census;
	char file[REGION_FILE_NAME_BYTES];

	region_file_name(region->name, file);
	json_open_object(json, NULL);
	json_string(json, "name", region->name);
	json_number(json, "bytes", region->bytes);
	if (capture->header.flags & RS_HEADER_IGNORE_SHARED)
		json_number(json, "address", region->address);
	else
		json_null(json, "address");
	json_number(json, "pages", census_pages(census, region));
	json_number(json, "pages-missing", census_missing(census, region));
	print_counts(json, region->kind);
	json_string(json, "file", inspection->saved && region->pages_came ? file : NULL);
	json_close(json);
}

static void print_devices(struct json *json, const struct inspection *inspection)
{
	const struct capture *capture = &inspection->capture;

	json_open_object(json, "device-state");
	json_string(json, "form",
		    capture->census.opaque       ? "opaque"
		    : capture_is_native(capture) ? "sections"
						 : NULL);
	if (capture->census.opaque)
		json_number(json, "offset", capture->census.opaque_offset);
	else
		json_null(json, "offset");
	json_number(json, "bytes", capture->device_bytes);
	json_close(json);
}

/* Where a stream is damaged, as numbers; the sentence is the error's. */
static void print_damage(struct json *json, const struct inspection *inspection)
{
	const struct census *census = &inspection->capture.census;

	if (!census->failed || inspection->complete) {
		json_null(json, "damage");
		return;
	}
	json_open_object(json, "damage");
	json_number(json, "offset", census->failure_offset);
	json_string(json, "section", census->in_section ? census->section.name : NULL);
	if (census->broken) {
		json_string(json, "region", census->broken->name);
		json_number(json, "region-offset", census->last_address);
	} else {
		json_null(json, "region");
		json_null(json, "region-offset");
	}
	json_close(json);
}

static void print_content(struct json *json, const struct inspection *inspection)
{
	const struct census *census = &inspection->capture.census;

	print_sections(json, census);
	print_commands(json, census);
	print_counts(json, census->kind);
	json_number(json, "rounds", census->rounds);
	json_open_array(json, "regions");
	for (size_t i = 0; i < census->regions; i++)
		if (inspection_shows(inspection, census->region[i]))
			print_region(json, inspection, census->region[i]);
	json_close(json);
	print_devices(json, inspection);
	json_number(json, "bytes", inspection->capture.stream_bytes);
	if (inspection->read_on)
		json_number(json, "bytes-behind", inspection->behind);
	else
		json_null(json, "bytes-behind");
}

void inspection_print_json(const struct inspection *inspection)
{
	struct json json = { .out = stdout };

	json_open_object(&json, NULL);
	json_string(&json, "program", inspection->options->program_name);
	json_string(&json, "version", rs_version_text());
	json_string(&json, "input", inspection->options->input);
	json_open_array(&json, "resumed");
	for (unsigned i = 0; i < inspection->capture.resumes; i++)
		json_string(&json, NULL, inspection->options->resume[i]);
	json_close(&json);
	json_string(&json, "packed", inspection->capture.input.packed ? "gzip" : NULL);
	json_bool(&json, "whole", inspection->complete);
	json_string(&json, "error", inspection->error.text);
	print_damage(&json, inspection);
	print_header(&json, inspection);
	print_content(&json, inspection);
	json_close(&json);
}
