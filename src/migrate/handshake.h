/* SPDX-License-Identifier: MIT */
/*
 * How a stream begins: header, configuration, and in native mode the features, offered by the
 * source and accepted by the destination. On a one-way stream nobody can answer: the
 * reader must have all that is offered.
 */
#ifndef RS_MIGRATE_HANDSHAKE_H
#define RS_MIGRATE_HANDSHAKE_H

#include "migrate/outer_io.h"

/* Both settle native, two_way and features of the migration. 0 or the session's error. */
int rs_handshake_out(struct rs_migration *migration);
int rs_handshake_in(struct rs_migration *migration);

/* The parts of it that other connections of the migration use, too. */
void rs_handshake_put_header(struct rs_migration *migration, struct rs_stream *stream,
			     const char *machine);
int rs_handshake_get_header(struct rs_migration *migration, struct rs_stream *stream,
			    char machine[256]);

static inline bool rs_migration_has(const struct rs_migration *migration, enum rs_feature_id id)
{
	return (migration->features.present & RS_FEATURE_BIT(id)) != 0;
}

#endif
