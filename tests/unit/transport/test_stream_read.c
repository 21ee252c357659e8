/* SPDX-License-Identifier: MIT */
#include "support/stream_end.h"
#include "support/fake_stream.h"
#include "transport/stream_buffers.h"
#include "transport/stream_core.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void integers_are_big_endian(void **state)
{
	static const uint8_t bytes[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
	struct rs_stream *stream = NULL;

	(void)state;
	assert_int_equal(rs_stream_from_memory(bytes, sizeof(bytes), &stream), 0);
	assert_int_equal(rs_stream_get_u8(stream), 1);
	assert_int_equal(rs_stream_get_be16(stream), 0x0203);
	assert_int_equal(rs_stream_get_be32(stream), 0x04050607);
	assert_true(rs_stream_get_be64(stream) == 0x08090a0b0c0d0e0full);
	assert_int_equal(rs_stream_bytes_read(stream), 15);
	assert_false(stream_at_end(stream));
	assert_int_equal(rs_stream_get_u8(stream), 16);
	assert_true(stream_at_end(stream));
	assert_int_equal(rs_stream_error(stream, NULL), 0);
	rs_stream_close(stream, NULL);
}

static void an_early_end_gives_zeros_and_says_where(void **state)
{
	uint8_t got[8];
	struct rs_stream *stream = NULL;
	struct rs_error error;
	size_t placed = 99;

	(void)state;
	assert_int_equal(rs_stream_from_memory("abcdefg", 7, &stream), 0);
	assert_int_equal(rs_stream_get_be32(stream), 0x61626364);
	memset(got, 0xff, sizeof(got));
	assert_int_equal(rs_stream_get_bytes(stream, got, sizeof(got)), -ENODATA);
	assert_memory_equal(got, "\0\0\0\0\0\0\0\0", sizeof(got));
	assert_int_equal(rs_stream_error(stream, &error), -ENODATA);
	assert_string_equal(error.text, "the stream ended after 7 bytes");
	assert_int_equal(rs_stream_get_u8(stream), 0);
	rs_stream_close(stream, NULL);

	assert_int_equal(rs_stream_from_memory("abcdefg", 7, &stream), 0);
	assert_int_equal(rs_stream_read_into(stream, got, sizeof(got), &placed), -ENODATA);
	assert_int_equal(placed, 7);
	assert_memory_equal(got, "abcdefg", 7);
	assert_int_equal(rs_stream_read_into(stream, got, sizeof(got), &placed), -ENODATA);
	assert_int_equal(placed, 0);
	rs_stream_close(stream, NULL);
}

static void nothing_wanted_is_nothing_done(void **state)
{
	struct rs_stream *stream = NULL;

	(void)state;
	assert_int_equal(rs_stream_from_memory(NULL, 0, &stream), 0);
	assert_int_equal(rs_stream_get_bytes(stream, NULL, 0), 0);
	assert_int_equal(rs_stream_read_into(stream, NULL, 0, NULL), 0);
	assert_int_equal(rs_stream_skip(stream, 0), 0);
	assert_true(stream_at_end(stream));
	assert_int_equal(rs_stream_skip(stream, 1), -ENODATA);
	assert_int_equal(rs_stream_get_bytes(stream, NULL, 0), -ENODATA);
	rs_stream_close(stream, NULL);
}

static void a_stream_to_write_cannot_be_read(void **state)
{
	struct rs_stream *stream = NULL;

	(void)state;
	assert_int_equal(rs_stream_to_memory(10, &stream), 0);
	assert_int_equal(rs_stream_get_u8(stream), 0);
	assert_int_equal(rs_stream_error(stream, NULL), -EBADF);
	rs_stream_close(stream, NULL);
}

static void peek_has_its_limits(void **state)
{
	const uint8_t *data;
	struct rs_stream *stream = NULL;

	(void)state;
	assert_int_equal(rs_stream_from_memory("abc", 3, &stream), 0);
	assert_int_equal(rs_stream_peek(stream, &data, 0), -EINVAL);
	assert_int_equal(rs_stream_peek(stream, &data, RS_STREAM_PEEK_MAX + 1), -EINVAL);
	assert_int_equal(rs_stream_peek(stream, &data, 2), 2);
	assert_memory_equal(data, "ab", 2);
	assert_int_equal(rs_stream_peek(stream, &data, RS_STREAM_PEEK_MAX), 3);
	assert_memory_equal(data, "abc", 3);
	assert_int_equal(rs_stream_bytes_read(stream), 0);
	assert_int_equal(rs_stream_skip(stream, 3), 0);
	assert_int_equal(rs_stream_peek(stream, &data, 1), 0);
	assert_int_equal(rs_stream_error(stream, NULL), 0);
	rs_stream_close(stream, NULL);
}

/* ---- straight into place ------------------------------------------------------------------- */

struct probe {
	const void *first; /* where the last call was to read to */
	size_t first_bytes;
	int calls;
};

/* An endless row of 'x', as much as is asked for. */
static ssize_t probe_readv(void *opaque, const struct iovec *iov, int count)
{
	struct probe *probe = opaque;
	size_t bytes = 0;
	int i;

	probe->first = iov[0].iov_base;
	probe->first_bytes = iov[0].iov_len;
	probe->calls++;
	for (i = 0; i < count; i++) {
		memset(iov[i].iov_base, 'x', iov[i].iov_len);
		bytes += iov[i].iov_len;
	}
	return (ssize_t)bytes;
}

static void probe_shutdown(void *opaque)
{
	(void)opaque;
}

static void pages_are_read_in_place_with_what_follows(void **state)
{
	const struct rs_stream_ops ops = { sizeof(ops), probe_readv, NULL, probe_shutdown, NULL };
	struct probe probe = { 0 };
	struct rs_stream *stream = NULL;
	uint8_t *memory = calloc(1, 1u << 20);
	size_t placed;

	(void)state;
	assert_int_equal(rs_stream_create(&ops, &probe, RS_STREAM_READ, &stream), 0);
	assert_int_equal(rs_stream_read_into(stream, memory, 4096, &placed), 0);
	assert_int_equal(placed, 4096);
	assert_ptr_equal(probe.first, memory);
	assert_int_equal(probe.first_bytes, 4096);
	assert_int_equal(memory[4096], 0);

	/* The buffer was filled by the same call: what it holds costs no other. */
	assert_int_equal(rs_stream_read_into(stream, memory, RS_STREAM_BUFFER_BYTES - 96, NULL), 0);
	assert_int_equal(probe.calls, 1);
	assert_int_equal(rs_stream_read_into(stream, memory, 4096, NULL), 0);
	assert_int_equal(probe.calls, 2);
	assert_ptr_equal(probe.first, memory + 96);
	assert_int_equal(probe.first_bytes, 4000);

	/* Behind a long run little is read ahead, because that is copied once more. */
	assert_int_equal(rs_stream_skip(stream, RS_STREAM_BUFFER_BYTES), 0);
	assert_int_equal(rs_stream_read_into(stream, memory, 1u << 20, NULL), 0);
	assert_int_equal(probe.calls, 3);
	assert_ptr_equal(probe.first, memory);
	assert_int_equal(rs_stream_skip(stream, RS_STREAM_PEEK_MAX), 0);
	assert_int_equal(probe.calls, 3);
	assert_int_equal(rs_stream_skip(stream, 1), 0);
	assert_int_equal(probe.calls, 4);
	rs_stream_close(stream, NULL);
	free(memory);
}

static ssize_t end_at_once(void *opaque, const struct iovec *iov, int count)
{
	struct probe *probe = opaque;

	(void)iov;
	(void)count;
	probe->calls++;
	return 0;
}

/* On a terminal every look at the end takes a key press. */
static void the_end_is_asked_for_once(void **state)
{
	const struct rs_stream_ops ops = { sizeof(ops), end_at_once, NULL, probe_shutdown, NULL };
	struct probe probe = { 0 };
	struct rs_stream *stream = NULL;

	(void)state;
	assert_int_equal(rs_stream_create(&ops, &probe, RS_STREAM_READ, &stream), 0);
	assert_true(stream_at_end(stream));
	assert_true(stream_at_end(stream));
	assert_int_equal(rs_stream_skip(stream, 1), -ENODATA);
	assert_int_equal(probe.calls, 1);
	rs_stream_close(stream, NULL);
}

/* ---- any mixture --------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return *state >> 33;
}

static uint8_t byte_at(uint64_t position)
{
	return (uint8_t)(position * 131 + position / 257);
}

static void assert_bytes(const uint8_t *bytes, size_t count, uint64_t position)
{
	size_t i;

	for (i = 0; i < count; i++) {
		if (bytes[i] != byte_at(position + i))
			fail_msg("byte %llu is wrong", (unsigned long long)(position + i));
	}
}

/* One random call; returns how many bytes it took. */
static size_t take_some(struct rs_stream *stream, uint64_t *seed, uint8_t *scratch,
			uint64_t position, size_t left)
{
	size_t bytes = 1 + next_random(seed) % (1ull << (next_random(seed) % 17));
	const uint8_t *data;
	size_t placed;

	if (bytes > left)
		bytes = left;
	switch (next_random(seed) % 5) {
	case 0:
		assert_int_equal(rs_stream_skip(stream, bytes), 0);
		return bytes;
	case 1:
		if (bytes > RS_STREAM_PEEK_MAX)
			bytes = RS_STREAM_PEEK_MAX;
		assert_int_equal(rs_stream_peek(stream, &data, bytes), bytes);
		assert_bytes(data, bytes, position);
		return 0;
	case 2:
		assert_int_equal(rs_stream_read_into(stream, scratch, bytes, &placed), 0);
		assert_int_equal(placed, bytes);
		break;
	case 3:
		assert_int_equal(rs_stream_get_u8(stream), byte_at(position));
		return 1;
	default:
		assert_int_equal(rs_stream_get_bytes(stream, scratch, bytes), 0);
		break;
	}
	assert_bytes(scratch, bytes, position);
	return bytes;
}

struct writing {
	struct rs_stream *stream;
	const uint8_t *bytes;
	size_t length;
};

static void *write_all(void *argument)
{
	struct writing *writing = argument;

	rs_stream_put_ref(writing->stream, writing->bytes, writing->length);
	rs_stream_flush(writing->stream);
	rs_stream_close(writing->stream, NULL);
	return NULL;
}

static void every_mixture_of_calls_sees_the_same_bytes(void **state)
{
	const size_t length = 700000;
	uint8_t *bytes = malloc(length), *scratch = malloc(1u << 17);
	uint64_t round;
	size_t i;

	(void)state;
	for (i = 0; i < length; i++)
		bytes[i] = byte_at(i);
	for (round = 1; round <= 60; round++) {
		const struct fake_options options = {
			.seed = round % 4 == 0 ? 0 : round,
			.max_bytes = round % 10 == 0 ? 1 : 0,
		};
		struct writing writing = { .bytes = bytes,
					   .length = round % 10 == 0 ? 20000 : length };
		struct rs_stream *reader = NULL;
		uint64_t seed = round, position = 0;
		pthread_t thread;

		assert_int_equal(fake_stream_pipe(&options, &writing.stream, &reader), 0);
		assert_int_equal(pthread_create(&thread, NULL, write_all, &writing), 0);
		while (position < writing.length) {
			position +=
			    take_some(reader, &seed, scratch, position, writing.length - position);
			assert_int_equal(rs_stream_bytes_read(reader), position);
		}
		assert_true(stream_at_end(reader));
		assert_int_equal(rs_stream_error(reader, NULL), 0);
		pthread_join(thread, NULL);
		rs_stream_close(reader, NULL);
	}
	free(bytes);
	free(scratch);
}

static void an_error_at_any_byte_is_told_once_it_is_reached(void **state)
{
	uint64_t at;

	(void)state;
	for (at = 0; at < 40; at++) {
		const struct fake_options fails = { .read_fail_code = -EIO, .read_fail_at = at };
		const struct fake_options cut = { .cut = true, .cut_at = at };
		bool is_cut = false;

		do {
			struct rs_stream *writer = NULL, *reader = NULL;
			uint8_t bytes[40] = { 0 };
			uint64_t i;

			assert_int_equal(fake_stream_pipe(is_cut ? &cut : &fails, &writer, &reader),
					 0);
			memset(bytes, 7, sizeof(bytes));
			rs_stream_put_bytes(writer, bytes, sizeof(bytes));
			assert_int_equal(rs_stream_flush(writer), is_cut ? -EPIPE : 0);
			for (i = 0; i < at; i++)
				assert_int_equal(rs_stream_get_u8(reader), 7);
			assert_int_equal(rs_stream_error(reader, NULL), 0);
			assert_int_equal(rs_stream_get_u8(reader), 0);
			assert_int_equal(rs_stream_error(reader, NULL), is_cut ? -ENODATA : -EIO);
			rs_stream_close(writer, NULL);
			rs_stream_close(reader, NULL);
			is_cut = !is_cut;
		} while (is_cut);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers_are_big_endian),
		cmocka_unit_test(an_early_end_gives_zeros_and_says_where),
		cmocka_unit_test(nothing_wanted_is_nothing_done),
		cmocka_unit_test(a_stream_to_write_cannot_be_read),
		cmocka_unit_test(peek_has_its_limits),
		cmocka_unit_test(pages_are_read_in_place_with_what_follows),
		cmocka_unit_test(the_end_is_asked_for_once),
		cmocka_unit_test(every_mixture_of_calls_sees_the_same_bytes),
		cmocka_unit_test(an_error_at_any_byte_is_told_once_it_is_reached),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
