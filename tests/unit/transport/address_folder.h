/* SPDX-License-Identifier: MIT */
/* A folder for the files and sockets that the tests of addresses make, and a first word between two
 * ends; include after cmocka.h. */
#ifndef RS_TESTS_ADDRESS_FOLDER_H
#define RS_TESTS_ADDRESS_FOLDER_H

#include <ramsync/stream.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TIMEOUT_MS 20000 /* of things that take none */

static char folder[] = "/tmp/ramsync-test-XXXXXX";

static inline int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) != NULL ? 0 : -1;
}

static inline int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

static inline const char *in_folder(const char *prefix, const char *name, char *text, size_t bytes)
{
	snprintf(text, bytes, "%s%s/%s", prefix, folder, name);
	return text;
}

static inline void assert_greeting(struct rs_stream *from, struct rs_stream *to)
{
	rs_stream_put_be64(from, 0x1122334455667788);
	assert_int_equal(rs_stream_flush(from), 0);
	assert_true(rs_stream_get_be64(to) == 0x1122334455667788);
	assert_int_equal(rs_stream_error(to, NULL), 0);
}

#endif
