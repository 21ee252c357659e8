/* SPDX-License-Identifier: MIT */
/* The header of a stream, read where it lies in the stream's buffer. */
#ifndef RS_MIGRATE_HEADER_IO_H
#define RS_MIGRATE_HEADER_IO_H

#include "wire/header.h"

#include <ramsync/stream.h>

/* Parse the header without taking it. Its length, or a negative errno with a text. */
int rs_header_peek(struct rs_stream *stream, struct rs_header *header, struct rs_error *error);

#endif
