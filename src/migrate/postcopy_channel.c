/* SPDX-License-Identifier: MIT */
#include "migrate/postcopy_channel.h"

#include "migrate/handshake.h"
#include "save/postcopy_save.h"
#include "transport/stream.h"
#include "wire/ram_record.h"

#include <stdio.h>
#include <string.h>

bool rs_postcopy_wants_channel_at_once(const struct rs_migration *migration)
{
	const char *dash = strrchr(migration->state->params.machine, '-');
	unsigned major, minor;

	if (migration->native || dash == NULL || sscanf(dash + 1, "%u.%u", &major, &minor) != 2)
		return false;
	return major < 7 || (major == 7 && minor <= 2);
}

/* Who is at the other end of a channel must be told which migration it belongs to. */
int rs_postcopy_open_channel(struct rs_outgoing *out)
{
	struct rs_migration *migration = out->migration;

	/* It is closed with what a recovery brings, if there is nothing else to close it. */
	if (migration->opening == NULL)
		migration->opening = &migration->recovered;
	struct rs_opening *opening = migration->opening;
	int result = rs_opening_open_channel(opening, migration);

	if (result != 0)
		return result;
	if (migration->native) {
		rs_session_use_stream(out->state, opening->channel);
		rs_handshake_put_header(migration, opening->channel, RS_NATIVE_MACHINE);
		rs_outer_put_command(opening->channel, RS_COMMAND_CHANNEL,
				     migration->features.session, RS_SESSION_BYTES);
		rs_stream_flush(opening->channel);
		rs_session_use_stream(out->state, out->stream);
	}
	return rs_session_check_stream(out->state, opening->channel);
}

void rs_postcopy_use_channel(struct rs_outgoing *out)
{
	const struct rs_opening *opening = out->migration->opening;

	if (opening != NULL && opening->channel != NULL)
		rs_ram_save_set_urgent_stream(out->state, opening->channel);
}

void rs_postcopy_end_channel(struct rs_outgoing *out)
{
	const struct rs_opening *opening = out->migration->opening;

	if (opening == NULL || opening->channel == NULL ||
	    !rs_postcopy_wants_channel_at_once(out->migration))
		return;
	rs_stream_put_be64(opening->channel, RS_FLAG_EOS);
	rs_stream_flush(opening->channel);
}
