/* SPDX-License-Identifier: MIT */
#include "migrate/device_state.h"

#include "base/checked.h"
#include "migrate/handshake.h"
#include "migrate/opaque_devices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rs_device_writer {
	struct rs_migration *migration;
	struct rs_stream *stream;
	FILE *json; /* NULL in native mode */
	unsigned count;
	bool opaque;              /* all of it was written as it stands */
	char *opaque_description; /* the description that came with that, or NULL */
};

static uint64_t max_bytes(const struct rs_migration *migration)
{
	return rs_params_number(&migration->state->params, RS_PARAM_MAX_DEVICE_STATE);
}

/* ---- saving -------------------------------------------------------------------------------- */

static void put_json_string(FILE *json, const char *text)
{
	fputc('"', json);
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			fprintf(json, "\\%c", *text);
		else if ((unsigned char)*text < ' ')
			fprintf(json, "\\u%04x", (unsigned char)*text);
		else
			fputc(*text, json);
	}
	fputc('"', json);
}

static void describe(struct rs_device_writer *writer, const struct rs_device_section *section,
		     size_t bytes)
{
	FILE *json = writer->json;

	writer->count++;
	if (json == NULL)
		return;
	fprintf(json, "%s{\"name\": ", writer->count > 1 ? ", " : "");
	put_json_string(json, section->name);
	fprintf(json, ", \"instance_id\": %u, \"vmsd_name\": ", section->instance);
	put_json_string(json, section->name);
	fprintf(json,
		", \"version\": %u, \"fields\": [{\"name\": \"body\", \"type\": \"buffer\", "
		"\"size\": %zu}]}",
		section->version, bytes);
}

int rs_device_save(struct rs_device_writer *writer, const struct rs_device_section *section,
		   const void *data, size_t bytes)
{
	struct rs_migration *migration = writer->migration;
	struct rs_state *state = migration->state;
	size_t name_bytes = section->name != NULL ? strlen(section->name) : 0;
	struct rs_section header = { .id = migration->next_section_id,
				     .instance = section->instance,
				     .version = section->version };

	if (name_bytes == 0 || name_bytes > 255 || strcmp(section->name, RS_RAM_SECTION_NAME) == 0)
		return rs_session_fail(state, -EINVAL,
				       "a device section needs a name of 1 to 255 bytes other than "
				       "'%s'",
				       RS_RAM_SECTION_NAME);
	if (writer->opaque)
		return rs_session_fail(state, -EINVAL,
				       "device section %s comes behind the end of the device state",
				       section->name);
	if (bytes > max_bytes(migration))
		return rs_session_fail(state, -E2BIG,
				       "device section %s: %zu bytes are more than "
				       "max-device-state",
				       section->name, bytes);
	migration->next_section_id++;
	memcpy(header.name, section->name, name_bytes);
	rs_outer_put_section(writer->stream, RS_OUTER_SECTION_FULL, &header);
	if (migration->native)
		rs_stream_put_be64(writer->stream, bytes);
	rs_stream_put_bytes(writer->stream, data, bytes);
	rs_outer_put_footer(writer->stream, header.id);
	describe(writer, section, bytes);
	return rs_session_check_stream(state, writer->stream);
}

int rs_device_save_opaque(struct rs_device_writer *writer, const void *data, size_t bytes)
{
	struct rs_migration *migration = writer->migration;
	struct rs_state *state = migration->state;

	if (migration->native)
		return rs_session_fail(state, -EOPNOTSUPP,
				       "device state of QEMU's has no place in libramsync's own "
				       "form of the stream");
	if (writer->count > 0 || writer->opaque)
		return rs_session_fail(state, -EINVAL,
				       "device state that ends the stream comes behind other "
				       "device state");
	if (bytes > max_bytes(migration))
		return rs_session_fail(state, -E2BIG,
				       "%zu bytes of device state are more than max-device-state",
				       bytes);
	writer->opaque = true;
	return rs_opaque_devices_save(migration, writer->stream, data, bytes,
				      &writer->opaque_description);
}

static int save_all(struct rs_device_writer *writer)
{
	struct rs_migration *migration = writer->migration;
	struct rs_state *state = migration->state;

	if (migration->vm.save_devices == NULL)
		return 0;
	int result = migration->vm.save_devices(migration->opaque, writer);

	if (result < 0)
		return rs_session_fail(state, result, "the VMM failed to save its device state");
	return rs_session_code(state);
}

int rs_device_state_save(struct rs_migration *migration, struct rs_stream *stream,
			 char **description)
{
	struct rs_device_writer writer = { .migration = migration, .stream = stream };
	size_t bytes;

	*description = NULL;
	if (migration->native)
		return save_all(&writer);
	writer.json = open_memstream(description, &bytes);
	if (writer.json == NULL)
		return rs_session_fail(migration->state, -ENOMEM,
				       "no memory to describe the device state");
	fprintf(writer.json, "{\"page_size\": %u, \"devices\": [", migration->state->page_bytes);
	int result = save_all(&writer);

	fprintf(writer.json, "]}");
	if (fclose(writer.json) != 0 && result == 0)
		result = rs_session_fail(migration->state, -ENOMEM,
					 "no memory to describe the device state");
	if (writer.opaque) {
		free(*description);
		*description = writer.opaque_description;
	}
	return result;
}

/* ---- loading ------------------------------------------------------------------------------- */

/* Memory grows with what has arrived, not with what is claimed. */
#define STEP_BYTES (1u << 20)

int rs_device_state_get_bytes(struct rs_migration *migration, struct rs_stream *stream,
			      const char *what, uint64_t bytes, uint8_t **data)
{
	struct rs_state *state = migration->state;
	uint64_t have = 0;

	*data = NULL;
	if (bytes > max_bytes(migration))
		return rs_session_fail(state, -E2BIG,
				       "%s: %llu bytes are more than max-device-state", what,
				       (unsigned long long)bytes);
	while (have < bytes) {
		uint64_t step = rs_min_u64(bytes - have, STEP_BYTES);
		uint8_t *grown = realloc(*data, (size_t)(have + step));

		if (grown == NULL)
			return rs_session_fail(state, -ENOMEM, "%s: no memory for %llu bytes", what,
					       (unsigned long long)bytes);
		*data = grown;
		rs_stream_get_bytes(stream, grown + have, (size_t)step);
		if (rs_session_check_stream(state, stream) != 0)
			return rs_session_code(state);
		have += step;
	}
	return 0;
}

static int call_vmm(struct rs_migration *migration, const struct rs_device_section *section,
		    struct rs_stream *body)
{
	struct rs_state *state = migration->state;
	int result = migration->vm.load_device(migration->opaque, section, body);
	struct rs_error cause = { 0 };

	rs_stream_error(body, &cause);
	if (result < 0)
		return rs_session_fail(state, result,
				       "device section %s, instance %u, version %u: the VMM failed "
				       "to load it%s%s",
				       section->name, section->instance, section->version,
				       cause.code != 0 ? ": " : "", cause.text);
	return rs_session_check_stream(state, body);
}

static int load_with_length(struct rs_migration *migration, struct rs_stream *from,
			    struct rs_device_section *section)
{
	struct rs_state *state = migration->state;
	struct rs_stream *stream;
	uint8_t *body;

	section->bytes = rs_stream_get_be64(from);
	int result = rs_session_check_stream(state, from);

	if (result != 0)
		return result;
	char what[300];

	snprintf(what, sizeof(what), "device section %s", section->name);
	result = rs_device_state_get_bytes(migration, from, what, section->bytes, &body);
	if (result == 0 && rs_stream_from_memory(body, (size_t)section->bytes, &stream) != 0)
		result =
		    rs_session_fail(state, -ENOMEM, "device section %s: no memory", section->name);
	else if (result == 0) {
		result = call_vmm(migration, section, stream);
		if (result == 0 && rs_stream_bytes_read(stream) != section->bytes)
			result = rs_session_fail(state, -EINVAL,
						 "device section %s: the VMM read %llu of %llu "
						 "bytes",
						 section->name,
						 (unsigned long long)rs_stream_bytes_read(stream),
						 (unsigned long long)section->bytes);
		rs_stream_close(stream, NULL);
	}
	free(body);
	return result;
}

int rs_device_state_load(struct rs_migration *migration, struct rs_stream *stream,
			 const struct rs_section *header)
{
	struct rs_device_section section = { .name = header->name,
					     .instance = header->instance,
					     .version = header->version,
					     .bytes = RS_LENGTH_UNKNOWN };

	if (migration->vm.load_device == NULL)
		return rs_session_fail(migration->state, -EOPNOTSUPP,
				       "device section %s: this VMM loads no device state",
				       header->name);
	if (migration->native)
		return load_with_length(migration, stream, &section);
	return call_vmm(migration, &section, stream);
}
