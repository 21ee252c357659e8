/* SPDX-License-Identifier: MIT */
#include "recorded/inspection.h"
#include "files/region_file_name.h"
#include "text/utf8.h"

#include <inttypes.h>
#include <string.h>

const char *inspection_section_kind(uint32_t number)
{
	static const char *const kinds[] = { "unknown", "start", "part", "end", "full" };

	return number < sizeof(kinds) / sizeof(kinds[0]) ? kinds[number] : kinds[0];
}

bool inspection_shows(const struct inspection *inspection, const struct census_region *region)
{
	const char *only = inspection->options->only_region;

	return !only || !strcmp(only, region->name);
}

static void print_line(const char *label, const char *text)
{
	printf("%-14s", label);
	utf8_print(stdout, text);
	printf("\n");
}

static void print_header(const struct inspection *inspection)
{
	const struct rs_stream_header *header = &inspection->capture.header;
	const struct census *census = &inspection->capture.census;
	bool native = header->flags & RS_HEADER_NATIVE;

	print_line("Stream:", inspection->options->input);
	print_line("Form:", native ? "libramsync's own" : "QEMU's");
	if (!native)
		print_line("Machine:", header->machine);
	printf("%-14s%" PRIu32 " bytes\n", "Pages:", header->page_bytes);
	if (header->flags & RS_HEADER_IGNORE_SHARED)
		print_line("Capability:", "x-ignore-shared");
	if (header->flags & RS_HEADER_MAPPED_RAM)
		print_line("Capability:", "mapped-ram");
	if (header->flags & RS_HEADER_UUID)
		print_line("Uuid:", header->uuid);
	for (unsigned i = 0; i < census->feature_count; i++)
		print_line(i ? "" : "Features:", census->features[i]);
}

/* From @i on: how many are PARTs of one section, which are shown as one. At least 1. */
static size_t parts_from(const struct census_entries *sections, size_t i)
{
	const struct census_entry *first = &sections->entry[i];
	size_t count = 1;

	while (!strcmp(inspection_section_kind(first->number), "part") &&
	       i + count < sections->count && first[count].number == first->number &&
	       first[count].id == first->id && first[count].stream == first->stream)
		count++;
	return count;
}

static void print_parts(const struct census_entry *first, size_t count)
{
	uint64_t bytes = 0, records = 0;

	for (size_t i = 0; i < count; i++) {
		bytes += first[i].stream_bytes;
		records += first[i].records;
	}
	printf("%14" PRIu64 "%14" PRIu64 "%10" PRIu64 "  ", first->offset, bytes, records);
	if (count > 1)
		printf("%zu parts of ", count);
	else
		printf("%s of ", inspection_section_kind(first->number));
	utf8_print(stdout, first->name);
	printf(" (id %" PRIu32 ", instance %" PRIu32 ", version %" PRIu32 ")\n", first->id,
	       first->instance, first->version);
}

/* Offsets are those of one stream. */
static void print_stream(const struct inspection *inspection, const struct census_entries *entries,
			 size_t i)
{
	unsigned stream = entries->entry[i].stream;

	if (stream < 2 || (i && entries->entry[i - 1].stream == stream))
		return;
	printf("in ");
	utf8_print(stdout, inspection->options->resume[stream - 2]);
	printf(":\n");
}

static void print_sections(const struct inspection *inspection,
			   const struct census_entries *sections)
{
	size_t count;

	printf("\nSections:\n%14s%14s%10s\n", "offset", "bytes", "records");
	for (size_t i = 0; i < sections->count; i += count) {
		count = parts_from(sections, i);
		print_stream(inspection, sections, i);
		print_parts(&sections->entry[i], count);
	}
	if (sections->left_out)
		printf("%14s and %" PRIu64 " more\n", "...", sections->left_out);
}

static void print_operand(const struct census_operand *operand)
{
	printf("%30s", "");
	utf8_print(stdout, operand->name);
	if (*operand->name && operand->bytes)
		printf(" from 0x%" PRIx64 " on, ", operand->address);
	if (operand->bytes)
		printf("%" PRIu64 " bytes", operand->bytes);
	printf("\n");
}

static void print_commands(const struct inspection *inspection)
{
	const struct census *census = &inspection->capture.census;
	const struct census_entries *commands = &census->commands;
	const struct census_operands *operands = &census->operands;
	size_t next = 0;

	if (commands->count)
		printf("\nCommands:\n%14s%14s\n", "offset", "number");
	for (size_t i = 0; i < commands->count; i++) {
		print_stream(inspection, commands, i);
		printf("%14" PRIu64 "%14" PRIu32 "  %s\n", commands->entry[i].offset,
		       commands->entry[i].number, commands->entry[i].name);
		for (; next < operands->count && operands->operand[next].entry == i; next++)
			print_operand(&operands->operand[next]);
	}
	if (commands->left_out)
		printf("%14s and %" PRIu64 " more\n", "...", commands->left_out);
}

static void print_records(const struct census *census)
{
	printf("\nRecords:\n%14s%14s%16s\n", "records", "pages", "bytes");
	for (unsigned i = 0; i < CENSUS_KINDS; i++) {
		const struct census_count *kind = &census->kind[i];

		if (kind->records)
			printf("%14" PRIu64 "%14" PRIu64 "%16" PRIu64 "  %s\n", kind->records,
			       kind->pages, kind->stream_bytes,
			       rs_record_kind_name((enum rs_record_kind)i));
	}
}

/* Pages of each kind that came, those that came again included. Compressed ones came in full. */
static void print_region(const struct inspection *inspection, const struct census_region *region)
{
	const struct census *census = &inspection->capture.census;
	const struct census_count *kind = region->kind;
	char file[REGION_FILE_NAME_BYTES];

	printf("%16" PRIu64 "%12" PRIu64 "%12" PRIu64 "%12" PRIu64 "%12" PRIu64 "  ", region->bytes,
	       kind[RS_RECORD_ZERO].pages + kind[RS_RECORD_ZERO_RUN].pages,
	       kind[RS_RECORD_PAGE].pages + kind[RS_RECORD_PAGE_RUN].pages +
		   kind[RS_RECORD_COMPRESSED].pages,
	       kind[RS_RECORD_XBZRLE].pages, census_missing(census, region));
	if (inspection->capture.header.flags & RS_HEADER_IGNORE_SHARED)
		printf("%#14" PRIx64 "  ", region->address);
	utf8_print(stdout, region->name);
	region_file_name(region->name, file);
	if (inspection->saved && !region->pages_came) {
		printf(" (not in the stream: no file)");
	} else if (inspection->saved && strcmp(file, region->name)) {
		printf(" -> ");
		utf8_print(stdout, file);
	}
	printf("\n");
}

static void print_regions(const struct inspection *inspection)
{
	const struct census *census = &inspection->capture.census;
	bool with_address = inspection->capture.header.flags & RS_HEADER_IGNORE_SHARED;

	printf("\nRegions, and pages that came for them:\n%16s%12s%12s%12s%12s", "bytes", "zero",
	       "full", "delta", "missing");
	printf(with_address ? "%16s\n" : "\n", "address");
	for (size_t i = 0; i < census->regions; i++)
		if (inspection_shows(inspection, census->region[i]))
			print_region(inspection, census->region[i]);
	printf("\nScans over them: %" PRIu64 "\n", census->rounds);
}

static void print_devices(const struct capture *capture)
{
	printf("Device state:    ");
	if (capture->census.opaque)
		printf("%" PRIu64 " bytes from %" PRIu64 " on, taken as it stands\n",
		       capture->device_bytes, capture->census.opaque_offset);
	else if (capture->device_bytes)
		printf("%" PRIu64 " bytes, in the full sections above\n", capture->device_bytes);
	else
		printf("none\n");
}

void inspection_print_text(const struct inspection *inspection)
{
	const struct capture *capture = &inspection->capture;

	if (!inspection->opened)
		return;
	print_header(inspection);
	print_sections(inspection, &capture->census.sections);
	print_commands(inspection);
	print_records(&capture->census);
	print_regions(inspection);
	print_devices(capture);
	printf("Length:          %" PRIu64 " bytes%s", capture->stream_bytes,
	       capture->input.packed ? ", unpacked" : "");
	if (inspection->read_on && inspection->behind)
		printf(", and %" PRIu64 " more behind the stream", inspection->behind);
	printf("\n%s\n", inspection->complete ? "The stream is whole." : "The stream is damaged.");
}
