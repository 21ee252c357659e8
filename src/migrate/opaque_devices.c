/* SPDX-License-Identifier: MIT */
#include "migrate/opaque_devices.h"

#include "transport/stream.h"
#include "wire/device_tail.h"

#include <stdlib.h>
#include <string.h>

/* From an end mark to the text of the description: u8 0x00, u8 0x06, u32 length. */
#define TO_DESCRIPTION 6u

static void init_tail(struct rs_device_tail *tail, const struct rs_migration *migration)
{
	rs_device_tail_init(tail,
			    rs_params_number(&migration->state->params, RS_PARAM_MAX_DEVICE_STATE));
}

/* ---- loading ------------------------------------------------------------------------------- */

/* The stream ends, and no description has come. */
static int end_without_description(struct rs_incoming *in, struct rs_device_tail *tail)
{
	if (rs_migration_is_lax(in->migration) && !in->return_path &&
	    rs_device_tail_may_end(tail)) {
		rs_migration_warn(in->migration, "no description follows the device state, so it "
						 "may not be whole");
		tail->end_mark = tail->bytes - 1;
		tail->whole = true;
		return 0;
	}
	return rs_session_fail(in->state, -ENODATA,
			       "the stream ends after %llu bytes, %llu of them device state, and "
			       "no description of the devices tells that they are whole",
			       (unsigned long long)rs_stream_bytes_read(in->stream),
			       (unsigned long long)tail->bytes);
}

/* Someone who waits for an answer, but leaves the description out: then nothing tells where
 * the devices end, and the stream stalls there. */
static int explain_stall(struct rs_incoming *in, const struct rs_device_tail *tail, int code)
{
	if (code != -ETIMEDOUT || !rs_device_tail_may_end(tail))
		return code;
	return rs_session_explain(in->state, code,
				  "the source waits behind its device state, and has sent no "
				  "description of the devices that would tell where it ends");
}

/* Take what is at hand. */
static int take_some(struct rs_incoming *in, struct rs_device_tail *tail)
{
	struct rs_migration *migration = in->migration;
	const uint8_t *data;
	ssize_t any = rs_stream_peek(in->stream, &data, 1);

	if (any < 0)
		return explain_stall(in, tail, rs_migration_fail_stream(migration));
	if (any == 0)
		return end_without_description(in, tail);
	size_t bytes = rs_device_tail_feed(tail, data, rs_stream_buffered(in->stream, &data));

	/* Whoever keeps it must be able to rely on a bound. */
	if (tail->bytes > tail->max_description)
		return rs_session_fail(in->state, -E2BIG,
				       "the device state is longer than max-device-state, %llu "
				       "bytes",
				       (unsigned long long)tail->max_description);
	int result = migration->vm.load_opaque(migration->opaque, data, bytes);

	rs_stream_skip(in->stream, bytes);
	if (result < 0)
		return rs_session_fail(in->state, result, "the VMM failed to take device state");
	return rs_session_code(in->state);
}

int rs_opaque_devices_load(struct rs_incoming *in)
{
	uint64_t start = rs_stream_bytes_read(in->stream);
	struct rs_device_tail tail;
	int result = 0;

	init_tail(&tail, in->migration);
	rs_migration_observe(in->migration, (struct rs_observation){ .type = RS_OBSERVED_OPAQUE,
								     .offset = start });
	while (result == 0 && !tail.whole) {
		in->record_at = rs_stream_bytes_read(in->stream);
		result = take_some(in, &tail);
	}
	if (result != 0)
		return result;
	in->devices |= tail.end_mark > 0;
	rs_migration_observe(in->migration,
			     (struct rs_observation){ .type = RS_OBSERVED_END,
						      .offset = start + tail.end_mark,
						      .stream_bytes = tail.bytes - tail.end_mark });
	return 0;
}

/* ---- saving -------------------------------------------------------------------------------- */

/* Whether these bytes are a whole tail, and nothing else. */
static bool is_whole(const struct rs_migration *migration, struct rs_device_tail *tail,
		     const uint8_t *data, size_t bytes)
{
	init_tail(tail, migration);
	if (rs_device_tail_feed(tail, data, bytes) < bytes)
		return false;
	if (tail->whole)
		return true;
	tail->end_mark = tail->bytes - 1;
	return rs_migration_is_lax(migration) && rs_device_tail_may_end(tail);
}

int rs_opaque_devices_save(struct rs_migration *migration, struct rs_stream *stream,
			   const void *data, size_t bytes, char **description)
{
	const uint8_t *from = data;
	struct rs_device_tail tail;

	*description = NULL;
	if (!is_whole(migration, &tail, from, bytes))
		return rs_session_fail(migration->state, -EINVAL,
				       "%zu bytes of device state do not end with an end mark and "
				       "a description of the devices",
				       bytes);
	if (tail.whole) {
		const uint8_t *text = from + tail.end_mark + TO_DESCRIPTION;

		*description = strndup((const char *)text, (size_t)(from + bytes - text));
		if (*description == NULL)
			return rs_session_fail(migration->state, -ENOMEM,
					       "no memory for the description of the devices");
	}
	rs_stream_put_bytes(stream, from, (size_t)tail.end_mark);
	return rs_session_check_stream(migration->state, stream);
}
