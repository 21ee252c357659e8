/* SPDX-License-Identifier: MIT */
#include "files/input.h"
#include "text/fail.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* As much as rs_stream_peek() gives. */
#define PEEK_BYTES 4096u

bool input_is_address(const char *where)
{
	static const char *const kinds[] = { "tcp:", "unix:", "fd:", "exec:", "file:" };

	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strncmp(where, kinds[i], strlen(kinds[i])))
			return true;
	return false;
}

static int open_address(struct input *input, const char *program, const char *address,
			struct rs_error *error)
{
	struct rs_listener *listener;
	int ret = rs_stream_listen(address, &listener, error);

	if (ret)
		return ret;
	if (!strncmp(address, "tcp:", 4) || !strncmp(address, "unix:", 5))
		fprintf(stderr, "%s: listening on %s\n", program, rs_listener_address(listener));
	ret = rs_listener_accept(listener, 0, &input->stream, error);
	rs_listener_close(listener);
	return ret;
}

static int open_path(struct input *input, const char *path, struct rs_error *error)
{
	char address[sizeof("file:") + 4096];

	if (snprintf(address, sizeof(address), "file:%s", path) >= (int)sizeof(address))
		return -ENAMETOOLONG;
	return open_address(input, NULL, address, error);
}

/* Unpack it, if need be. A stream that is neither is somebody else's to refuse. */
static int unpack(struct input *input)
{
	struct rs_stream *packed = input->stream;
	int ret = 0;

	input->packed = gunzip_recognise(packed);
	if (input->packed)
		ret = gunzip_open(packed, &input->gunzip, &input->stream);
	input->two_way = rs_stream_flags(input->stream) & RS_STREAM_WRITE;
	return ret;
}

int input_open(struct input *input, const char *program, const char *where, struct rs_error *error)
{
	int ret;

	*input = (struct input){ .where = where };
	if (!strcmp(where, "-"))
		ret = rs_stream_from_fd(STDIN_FILENO, RS_STREAM_READ | RS_STREAM_KEEP_FD,
					&input->stream);
	else if (input_is_address(where))
		ret = open_address(input, program, where, error);
	else
		ret = open_path(input, where, error);
	if (!ret)
		ret = unpack(input);
	return ret ? fail(error, ret, "%s: %s", where, strerror(-ret)) : 0;
}

int input_read_rest(struct input *input, uint64_t *behind, struct rs_error *error)
{
	const uint8_t *data;
	ssize_t bytes;

	*behind = 0;
	while ((bytes = rs_stream_peek(input->stream, &data, PEEK_BYTES)) > 0) {
		rs_stream_skip(input->stream, (uint64_t)bytes);
		*behind += (uint64_t)bytes;
	}
	if (!bytes)
		return 0;
	rs_stream_error(input->stream, error);
	input_explain(input, error);
	return fail(error, (int)bytes, "%s: %s", input->where, strerror((int)-bytes));
}

int input_finish(struct input *input, uint64_t *behind, struct rs_error *error)
{
	int ret = input_read_rest(input, behind, error);
	/* It would forget what was wrong before. */
	int closed = rs_stream_close(input->stream, ret ? NULL : error);

	input->stream = NULL;
	input->gunzip = NULL;
	if (closed && !ret)
		return fail(error, closed, "%s: %s", input->where, strerror(-closed));
	return ret;
}

void input_explain(const struct input *input, struct rs_error *error)
{
	size_t length = strlen(error->text);
	struct rs_error cause;

	if (input->gunzip && gunzip_error(input->gunzip, &cause))
		snprintf(error->text + length, sizeof(error->text) - length, ": %s", cause.text);
}

void input_close(struct input *input)
{
	rs_stream_close(input->stream, NULL);
	input->stream = NULL;
	input->gunzip = NULL;
}
