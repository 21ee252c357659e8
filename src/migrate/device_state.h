/* SPDX-License-Identifier: MIT */
/* Device state: the sections behind RAM, whose bodies are the VMM's. In native mode a body's length
 * stands before it; in QEMU's form only its reader knows where it ends. */
#ifndef RS_MIGRATE_DEVICE_STATE_H
#define RS_MIGRATE_DEVICE_STATE_H

#include "migrate/outer_io.h"

/* Have the VMM write all its sections to the stream, and in QEMU's form describe them in *description, a JSON
 * text to be freed. 0 or the session's error. */
int rs_device_state_save(struct rs_migration *migration, struct rs_stream *stream,
			 char **description);

/* Read so many bytes, which what names, at most max-device-state; *data is to be freed, also on failure. 0 or the
 * session's error. */
int rs_device_state_get_bytes(struct rs_migration *migration, struct rs_stream *stream,
			      const char *what, uint64_t bytes, uint8_t **data);

/* Have the VMM read one from the stream, after its header. 0 or the session's error. */
int rs_device_state_load(struct rs_migration *migration, struct rs_stream *stream,
			 const struct rs_section *section);

#endif
