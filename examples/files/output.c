/* SPDX-License-Identifier: MIT */
#include "files/output.h"
#include "text/fail.h"
#include "files/input.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define FILE_PREFIX "file:"
#define CONNECT_MS 10000u

static int open_file(struct output *output, const char *path, struct rs_error *error)
{
	int ret = outfile_open(&output->file, path, error);

	if (!ret)
		ret = rs_stream_from_fd(output->file.fd, RS_STREAM_WRITE | RS_STREAM_KEEP_FD,
					&output->stream);
	return ret;
}

int output_open(struct output *output, const char *where, struct rs_error *error)
{
	int ret;

	*output = (struct output){ .where = where };
	if (!strcmp(where, "-"))
		ret = rs_stream_from_fd(STDOUT_FILENO, RS_STREAM_WRITE | RS_STREAM_KEEP_FD,
					&output->stream);
	else if (!strncmp(where, FILE_PREFIX, strlen(FILE_PREFIX)))
		ret = open_file(output, where + strlen(FILE_PREFIX), error);
	else if (input_is_address(where))
		ret = rs_stream_connect(where, CONNECT_MS, &output->stream, error);
	else
		ret = open_file(output, where, error);
	return ret ? fail(error, ret, "%s: %s", where, strerror(-ret)) : 0;
}

int output_finish(struct output *output, struct rs_error *error)
{
	int ret = rs_stream_flush(output->stream);

	if (ret) {
		rs_stream_error(output->stream, error);
	} else {
		ret = rs_stream_close(output->stream, error);
		output->stream = NULL;
	}
	if (!ret && output->file.open)
		ret = outfile_sync(&output->file, error);
	if (!ret && output->file.open)
		ret = outfile_publish(&output->file, error);
	return ret ? fail(error, ret, "%s: %s", output->where, strerror(-ret)) : 0;
}

void output_close(struct output *output)
{
	rs_stream_close(output->stream, NULL);
	output->stream = NULL;
	outfile_drop(&output->file);
}
