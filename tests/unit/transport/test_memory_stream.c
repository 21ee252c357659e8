/* SPDX-License-Identifier: MIT */
#include "support/stream_end.h"
#include "transport/stream.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void what_is_written_can_be_seen_and_read(void **state)
{
	const size_t bytes = 3u << 20;
	uint8_t *memory = malloc(bytes), *got = malloc(bytes);
	struct rs_stream *out = NULL, *in = NULL;
	const void *data = NULL;
	size_t i;

	(void)state;
	for (i = 0; i < bytes; i++)
		memory[i] = (uint8_t)(i * 7 + i / 255);
	assert_int_equal(rs_stream_to_memory(SIZE_MAX, &out), 0);
	assert_int_equal(rs_stream_flags(out), RS_STREAM_WRITE);
	assert_int_equal(rs_stream_memory(out, &data), 0);
	for (i = 0; i < bytes; i += 4096)
		rs_stream_put_ref(out, memory + i, 4096);
	/* It flushes by itself. */
	assert_int_equal(rs_stream_memory(out, &data), bytes);
	assert_memory_equal(data, memory, bytes);

	assert_int_equal(rs_stream_from_memory(data, bytes, &in), 0);
	assert_int_equal(rs_stream_flags(in), RS_STREAM_READ);
	assert_int_equal(rs_stream_get_bytes(in, got, bytes), 0);
	assert_memory_equal(got, memory, bytes);
	assert_true(stream_at_end(in));
	rs_stream_close(in, NULL);
	rs_stream_close(out, NULL);
	free(memory);
	free(got);
}

static void a_limit_is_kept_to_the_byte(void **state)
{
	size_t max;

	(void)state;
	for (max = 0; max < 20; max++) {
		struct rs_stream *out = NULL;
		struct rs_error error;
		const void *data;

		assert_int_equal(rs_stream_to_memory(max, &out), 0);
		rs_stream_put_bytes(out, "01234567890123456789", max);
		assert_int_equal(rs_stream_memory(out, &data), max);
		if (max > 0)
			assert_memory_equal(data, "01234567890123456789", max);
		rs_stream_put_u8(out, 'x');
		assert_int_equal(rs_stream_memory(out, &data), -ENOSPC);
		assert_int_equal(rs_stream_error(out, &error), -ENOSPC);
		assert_non_null(strstr(error.text, "memory stream is full"));
		rs_stream_close(out, NULL);
	}
}

static void only_memory_has_memory(void **state)
{
	struct rs_stream *in = NULL;
	const void *data;

	(void)state;
	assert_int_equal(rs_stream_from_memory("a", 1, &in), 0);
	assert_int_equal(rs_stream_memory(in, &data), -EINVAL);
	assert_int_equal(rs_stream_error(in, NULL), 0);
	rs_stream_close(in, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_can_be_seen_and_read),
		cmocka_unit_test(a_limit_is_kept_to_the_byte),
		cmocka_unit_test(only_memory_has_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
