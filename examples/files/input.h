/* SPDX-License-Identifier: MIT */
/* Where a stream is read from: a file, standard input or an address; packed by gzip or not. */
#ifndef EXAMPLES_INPUT_H
#define EXAMPLES_INPUT_H

#include "files/gunzip.h"

struct input {
	const char *where;
	struct rs_stream *stream;
	bool packed;           /* by gzip */
	struct gunzip *gunzip; /* what unpacks it, as long as the stream is open */
	bool two_way;          /* the source can be answered */
};

/* Is it an address, as rs_stream_listen() takes it, and no path? */
bool input_is_address(const char *where);

/*
 * Open @where: a path, "-", or an address. For tcp: and unix: it says on standard error where it
 * listens, and waits for a source.
 */
int input_open(struct input *input, const char *program, const char *where, struct rs_error *error);

/*
 * Read to the very end, where the checksums of gzip and the exit code of a command are, and close.
 * Not with a source that can be answered: that one ends when it likes.
 *
 * @behind receives how many bytes there were.
 */
int input_finish(struct input *input, uint64_t *behind, struct rs_error *error);

/* The same, for a stream that somebody else will close. */
int input_read_rest(struct input *input, uint64_t *behind, struct rs_error *error);

/* Add what the number in @error, of a stream that failed, stands for, if it was the packing. */
void input_explain(const struct input *input, struct rs_error *error);

void input_close(struct input *input);

#endif
