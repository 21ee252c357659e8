/* SPDX-License-Identifier: MIT */
#include "wire/header.h"

#include "base/bytes.h"
#include "wire/reader.h"

#include <string.h>

#define SUBSECTION_VERSION 1u
#define PAGE_BITS_NAME "configuration/target-page-bits"
#define CAPABILITIES_NAME "configuration/capabilities"
#define UUID_NAME "configuration/uuid"
#define IGNORE_SHARED_NAME "x-ignore-shared"
#define MAPPED_RAM_NAME "mapped-ram"

/* Bounded by what a machine can have of them; QEMU knows two. */
#define CAPABILITIES_MAX 64u

/* ---- out ----------------------------------------------------------------------------------- */

static uint8_t *put_u32(uint8_t *at, uint32_t value)
{
	rs_put_be32(at, value);
	return at + 4;
}

static uint8_t *put_bytes(uint8_t *at, const void *data, size_t bytes)
{
	memcpy(at, data, bytes);
	return at + bytes;
}

static uint8_t *put_name(uint8_t *at, const char *name)
{
	*at++ = (uint8_t)strlen(name);
	return put_bytes(at, name, strlen(name));
}

static uint8_t *put_subsection(uint8_t *at, const char *name)
{
	*at++ = RS_OUTER_SUBSECTION;
	return put_u32(put_name(at, name), SUBSECTION_VERSION);
}

size_t rs_header_write(uint8_t *to, const struct rs_header *header)
{
	uint8_t *at = put_u32(put_u32(to, RS_OUTER_MAGIC), RS_OUTER_VERSION);

	*at++ = RS_OUTER_CONFIGURATION;
	at = put_u32(at, (uint32_t)strlen(header->machine));
	at = put_bytes(at, header->machine, strlen(header->machine));
	if (header->page_bits != RS_PLAIN_PAGE_BITS)
		at = put_u32(put_subsection(at, PAGE_BITS_NAME), header->page_bits);
	if (header->ignore_shared)
		at =
		    put_name(put_u32(put_subsection(at, CAPABILITIES_NAME), 1), IGNORE_SHARED_NAME);
	if (header->has_uuid)
		at = put_bytes(put_subsection(at, UUID_NAME), header->uuid, RS_UUID_BYTES);
	return (size_t)(at - to);
}

/* ---- in ------------------------------------------------------------------------------------ */

/* Each of these returns 0 also if the bytes have run out; the reader knows. */

static int take_machine(struct rs_reader *reader, struct rs_header *header, struct rs_error *error)
{
	uint32_t bytes = rs_get_be32(rs_reader_take(reader, 4));

	if (bytes > RS_MACHINE_MAX_BYTES)
		return rs_error_setf(error, -EINVAL, "configuration: a machine name of %u bytes",
				     bytes);
	const uint8_t *name = rs_reader_take(reader, bytes);

	if (reader->need != 0)
		return 0;
	memcpy(header->machine, name, bytes);
	if (strlen(header->machine) != bytes)
		return rs_error_setf(error, -EINVAL,
				     "configuration: the machine name contains a zero byte");
	return 0;
}

static int take_name(struct rs_reader *reader, char name[256], const char *what,
		     struct rs_error *error)
{
	uint8_t bytes = *rs_reader_take(reader, 1);
	const uint8_t *data = rs_reader_take(reader, bytes);

	memset(name, 0, 256);
	if (reader->need != 0)
		return 0;
	memcpy(name, data, bytes);
	if (bytes == 0 || strlen(name) != bytes)
		return rs_error_setf(error, -EINVAL,
				     "the name of a %s is empty or contains a zero byte", what);
	return 0;
}

/* Only those are listed which a reader must have. */
static void note_capability(struct rs_header *header, const char name[256])
{
	if (strcmp(name, IGNORE_SHARED_NAME) == 0)
		header->ignore_shared = true;
	else if (strcmp(name, MAPPED_RAM_NAME) == 0)
		header->mapped_ram = true;
	else if (header->unknown[0] == '\0')
		strcpy(header->unknown, name);
}

static int take_capabilities(struct rs_reader *reader, struct rs_header *header,
			     struct rs_error *error)
{
	uint32_t count = rs_get_be32(rs_reader_take(reader, 4));
	char name[256];
	int result = 0;

	if (count > CAPABILITIES_MAX)
		return rs_error_setf(error, -EINVAL, "configuration: a list of %u capabilities",
				     count);
	for (uint32_t i = 0; result == 0 && reader->need == 0 && i < count; i++) {
		result = take_name(reader, name, "capability", error);
		if (result == 0 && reader->need == 0)
			note_capability(header, name);
	}
	return result;
}

static int take_subsection(struct rs_reader *reader, struct rs_header *header,
			   struct rs_error *error)
{
	char name[256];
	int result = take_name(reader, name, "subsection", error);
	uint32_t version = rs_get_be32(rs_reader_take(reader, 4));

	if (result != 0 || reader->need != 0)
		return result;
	if (version != SUBSECTION_VERSION)
		return rs_error_setf(error, -EINVAL, "%s: version %u instead of %u", name, version,
				     SUBSECTION_VERSION);
	if (strcmp(name, CAPABILITIES_NAME) == 0)
		return take_capabilities(reader, header, error);
	if (strcmp(name, PAGE_BITS_NAME) == 0) {
		header->has_page_bits = true;
		header->page_bits = rs_get_be32(rs_reader_take(reader, 4));
		return 0;
	}
	if (strcmp(name, UUID_NAME) != 0)
		return rs_error_setf(error, -EINVAL, "configuration: unknown subsection %s", name);
	const uint8_t *uuid = rs_reader_take(reader, RS_UUID_BYTES);

	header->has_uuid = reader->need == 0;
	if (header->has_uuid)
		memcpy(header->uuid, uuid, RS_UUID_BYTES);
	return 0;
}

static int check_magic(struct rs_reader *reader, struct rs_error *error)
{
	uint32_t magic = rs_get_be32(rs_reader_take(reader, 4));
	uint32_t version = rs_get_be32(rs_reader_take(reader, 4));

	if (reader->need != 0)
		return 0;
	if (magic != RS_OUTER_MAGIC)
		return rs_error_setf(error, -EINVAL,
				     "not a migration stream: it begins with 0x%08x", magic);
	if (version != RS_OUTER_VERSION)
		return rs_error_setf(error, -EINVAL, "stream version %u%s instead of %u", version,
				     version == RS_OUTER_VERSION_OBSOLETE ? " (obsolete)" : "",
				     RS_OUTER_VERSION);
	return 0;
}

/* Everything up to the first byte that belongs to something else. */
static int take_configuration(struct rs_reader *reader, struct rs_header *header,
			      struct rs_error *error)
{
	uint8_t record = *rs_reader_take(reader, 1);
	int result;

	if (reader->need == 0 && record != RS_OUTER_CONFIGURATION)
		return rs_error_setf(error, -EINVAL, "0x%02x stands where the configuration should",
				     record);
	result = take_machine(reader, header, error);
	while (result == 0 && reader->need == 0) {
		struct rs_reader next = *reader;

		record = *rs_reader_take(&next, 1);
		if (next.need == 0 && record != RS_OUTER_SUBSECTION)
			break;
		*reader = next;
		result = take_subsection(reader, header, error);
	}
	return result;
}

int rs_header_parse(const uint8_t *data, size_t have, struct rs_header *header, size_t *need,
		    struct rs_error *error)
{
	struct rs_reader reader = { .at = data, .left = have };

	*header = (struct rs_header){ .page_bits = RS_PLAIN_PAGE_BITS };
	int result = check_magic(&reader, error);

	if (result == 0 && reader.need == 0)
		result = take_configuration(&reader, header, error);
	*need = reader.need;
	if (result != 0)
		return result;
	return reader.need != 0 ? 0 : (int)reader.taken;
}
