/* SPDX-License-Identifier: MIT */
#include "migrate/handshake.h"

#include "migrate/header_io.h"

#include <string.h>
#include <sys/random.h>

/* ---- header -------------------------------------------------------------------------------- */

void rs_handshake_put_header(struct rs_migration *migration, struct rs_stream *stream,
			     const char *machine)
{
	const struct rs_state *state = migration->state;
	struct rs_header header = { .page_bits = state->page_shift,
				    .ignore_shared = rs_state_ignores_shared(state) };
	uint8_t bytes[RS_HEADER_MAX_BYTES];

	strcpy(header.machine, machine);
	header.has_uuid = rs_params_uuid(&state->params, header.uuid);
	rs_stream_put_bytes(stream, bytes, rs_header_write(bytes, &header));
}

static int check_pages(struct rs_state *state, const struct rs_header *header)
{
	if (header->page_bits == state->page_shift)
		return 0;
	if (!header->has_page_bits)
		return rs_session_fail(state, -EINVAL,
				       "configuration: pages of %u bytes in the stream, of %u here",
				       1u << RS_PLAIN_PAGE_BITS, state->page_bytes);
	return rs_session_fail(state, -EINVAL,
			       "configuration: pages of 2^%u bytes in the stream, of 2^%u here",
			       header->page_bits, state->page_shift);
}

static int check_uuid(struct rs_state *state, const struct rs_header *header)
{
	char here[RS_UUID_TEXT_BYTES], there[RS_UUID_TEXT_BYTES];
	uint8_t uuid[RS_UUID_BYTES];

	if (!header->has_uuid || !rs_params_uuid(&state->params, uuid) ||
	    memcmp(header->uuid, uuid, sizeof(uuid)) == 0)
		return 0;
	rs_uuid_format(uuid, here);
	rs_uuid_format(header->uuid, there);
	return rs_session_fail(state, -EINVAL,
			       "configuration: the stream is of the machine %s, and this one is %s",
			       there, here);
}

static int check_capabilities(struct rs_state *state, const struct rs_header *header)
{
	bool ignore_shared = rs_state_ignores_shared(state);
	const char *lacking = header->mapped_ram ? "mapped-ram" : header->unknown;

	if (lacking[0] != '\0')
		return rs_session_fail(state, -EOPNOTSUPP,
				       "the stream has the capability %s, which is not supported",
				       lacking);
	if (header->ignore_shared == ignore_shared)
		return 0;
	return rs_session_fail(state, -EINVAL, "x-ignore-shared is %s in the stream and %s here",
			       header->ignore_shared ? "on" : "off", ignore_shared ? "on" : "off");
}

/* Whether the header fits this end. */
static int check_header(struct rs_state *state, const struct rs_header *header)
{
	int result = check_pages(state, header);

	if (result == 0)
		result = check_capabilities(state, header);
	return result != 0 ? result : check_uuid(state, header);
}

int rs_handshake_get_header(struct rs_migration *migration, struct rs_stream *stream,
			    char machine[256])
{
	struct rs_error error = { 0 };
	struct rs_header header;
	int bytes = rs_header_peek(stream, &header, &error);

	if (bytes < 0)
		return rs_session_fail_with(migration->state, &error);
	rs_migration_observe(migration,
			     (struct rs_observation){ .type = RS_OBSERVED_HEADER,
						      .offset = rs_stream_bytes_read(stream),
						      .stream_bytes = (uint64_t)bytes,
						      .name = header.machine });
	rs_stream_skip(stream, (uint64_t)bytes);
	memcpy(machine, header.machine, sizeof(header.machine));
	return check_header(migration->state, &header);
}

/* ---- features ------------------------------------------------------------------------------ */

#define FEATURES_ALWAYS                                                                            \
	(RS_FEATURE_BIT(RS_FEATURE_SESSION) | RS_FEATURE_BIT(RS_FEATURE_DEVICE_LENGTHS))

#define FEATURES_OF_USER                                                                           \
	(RS_FEATURE_BIT(RS_FEATURE_COMPRESS) | RS_FEATURE_BIT(RS_FEATURE_POSTCOPY) |               \
	 RS_FEATURE_BIT(RS_FEATURE_PREEMPT))

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
	unsigned needed = FEATURES_ALWAYS | RS_FEATURE_BIT(RS_FEATURE_HANDOVER) |
			  (offered.present & FEATURES_OF_USER);

	if ((needed & ~accepted.present) != 0)
		return refuse_feature(migration, "the destination",
				      rs_feature_name(needed & ~accepted.present));
	if (memcmp(accepted.session, offered.session, RS_SESSION_BYTES) != 0)
		return rs_session_fail(migration->state, -EINVAL,
				       "the destination answers another migration's offer");
	migration->features.present = accepted.present;
	return 0;
}

/* Features that the user decides about, at both ends. */
static const struct {
	enum rs_feature_id id;
	enum rs_param_id param;
	const char *verb; /* what the source does */
} user_features[] = {
	{ RS_FEATURE_COMPRESS, RS_PARAM_COMPRESS, "compresses pages" },
	{ RS_FEATURE_POSTCOPY, RS_PARAM_POSTCOPY_RAM, "may use postcopy" },
	{ RS_FEATURE_PREEMPT, RS_PARAM_POSTCOPY_PREEMPT, "uses a channel of its own for requests" },
};

#define USER_FEATURE_COUNT (sizeof(user_features) / sizeof(user_features[0]))

/* Going by the parameters. */
static unsigned wanted_by_user(const struct rs_migration *migration)
{
	const struct rs_params *params = &migration->state->params;
	unsigned wanted = 0;

	for (size_t i = 0; i < USER_FEATURE_COUNT; i++)
		if (rs_params_number(params, user_features[i].param) != 0)
			wanted |= RS_FEATURE_BIT(user_features[i].id);
	return rs_migration_preempts(migration) ? wanted
						: wanted & ~RS_FEATURE_BIT(RS_FEATURE_PREEMPT);
}

static int offer(struct rs_migration *migration)
{
	struct rs_features *features = &migration->features;
	uint8_t list[RS_FEATURES_MAX_BYTES];

	features->present = FEATURES_ALWAYS | RS_FEATURE_BIT(RS_FEATURE_RUNS);
	if (migration->two_way)
		features->present |= RS_FEATURE_BIT(RS_FEATURE_HANDOVER);
	features->present |= wanted_by_user(migration);
	if (getrandom(features->session, RS_SESSION_BYTES, 0) != RS_SESSION_BYTES)
		return rs_session_fail(migration->state, -EIO, "no random session id can be had");
	rs_outer_put_command(migration->stream, RS_COMMAND_OFFER, list,
			     rs_features_write(list, features));
	if (!migration->two_way)
		return rs_migration_fail_stream(migration);
	int result = rs_migration_flush(migration);

	return result != 0 ? result : get_accept(migration);
}

int rs_handshake_out(struct rs_migration *migration)
{
	const char *machine = migration->state->params.machine;

	migration->native = machine[0] == '\0';
	migration->two_way =
	    migration->native && rs_stream_flags(migration->stream) & RS_STREAM_READ;
	rs_handshake_put_header(migration, migration->stream,
				migration->native ? RS_NATIVE_MACHINE : machine);
	return migration->native ? offer(migration) : rs_migration_fail_stream(migration);
}

static void observe_offer(struct rs_migration *migration, uint64_t offset)
{
	const struct rs_features *features = &migration->features;
	struct rs_observation seen = { .type = RS_OBSERVED_COMMAND,
				       .offset = offset,
				       .stream_bytes =
					   rs_stream_bytes_read(migration->stream) - offset,
				       .number = RS_COMMAND_OFFER,
				       .name = "OFFER" };

	rs_migration_observe(migration, seen);
	seen.type = RS_OBSERVED_FEATURE;
	for (unsigned left = features->present; left != 0; left &= left - 1) {
		seen.name = rs_feature_name(left);
		rs_migration_observe(migration, seen);
	}
	seen.name = features->unknown;
	if (seen.name[0] != '\0')
		rs_migration_observe(migration, seen);
}

/* What the source does and the user of this end does not want; it is not accepted then. */
static int check_user_features(struct rs_migration *migration)
{
	unsigned refused =
	    migration->features.present & FEATURES_OF_USER & ~wanted_by_user(migration);

	migration->features.present &= ~refused;
	for (size_t i = 0; i < USER_FEATURE_COUNT; i++)
		if (refused & RS_FEATURE_BIT(user_features[i].id))
			return rs_session_fail(migration->state, -EOPNOTSUPP,
					       "the source %s, and the parameter %s is off here",
					       user_features[i].verb,
					       rs_param_name(user_features[i].param));
	return 0;
}

static int get_offer(struct rs_migration *migration)
{
	uint64_t offset = rs_stream_bytes_read(migration->stream);
	struct rs_state *state = migration->state;
	uint8_t list[RS_FEATURES_MAX_BYTES];
	struct rs_features *features = &migration->features;
	struct rs_error error = { 0 };
	struct rs_message message;
	uint8_t record = rs_stream_get_u8(migration->stream);
	int result = rs_outer_get_message(migration->state, migration->stream, RS_COMMAND_MAX_BYTES,
					  &message);

	if (result != 0)
		return result;
	if (record != RS_OUTER_COMMAND || message.type != RS_COMMAND_OFFER)
		return rs_session_fail(state, -EINVAL,
				       "the offer of features does not follow the configuration");
	if (rs_features_parse(message.payload, message.bytes, features, &error) != 0)
		return rs_session_fail_with(state, &error);
	observe_offer(migration, offset);
	if ((FEATURES_ALWAYS & ~features->present) != 0)
		return refuse_feature(migration, "the source",
				      rs_feature_name(FEATURES_ALWAYS & ~features->present));
	migration->two_way = rs_migration_has(migration, RS_FEATURE_HANDOVER);
	if (!migration->two_way)
		return features->unknown[0] == '\0'
			   ? check_user_features(migration)
			   : refuse_feature(migration, "this end", features->unknown);
	if (!(rs_stream_flags(migration->stream) & RS_STREAM_WRITE))
		return rs_session_fail(state, -EINVAL,
				       "the source waits for answers, and the stream is one-way "
				       "here");
	/* The source hears of what is refused here, too. */
	int refused = check_user_features(migration);

	rs_outer_put_return(migration->stream, RS_RETURN_ACCEPT, list,
			    rs_features_write(list, features));
	int flushed = rs_migration_flush(migration);

	return refused != 0 ? refused : flushed;
}

int rs_handshake_in(struct rs_migration *migration)
{
	struct rs_state *state = migration->state;
	const char *wanted = state->params.machine;
	char machine[256];
	int result = rs_handshake_get_header(migration, migration->stream, machine);

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
