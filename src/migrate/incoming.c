/* SPDX-License-Identifier: MIT */
/* The destination's side of a whole migration: the records of the outer stream, one by one. */
#include "base/bytes.h"
#include "base/checked.h"
#include "base/clock.h"
#include "load/load.h"
#include "migrate/device_state.h"
#include "migrate/handover.h"
#include "migrate/handshake.h"
#include "migrate/incoming.h"
#include "migrate/opaque_devices.h"
#include "migrate/postcopy_in.h"
#include "migrate/recovery.h"
#include "transport/stream.h"

#include <string.h>

int rs_incoming_fail(struct rs_incoming *in, const char *what)
{
	return rs_session_fail(in->state, -EINVAL, "%s", what);
}

/* ---- sections ------------------------------------------------------------------------------ */

static void observe_section(struct rs_incoming *in, enum rs_observation_type type,
			    enum rs_outer_record record, const struct rs_section *section)
{
	uint64_t end = in->offset + rs_stream_bytes_read(in->stream);

	rs_migration_observe(
	    in->migration,
	    (struct rs_observation){ .type = type,
				     .offset = in->record_at,
				     .stream_bytes =
					 type == RS_OBSERVED_SECTION_END ? end - in->record_at : 0,
				     .number = record,
				     .id = section->id,
				     .instance = section->instance,
				     .version = section->version,
				     .name = section->name });
}

static int load_ram(struct rs_incoming *in, enum rs_outer_record record)
{
	observe_section(in, RS_OBSERVED_SECTION, record, &in->ram);
	int result = rs_ram_load(in->state, in->stream, in->ram.version);

	if (result == 0) {
		in->state->load->record_at = rs_stream_bytes_read(in->stream);
		result = rs_outer_get_footer(in->state, in->stream, &in->ram);
	}
	if (result == 0)
		observe_section(in, RS_OBSERVED_SECTION_END, record, &in->ram);
	return result;
}

static int start_ram(struct rs_incoming *in, const struct rs_section *section)
{
	if (in->progress != RS_RAM_AWAITED)
		return rs_incoming_fail(in, "section ram starts twice");
	if (section->instance != 0)
		return rs_session_fail(in->state, -EINVAL, "section ram: instance %u instead of 0",
				       section->instance);
	in->ram = *section;
	in->progress = RS_RAM_STARTED;
	int result = load_ram(in, RS_OUTER_SECTION_START);

	/* Regions may have been announced. */
	return result == 0 && in->postcopy != NULL ? rs_postcopy_in_probe(in) : result;
}

static int load_device(struct rs_incoming *in, const struct rs_section *section)
{
	in->devices = true;
	observe_section(in, RS_OBSERVED_SECTION, RS_OUTER_SECTION_FULL, section);
	int result = rs_device_state_load(in->migration, in->stream, section);

	if (result == 0)
		result = rs_outer_get_footer(in->state, in->stream, section);
	if (result == 0)
		observe_section(in, RS_OBSERVED_SECTION_END, RS_OUTER_SECTION_FULL, section);
	return result;
}

static int get_start(struct rs_incoming *in, enum rs_outer_record record)
{
	struct rs_section section;
	int result = rs_outer_get_section(in->state, in->stream, record, &section);

	if (result != 0)
		return result;
	if (record == RS_OUTER_SECTION_START) {
		if (strcmp(section.name, RS_RAM_SECTION_NAME) == 0)
			return start_ram(in, &section);
		return rs_session_fail(in->state, -EOPNOTSUPP,
				       "section %s comes in several parts, which only ram may here",
				       section.name);
	}
	if (strcmp(section.name, RS_RAM_SECTION_NAME) == 0)
		return rs_incoming_fail(in, "section ram comes in one piece");
	if (in->progress == RS_RAM_AWAITED && !in->migration->native)
		return rs_session_fail(in->state, -EOPNOTSUPP,
				       "device section %s comes before RAM, and only its device "
				       "could say where it ends",
				       section.name);
	return load_device(in, &section);
}

/* QEMU loads what comes behind the end; only a source that is lost in its own stream sends it. */
static bool is_open(const struct rs_incoming *in, const struct rs_section *section)
{
	bool behind_end = in->progress == RS_RAM_ENDED && rs_migration_is_lax(in->migration);

	return (in->progress == RS_RAM_STARTED || behind_end) && section->id == in->ram.id;
}

static int get_part(struct rs_incoming *in, enum rs_outer_record record)
{
	struct rs_section section;
	int result = rs_outer_get_section(in->state, in->stream, record, &section);

	if (result != 0)
		return result;
	if (!is_open(in, &section))
		return rs_session_fail(in->state, -EINVAL,
				       "a part of section %u, which is not open", section.id);
	if (record == RS_OUTER_SECTION_END)
		in->progress = RS_RAM_ENDED;
	return load_ram(in, record);
}

/* ---- the whole stream ---------------------------------------------------------------------- */

static int check_ended(struct rs_incoming *in)
{
	if (in->progress == RS_RAM_ENDED)
		return 0;
	if (in->progress == RS_RAM_AWAITED)
		return rs_incoming_fail(in, "the stream holds no RAM");
	/* A background snapshot of QEMU's has no end of RAM: all its pages went out before. */
	if ((in->devices && !in->migration->native) || rs_migration_is_lax(in->migration)) {
		rs_migration_warn(in->migration,
				  "the end of RAM is missing, as in a background snapshot");
		return 0;
	}
	return rs_incoming_fail(in, "the end of RAM is missing");
}

int rs_incoming_check_complete(struct rs_incoming *in)
{
	int result = check_ended(in);

	return result != 0
		   ? result
		   : rs_ram_load_check_received(in->state, rs_migration_is_lax(in->migration));
}

/* The next record's first byte, without taking it; the session's error if there is none. */
static int next_record(struct rs_incoming *in)
{
	const uint8_t *data;

	in->record_at = in->offset + rs_stream_bytes_read(in->stream);
	if (rs_stream_peek(in->stream, &data, 1) == 1)
		return *data;
	rs_stream_get_u8(in->stream);
	return rs_session_check_stream(in->state, in->stream);
}

/* Whether everything from here on is to be taken as it stands. */
static bool is_opaque(const struct rs_incoming *in, int record)
{
	return in->migration->vm.load_opaque != NULL && !in->migration->native &&
	       in->part == RS_PART_WHOLE && in->progress != RS_RAM_AWAITED &&
	       (record == RS_OUTER_SECTION_FULL || record == RS_OUTER_EOF);
}

static int get_command(struct rs_incoming *in, enum rs_outer_record record)
{
	(void)record;
	return rs_incoming_command(in);
}

static int get_end(struct rs_incoming *in, enum rs_outer_record record)
{
	(void)record;
	in->ended = true;
	rs_migration_observe(in->migration, (struct rs_observation){ .type = RS_OBSERVED_END,
								     .offset = in->record_at,
								     .stream_bytes = 1 });
	return 0;
}

static int refuse_record(struct rs_incoming *in, unsigned record)
{
	return rs_session_fail(in->state, -EINVAL, "0x%02x begins no record of a stream%s", record,
			       in->part == RS_PART_WHOLE ? "" : " at this place");
}

static int get_record(struct rs_incoming *in, enum rs_outer_record record)
{
	static const struct {
		unsigned parts; /* in which it may stand */
		int (*get)(struct rs_incoming *in, enum rs_outer_record record);
	} records[] = {
		[RS_OUTER_EOF] = { RS_PART_WHOLE | RS_PART_PAGES, get_end },
		[RS_OUTER_SECTION_START] = { RS_PART_WHOLE, get_start },
		[RS_OUTER_SECTION_PART] = { RS_PART_WHOLE | RS_PART_PAGES, get_part },
		[RS_OUTER_SECTION_END] = { RS_PART_WHOLE | RS_PART_PAGES, get_part },
		[RS_OUTER_SECTION_FULL] = { RS_PART_WHOLE | RS_PART_PACKAGE, get_start },
		[RS_OUTER_COMMAND] = { ~0u, get_command },
	};

	if ((size_t)record >= sizeof(records) / sizeof(records[0]) ||
	    (records[record].parts & in->part) == 0)
		return refuse_record(in, record);
	rs_stream_skip(in->stream, 1);
	return records[record].get(in, record);
}

uint64_t rs_incoming_wire_bytes(const struct rs_incoming *in)
{
	if (in->stream == NULL)
		return in->broken_bytes;
	return in->broken_bytes + rs_stream_bytes_read(in->stream) - in->start_bytes;
}

/* Between two records. */
static int look_around(struct rs_incoming *in)
{
	/* What befalls the connection meanwhile does not concern what is at hand. */
	if (in->part == RS_PART_PACKAGE)
		return 0;
	rs_counter_set(in->state->counters.wire_bytes, rs_incoming_wire_bytes(in));
	return in->handed_over ? 0 : rs_session_code(in->state);
}

int rs_incoming_get_records(struct rs_incoming *in)
{
	int result = 0;

	while (result == 0 && !in->ended) {
		int record = next_record(in);

		if (record < 0)
			return record;
		in->opaque = is_opaque(in, record);
		if (in->opaque) {
			in->ended = true;
			result = rs_opaque_devices_load(in);
		} else {
			result = get_record(in, (enum rs_outer_record)record);
		}
		if (result == 0)
			result = look_around(in);
	}
	return result;
}

/* QEMU's description of the devices, behind the end mark. Nothing here needs it. */
static void skip_description(struct rs_incoming *in)
{
	const uint8_t *data;

	if (in->opaque)
		return;
	if (rs_stream_peek(in->stream, &data, 5) == 5 && data[0] == RS_OUTER_VMDESCRIPTION) {
		uint32_t bytes = rs_get_be32(data + 1);

		rs_stream_skip(in->stream, 5ull + bytes);
	}
}

/* Nobody is asked: the guest is ours because the stream is whole. */
static int run_without_asking(struct rs_incoming *in)
{
	struct rs_migration *migration = in->migration;
	int result = rs_incoming_check_complete(in);

	if (result != 0)
		return result;
	if (migration->two_way)
		return rs_incoming_fail(in, "the stream ends without a hand-over");
	if (in->return_path) {
		/*
		 * QEMU is the source, and waits for SHUT. One that comes while it is still writing
		 * makes it close the connection under its own feet, call that a failure, and run
		 * the guest. For the same reason what breaks off here has failed at both ends.
		 */
		skip_description(in);
		result = rs_migration_fail_stream(migration);
		if (result != 0)
			return result;
	}
	rs_session_ignore_regions(in->state);
	if (!rs_migration_commit(migration))
		return rs_session_code(in->state);
	result = rs_migration_take_over(migration);
	if (result != 0)
		return result;
	rs_incoming_shut(in, true);
	/* Without a return path it may never come: the guest runs already. */
	if (!migration->native && !in->return_path)
		skip_description(in);
	return 0;
}

static int load_ops_announced(void *opaque, const char *name, uint64_t used_bytes)
{
	struct rs_migration *migration = opaque;

	return migration->vm.region_announced(migration->opaque, name, used_bytes);
}

static int load_ops_resized(void *opaque, struct rs_region *region, uint64_t used_bytes)
{
	struct rs_migration *migration = opaque;

	return migration->vm.region_resized(migration->opaque, region, used_bytes);
}

static void load_ops_observe(void *opaque, const struct rs_observation *observation)
{
	rs_migration_observe(opaque, *observation);
}

static int setup(struct rs_incoming *in)
{
	struct rs_migration *migration = in->migration;
	const struct rs_load_ops ops = {
		.size = sizeof(ops),
		.region_announced =
		    migration->vm.region_announced != NULL ? load_ops_announced : NULL,
		.region_resized = migration->vm.region_resized != NULL ? load_ops_resized : NULL,
		.observe = migration->vm.observe != NULL ? load_ops_observe : NULL,
	};
	int result = rs_ram_load_setup(in->state, &ops, migration);

	if (result == 0)
		result = rs_handshake_in(migration);
	if (result == 0 && rs_migration_has(migration, RS_FEATURE_RUNS))
		rs_ram_load_allow_runs(in->state);
	if (result == 0 && migration->native && !rs_migration_has(migration, RS_FEATURE_COMPRESS))
		in->state->load->rules.compressed_limit = 0;
	/* Only now it is known whose form it is, and being lax is for QEMU's. */
	if (result == 0)
		in->state->load->lax = rs_migration_is_lax(in->migration);
	rs_counter_set(in->state->counters.setup_end_ns, rs_clock_ns());
	return result;
}

/* Where it failed: in the record of RAM that was being read, if that came last. */
static void observe_failure(struct rs_incoming *in)
{
	const struct rs_load *load = in->state->load;
	struct rs_error error;

	rs_error_get(in->state, RS_ERROR_OF_MIGRATION, &error);
	rs_migration_observe(in->migration,
			     (struct rs_observation){
				 .type = RS_OBSERVED_FAILURE,
				 .offset = load != NULL ? rs_max_u64(in->record_at, load->record_at)
							: in->record_at,
				 .number = (uint32_t)error.code,
				 .name = error.text });
}

static void give_up(struct rs_incoming *in)
{
	/* In postcopy it has been said, or it runs, or nobody is there. */
	if (!in->handed_over && (in->postcopy == NULL || !in->ended)) {
		rs_handover_tell_failure(in->migration);
		rs_incoming_shut(in, false);
	}
	/* Nothing more is read, not even by a caller that has not noticed yet. */
	if (in->stream != NULL)
		rs_stream_shutdown(in->stream);
}

static int receive(struct rs_incoming *in)
{
	int result = setup(in);

	if (result != 0)
		return result;
	rs_migration_set_status(in->migration, RS_STATUS_ACTIVE);
	result = rs_incoming_get_records(in);
	return result != 0 || in->handed_over ? result : run_without_asking(in);
}

int rs_migration_run_in(struct rs_migration *migration, struct rs_stream *stream)
{
	struct rs_answers answers;
	struct rs_incoming in = { .migration = migration,
				  .state = migration->state,
				  .stream = stream,
				  .answers = &answers,
				  .part = RS_PART_WHOLE,
				  .start_bytes = rs_stream_bytes_read(stream),
				  .record_at = rs_stream_bytes_read(stream) };

	migration->stream = stream;
	migration->one_way = rs_stream_flags(stream) != RS_STREAM_TWO_WAY;
	if (rs_answers_init(&answers, stream) != 0)
		return rs_session_fail(in.state, -ENOMEM, "no memory to answer the source");
	int result = receive(&in);

	if (result != 0 && result != RS_ERROR_IN_DOUBT)
		observe_failure(&in);
	rs_postcopy_in_destroy(in.postcopy);
	rs_ram_load_cleanup(in.state);
	rs_counters_end(&in.state->counters, rs_incoming_wire_bytes(&in));
	if (result != 0 && result != RS_ERROR_IN_DOUBT)
		give_up(&in);
	rs_answers_fini(&answers);
	rs_recovery_close(migration);
	return result;
}
