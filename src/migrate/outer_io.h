/* SPDX-License-Identifier: MIT */
/* Writing and reading what stands around bodies: sections, commands, return messages. Failures
 * are the session's. */
#ifndef RS_MIGRATE_OUTER_IO_H
#define RS_MIGRATE_OUTER_IO_H

#include "migrate/migration.h"

#include <ramsync/handlers.h>

struct rs_section {
	uint32_t id;
	uint32_t instance;
	uint32_t version;
	char name[256];
};

/* START and FULL have all of it, PART and END just the id. */
void rs_outer_put_section(struct rs_stream *stream, enum rs_outer_record record,
			  const struct rs_section *section);
void rs_outer_put_footer(struct rs_stream *stream, uint32_t id);
void rs_outer_put_command(struct rs_stream *stream, enum rs_command command, const void *payload,
			  size_t bytes);
void rs_outer_put_return(struct rs_stream *stream, enum rs_return_message message,
			 const void *payload, size_t bytes);

/* After the record's first byte. 0 or the session's error. */
int rs_outer_get_section(struct rs_state *state, struct rs_stream *stream,
			 enum rs_outer_record record, struct rs_section *section);
int rs_outer_get_footer(struct rs_state *state, struct rs_stream *stream,
			const struct rs_section *section);

struct rs_message {
	uint16_t type; /* enum rs_command or enum rs_return_message */
	uint16_t bytes;
	uint8_t payload[RS_COMMAND_MAX_BYTES];
};

/* A command (after its first byte) or a return message, whole. The second is for threads whose failures are
 * not the session's: 0 or a negative errno with a text. */
int rs_outer_get_message(struct rs_state *state, struct rs_stream *stream, size_t max_bytes,
			 struct rs_message *message);
int rs_outer_hear_message(struct rs_stream *stream, size_t max_bytes, struct rs_message *message,
			  struct rs_error *error);

/* At the source: the return message of that type. The destination's FAILED is a failure with its
 * text; anything else is out of turn. */
int rs_outer_get_answer(struct rs_migration *migration, enum rs_return_message wanted,
			struct rs_message *message);

#endif
