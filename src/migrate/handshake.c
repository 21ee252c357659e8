/* SPDX-License-Identifier: MIT */
#include "migrate/handshake.h"

#include "base/bytes.h"
#include "base/checked.h"

#include <string.h>
#include <sys/random.h>

#define SUBSECTION_VERSION 1u
#define PAGE_BITS_NAME "configuration/target-page-bits"
#define CAPABILITIES_NAME "configuration/capabilities"
#define UUID_NAME "configuration/uuid"
#define IGNORE_SHARED_NAME "x-ignore-shared"

/* The page size that needs no mention: QEMU's for the machines that have just one. */
#define PLAIN_PAGE_BYTES 4096u

/* ---- header and configuration, out --------------------------------------------------------- */

static void put_name(struct rs_stream *stream, const char *name)
{
	rs_stream_put_u8(stream, (uint8_t)strlen(name));
	rs_stream_put_bytes(stream, name, strlen(name));
}

static void put_subsection(struct rs_stream *stream, const char *name)
{
	rs_stream_put_u8(stream, RS_OUTER_SUBSECTION);
	put_name(stream, name);
	rs_stream_put_be32(stream, SUBSECTION_VERSION);
}

void rs_handshake_put_header(struct rs_migration *migration, const char *machine)
{
	struct rs_stream *stream = migration->stream;
	const struct rs_state *state = migration->state;

	rs_stream_put_be32(stream, RS_OUTER_MAGIC);
	rs_stream_put_be32(stream, RS_OUTER_VERSION);
	rs_stream_put_u8(stream, RS_OUTER_CONFIGURATION);
	rs_stream_put_be32(stream, (uint32_t)strlen(machine));
	rs_stream_put_bytes(stream, machine, strlen(machine));
	if (state->page_bytes != PLAIN_PAGE_BYTES) {
		put_subsection(stream, PAGE_BITS_NAME);
		rs_stream_put_be32(stream, state->page_shift);
	}
	if (rs_state_ignores_shared(migration->state)) {
		put_subsection(stream, CAPABILITIES_NAME);
		rs_stream_put_be32(stream, 1);
		put_name(stream, IGNORE_SHARED_NAME);
	}
}

/* ---- header and configuration, in ---------------------------------------------------------- */

static int get_machine(struct rs_migration *migration, char machine[256])
{
	struct rs_stream *stream = migration->stream;
	uint32_t bytes = rs_stream_get_be32(stream);
	int result = rs_migration_fail_stream(migration);

	if (result != 0)
		return result;
	if (bytes > RS_MACHINE_MAX_BYTES)
		return rs_session_fail(migration->state, -EINVAL,
				       "configuration: a machine name of %u bytes", bytes);
	memset(machine, 0, 256);
	rs_stream_get_bytes(stream, machine, bytes);
	result = rs_migration_fail_stream(migration);
	if (result == 0 && strlen(machine) != bytes)
		return rs_session_fail(migration->state, -EINVAL,
				       "configuration: the machine name contains a zero byte");
	return result;
}

static int get_page_bits(struct rs_migration *migration)
{
	uint32_t bits = rs_stream_get_be32(migration->stream);
	int result = rs_migration_fail_stream(migration);

	if (result == 0 && bits != migration->state->page_shift)
		return rs_session_fail(migration->state, -EINVAL,
				       "configuration: pages of 2^%u bytes in the stream, of 2^%u "
				       "here",
				       bits, migration->state->page_shift);
	return result;
}

/* Bounded by what a machine can have of them; QEMU knows two. */
#define CAPABILITIES_MAX 64u

static int get_capabilities(struct rs_migration *migration, bool *ignore_shared)
{
	uint32_t count = rs_stream_get_be32(migration->stream);
	int result = rs_migration_fail_stream(migration);
	char name[256];

	if (result == 0 && count > CAPABILITIES_MAX)
		return rs_session_fail(migration->state, -EINVAL,
				       "configuration: a list of %u capabilities", count);
	for (uint32_t i = 0; result == 0 && i < count; i++) {
		result = rs_outer_get_name(migration, name, "capability");
		if (result == 0 && strcmp(name, IGNORE_SHARED_NAME) == 0)
			*ignore_shared = true;
		else if (result == 0 && strcmp(name, "mapped-ram") == 0)
			result = rs_session_fail(migration->state, -EOPNOTSUPP,
						 "the stream has the capability mapped-ram, which "
						 "is not supported");
	}
	return result;
}

static int get_subsection(struct rs_migration *migration, bool *page_bits, bool *ignore_shared)
{
	struct rs_stream *stream = migration->stream;
	char name[256];
	int result = rs_outer_get_name(migration, name, "subsection");

	if (result != 0)
		return result;
	uint32_t version = rs_stream_get_be32(stream);

	result = rs_migration_fail_stream(migration);
	if (result != 0)
		return result;
	if (version != SUBSECTION_VERSION)
		return rs_session_fail(migration->state, -EINVAL, "%s: version %u instead of %u",
				       name, version, SUBSECTION_VERSION);
	if (strcmp(name, PAGE_BITS_NAME) == 0) {
		*page_bits = true;
		return get_page_bits(migration);
	}
	if (strcmp(name, CAPABILITIES_NAME) == 0)
		return get_capabilities(migration, ignore_shared);
	if (strcmp(name, UUID_NAME) == 0) {
		/* Nothing to compare it with: a state has none. */
		rs_stream_skip(stream, 16);
		return rs_migration_fail_stream(migration);
	}
	return rs_session_fail(migration->state, -EINVAL, "configuration: unknown subsection %s",
			       name);
}

/* What stands at the next byte, without taking it; the session's error if nothing does. */
static int next_byte(struct rs_migration *migration)
{
	const uint8_t *data;

	if (rs_stream_peek(migration->stream, &data, 1) == 1)
		return *data;
	int result = rs_migration_fail_stream(migration);

	return result != 0 ? result
			   : rs_session_fail(migration->state, -ENODATA,
					     "the stream ended behind its configuration");
}

static int get_subsections(struct rs_migration *migration)
{
	bool page_bits = false, ignore_shared = false;
	int byte;

	while ((byte = next_byte(migration)) == RS_OUTER_SUBSECTION) {
		rs_stream_skip(migration->stream, 1);
		int result = get_subsection(migration, &page_bits, &ignore_shared);

		if (result != 0)
			return result;
	}
	if (byte < 0)
		return byte;
	if (!page_bits && migration->state->page_bytes != PLAIN_PAGE_BYTES)
		return rs_session_fail(migration->state, -EINVAL,
				       "configuration: pages of %u bytes in the stream, of %u here",
				       PLAIN_PAGE_BYTES, migration->state->page_bytes);
	if (ignore_shared != rs_state_ignores_shared(migration->state))
		return rs_session_fail(migration->state, -EINVAL,
				       "x-ignore-shared is %s in the stream and %s here",
				       ignore_shared ? "on" : "off", ignore_shared ? "off" : "on");
	return 0;
}

int rs_handshake_get_header(struct rs_migration *migration, char machine[256])
{
	struct rs_stream *stream = migration->stream;
	struct rs_state *state = migration->state;
	uint32_t magic = rs_stream_get_be32(stream);
	uint32_t version = rs_stream_get_be32(stream);
	int result = rs_migration_fail_stream(migration);

	if (result != 0)
		return result;
	if (magic != RS_OUTER_MAGIC)
		return rs_session_fail(state, -EINVAL,
				       "not a migration stream: it begins with 0x%08x", magic);
	if (version != RS_OUTER_VERSION)
		return rs_session_fail(state, -EINVAL, "stream version %u%s instead of %u", version,
				       version == RS_OUTER_VERSION_OBSOLETE ? " (obsolete)" : "",
				       RS_OUTER_VERSION);
	uint8_t configuration = rs_stream_get_u8(stream);

	result = rs_migration_fail_stream(migration);
	if (result != 0)
		return result;
	if (configuration != RS_OUTER_CONFIGURATION)
		return rs_session_fail(
		    state, -EINVAL, "0x%02x stands where the configuration should", configuration);
	result = get_machine(migration, machine);
	return result != 0 ? result : get_subsections(migration);
}

/* ---- features ------------------------------------------------------------------------------ */

#define FEATURES_ALWAYS                                                                            \
	(RS_FEATURE_BIT(RS_FEATURE_SESSION) | RS_FEATURE_BIT(RS_FEATURE_DEVICE_LENGTHS))

static int refuse_feature(struct rs_migration *migration, const char *who, const char *name)
{
	return rs_session_fail(migration->state, -EPROTONOSUPPORT, "%s lacks the feature '%s'", who,
			       name);
}

static int get_accept(struct rs_migration *migration)
{
	struct rs_features offered = migration->features, accepted;
	struct rs_message message;
	struct rs_error error = { 0 };
	int result = rs_outer_get_answer(migration, RS_RETURN_ACCEPT, &message);

	if (result != 0)
		return result;
	if (rs_features_parse(message.payload, message.bytes, &accepted, &error) != 0)
		return rs_session_fail_with(migration->state, &error);
	if (accepted.unknown[0] != '\0' || (accepted.present & ~offered.present) != 0)
		return rs_session_fail(migration->state, -EINVAL,
				       "the destination accepts the feature '%s', which was not "
				       "offered",
				       accepted.unknown[0] != '\0'
					   ? accepted.unknown
					   : rs_feature_name(accepted.present & ~offered.present));
	unsigned needed = FEATURES_ALWAYS | RS_FEATURE_BIT(RS_FEATURE_HANDOVER);

	if ((needed & ~accepted.present) != 0)
		return refuse_feature(migration, "the destination",
				      rs_feature_name(needed & ~accepted.present));
	if (memcmp(accepted.session, offered.session, RS_SESSION_BYTES) != 0)
		return rs_session_fail(migration->state, -EINVAL,
				       "the destination answers another migration's offer");
	migration->features.present = accepted.present;
	return 0;
}

static int offer(struct rs_migration *migration)
{
	struct rs_features *features = &migration->features;
	uint8_t list[RS_FEATURES_MAX_BYTES];

	features->present = FEATURES_ALWAYS | RS_FEATURE_BIT(RS_FEATURE_RUNS);
	if (migration->two_way)
		features->present |= RS_FEATURE_BIT(RS_FEATURE_HANDOVER);
	if (getrandom(features->session, RS_SESSION_BYTES, 0) != RS_SESSION_BYTES)
		return rs_session_fail(migration->state, -EIO, "no random session id can be had");
	rs_outer_put_command(migration->stream, RS_COMMAND_OFFER, list,
			     rs_features_write(list, features));
	if (!migration->two_way)
		return rs_migration_fail_stream(migration);
	rs_stream_flush(migration->stream);
	int result = rs_migration_fail_stream(migration);

	return result != 0 ? result : get_accept(migration);
}

int rs_handshake_out(struct rs_migration *migration)
{
	const char *machine = migration->state->params.machine;

	migration->native = machine[0] == '\0';
	migration->two_way =
	    migration->native && rs_stream_flags(migration->stream) & RS_STREAM_READ;
	rs_handshake_put_header(migration, migration->native ? RS_NATIVE_MACHINE : machine);
	return migration->native ? offer(migration) : rs_migration_fail_stream(migration);
}

static int get_offer(struct rs_migration *migration)
{
	struct rs_state *state = migration->state;
	uint8_t list[RS_FEATURES_MAX_BYTES];
	struct rs_features *features = &migration->features;
	struct rs_error error = { 0 };
	struct rs_message message;
	uint8_t record = rs_stream_get_u8(migration->stream);
	int result = rs_outer_get_message(migration, RS_COMMAND_MAX_BYTES, &message);

	if (result != 0)
		return result;
	if (record != RS_OUTER_COMMAND || message.type != RS_COMMAND_OFFER)
		return rs_session_fail(state, -EINVAL,
				       "the offer of features does not follow the configuration");
	if (rs_features_parse(message.payload, message.bytes, features, &error) != 0)
		return rs_session_fail_with(state, &error);
	if ((FEATURES_ALWAYS & ~features->present) != 0)
		return refuse_feature(migration, "the source",
				      rs_feature_name(FEATURES_ALWAYS & ~features->present));
	migration->two_way = rs_migration_has(migration, RS_FEATURE_HANDOVER);
	if (!migration->two_way)
		return features->unknown[0] == '\0'
			   ? 0
			   : refuse_feature(migration, "this end", features->unknown);
	if (!(rs_stream_flags(migration->stream) & RS_STREAM_WRITE))
		return rs_session_fail(state, -EINVAL,
				       "the source waits for answers, and the stream is one-way "
				       "here");
	rs_outer_put_return(migration->stream, RS_RETURN_ACCEPT, list,
			    rs_features_write(list, features));
	rs_stream_flush(migration->stream);
	return rs_migration_fail_stream(migration);
}

int rs_handshake_in(struct rs_migration *migration)
{
	struct rs_state *state = migration->state;
	const char *wanted = state->params.machine;
	char machine[256];
	int result = rs_handshake_get_header(migration, machine);

	if (result != 0)
		return result;
	migration->native = strcmp(machine, RS_NATIVE_MACHINE) == 0;
	if (migration->native)
		return get_offer(migration);
	if (wanted[0] != '\0' && strcmp(machine, wanted) != 0)
		return rs_session_fail(state, -EINVAL, "the stream is of machine '%s', not '%s'",
				       machine, wanted);
	return 0;
}
