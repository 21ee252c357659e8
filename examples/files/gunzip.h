/* SPDX-License-Identifier: MIT */
/* A stream that unpacks what gzip packed, out of another stream. */
#ifndef EXAMPLES_GUNZIP_H
#define EXAMPLES_GUNZIP_H

#include <ramsync/stream.h>
#include <stdbool.h>

struct gunzip;

/* Does @packed, at its beginning, hold what gzip packed? Takes nothing; waits for two bytes. */
bool gunzip_recognise(struct rs_stream *packed);

/*
 * Put @stream, which can only be read, over @packed. It closes @packed. Checksums are verified as
 * far as is read. Several packed pieces in a row are one, as with gzip.
 */
int gunzip_open(struct rs_stream *packed, struct gunzip **gunzip, struct rs_stream **stream);

/*
 * What the packing was found to be damaged by: a stream's callbacks can only say a number. Returns
 * its code, or 0. Valid as long as the stream.
 */
int gunzip_error(const struct gunzip *gunzip, struct rs_error *error);

#endif
