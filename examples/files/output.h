/* SPDX-License-Identifier: MIT */
/* Where a stream is written to: a file that appears when it is whole, standard output, an address. */
#ifndef EXAMPLES_OUTPUT_H
#define EXAMPLES_OUTPUT_H

#include "files/outfile.h"

#include <ramsync/stream.h>

struct output {
	const char *where;
	struct rs_stream *stream;
	struct outfile file;
};

/* Open @where: a path, "-", or an address as rs_stream_connect() takes it. */
int output_open(struct output *output, const char *where, struct rs_error *error);

/* All was written: have it where it belongs. */
int output_finish(struct output *output, struct rs_error *error);

/* Without output_finish() before, a file is as it was. */
void output_close(struct output *output);

#endif
