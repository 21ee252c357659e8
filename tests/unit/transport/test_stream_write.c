/* SPDX-License-Identifier: MIT */
#include "support/stream_end.h"
#include "base/bytes.h"
#include "support/fake_stream.h"
#include "transport/stream_buffers.h"
#include "transport/stream_core.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#define PAGE 4096u

/* A transport that writes down what it is given. */
struct probe {
	int calls;
	int entries; /* of the last call */
	struct iovec last[RS_STREAM_QUEUE_MAX];
	uint8_t *bytes;
	size_t used;
	size_t capacity;
	uint64_t fail_at; /* 0: never */
};

static ssize_t probe_writev(void *opaque, const struct iovec *iov, int count)
{
	struct probe *probe = opaque;
	ssize_t done = 0;
	int i;

	probe->calls++;
	probe->entries = count;
	memcpy(probe->last, iov, (size_t)count * sizeof(*iov));
	for (i = 0; i < count; i++) {
		size_t bytes = iov[i].iov_len;

		if (probe->fail_at != 0 && probe->used + bytes > probe->fail_at)
			bytes = probe->fail_at - probe->used;
		assert_true(bytes <= probe->capacity - probe->used);
		memcpy(probe->bytes + probe->used, iov[i].iov_base, bytes);
		probe->used += bytes;
		done += (ssize_t)bytes;
		if (bytes < iov[i].iov_len)
			break;
	}
	return done != 0 ? done : -ENOSPC;
}

static void probe_shutdown(void *opaque)
{
	(void)opaque;
}

static const struct rs_stream_ops probe_ops = {
	.size = sizeof(probe_ops),
	.writev = probe_writev,
	.shutdown = probe_shutdown,
};

static struct rs_stream *probed(struct probe *probe, size_t capacity)
{
	struct rs_stream *stream = NULL;

	memset(probe, 0, sizeof(*probe));
	probe->bytes = malloc(capacity);
	probe->capacity = capacity;
	assert_non_null(probe->bytes);
	assert_int_equal(rs_stream_create(&probe_ops, probe, RS_STREAM_WRITE, &stream), 0);
	return stream;
}

static void release(struct rs_stream *stream, struct probe *probe)
{
	rs_stream_close(stream, NULL);
	free(probe->bytes);
}

static void integers_are_big_endian(void **state)
{
	static const uint8_t want[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17 };
	struct probe probe;
	struct rs_stream *stream = probed(&probe, PAGE);

	(void)state;
	rs_stream_put_u8(stream, 1);
	rs_stream_put_be16(stream, 0x0203);
	rs_stream_put_be32(stream, 0x04050607);
	rs_stream_put_be64(stream, 0x08090a0b0c0d0e0full);
	rs_stream_put_bytes(stream, "\x10\x11", 2);
	rs_stream_put_bytes(stream, "", 0);
	rs_stream_put_ref(stream, NULL, 0);
	assert_int_equal(rs_stream_bytes_written(stream), sizeof(want));
	assert_int_equal(probe.calls, 0);
	assert_int_equal(rs_stream_flush(stream), 0);
	assert_int_equal(probe.calls, 1);
	assert_int_equal(probe.entries, 1);
	assert_int_equal(probe.used, sizeof(want));
	assert_memory_equal(probe.bytes, want, sizeof(want));
	assert_int_equal(rs_stream_flush(stream), 0);
	assert_int_equal(probe.calls, 1);
	release(stream, &probe);
}

static void pages_are_sent_from_where_they_lie(void **state)
{
	struct probe probe;
	struct rs_stream *stream = probed(&probe, 16 * PAGE);
	uint8_t *pages = calloc(8, PAGE);

	(void)state;
	rs_stream_put_be64(stream, 1);
	rs_stream_put_ref(stream, pages, PAGE);
	rs_stream_put_ref(stream, pages + PAGE, PAGE); /* its neighbour: one entry */
	rs_stream_put_be64(stream, 2);
	rs_stream_put_u8(stream, 2);
	rs_stream_put_ref(stream, pages + 4 * PAGE, PAGE);
	rs_stream_put_ref(stream, pages + 3 * PAGE, PAGE); /* not behind it */
	assert_int_equal(rs_stream_flush(stream), 0);
	assert_int_equal(probe.entries, 5);
	assert_ptr_equal(probe.last[1].iov_base, pages);
	assert_int_equal(probe.last[1].iov_len, 2 * PAGE);
	assert_int_equal(probe.last[2].iov_len, 9);
	assert_ptr_equal(probe.last[3].iov_base, pages + 4 * PAGE);
	assert_ptr_equal(probe.last[4].iov_base, pages + 3 * PAGE);
	release(stream, &probe);
	free(pages);
}

static void a_reference_goes_out_as_it_is_at_the_flush(void **state)
{
	struct probe probe;
	struct rs_stream *stream = probed(&probe, 4 * PAGE);
	uint8_t page[PAGE], copied[PAGE];

	(void)state;
	memset(page, 'a', sizeof(page));
	memset(copied, 'a', sizeof(copied));
	rs_stream_put_ref(stream, page, sizeof(page));
	rs_stream_put_bytes(stream, copied, sizeof(copied));
	memset(page, 'b', sizeof(page));
	memset(copied, 'b', sizeof(copied));
	assert_int_equal(rs_stream_flush(stream), 0);
	assert_int_equal(probe.bytes[0], 'b');
	assert_int_equal(probe.bytes[PAGE - 1], 'b');
	assert_int_equal(probe.bytes[PAGE], 'a');
	assert_int_equal(probe.bytes[2 * PAGE - 1], 'a');
	release(stream, &probe);
}

static void a_full_queue_flushes_itself(void **state)
{
	struct probe probe;
	struct rs_stream *stream = probed(&probe, 8u << 20);
	uint8_t *memory = calloc(1, 4u << 20);
	int i;

	(void)state;
	/* Entries: every second byte, so that none are neighbours. */
	for (i = 0; i < RS_STREAM_QUEUE_MAX; i++)
		rs_stream_put_ref(stream, memory + 2 * i, 1);
	assert_int_equal(probe.calls, 0);
	rs_stream_put_u8(stream, 1);
	assert_int_equal(probe.calls, 1);
	assert_int_equal(probe.entries, RS_STREAM_QUEUE_MAX);
	for (i = 1; i < RS_STREAM_QUEUE_MAX; i++)
		rs_stream_put_ref(stream, memory + 2 * i, 1);
	assert_int_equal(probe.calls, 1);
	rs_stream_put_ref(stream, memory, 1);
	assert_int_equal(probe.calls, 2);
	assert_int_equal(probe.entries, RS_STREAM_QUEUE_MAX);
	assert_int_equal(rs_stream_flush(stream), 0);
	probe.calls = 0;

	/* Bytes by reference. */
	rs_stream_put_ref(stream, memory, RS_STREAM_FLUSH_BYTES - 1);
	assert_int_equal(probe.calls, 0);
	rs_stream_put_u8(stream, 1);
	assert_int_equal(probe.calls, 1);
	assert_int_equal(rs_stream_bytes_written(stream), probe.used);

	/* The arena. */
	for (i = 0; i < (int)RS_STREAM_ARENA_BYTES; i++)
		rs_stream_put_u8(stream, 1);
	assert_int_equal(probe.calls, 1);
	rs_stream_put_u8(stream, 1);
	assert_int_equal(probe.calls, 2);
	release(stream, &probe);
	free(memory);
}

static void a_large_copy_may_be_changed_at_once(void **state)
{
	const size_t bytes = 3 * RS_STREAM_ARENA_BYTES + 5;
	struct probe probe;
	struct rs_stream *stream = probed(&probe, 1u << 20);
	uint8_t *data = malloc(bytes);
	size_t i;

	(void)state;
	memset(data, 'x', bytes);
	rs_stream_put_u8(stream, 'x');
	rs_stream_put_bytes(stream, data, bytes);
	memset(data, 'y', bytes);
	assert_int_equal(rs_stream_flush(stream), 0);
	assert_int_equal(probe.used, bytes + 1);
	for (i = 0; i <= bytes; i++)
		assert_int_equal(probe.bytes[i], 'x');
	release(stream, &probe);
	free(data);
}

static void after_an_error_nothing_is_sent(void **state)
{
	uint8_t page[64] = { 0 };
	uint64_t fail_at;

	(void)state;
	for (fail_at = 1; fail_at < 3 * 72; fail_at++) {
		struct probe probe;
		struct rs_stream *stream = probed(&probe, PAGE);
		struct rs_error error;
		uint64_t before;
		int i, calls;

		probe.fail_at = fail_at;
		for (i = 0; i < 3; i++) {
			rs_stream_put_be64(stream, 1);
			rs_stream_put_ref(stream, page, sizeof(page));
		}
		before = rs_stream_bytes_written(stream);
		assert_int_equal(rs_stream_flush(stream), -ENOSPC);
		assert_int_equal(probe.used, fail_at);
		calls = probe.calls;
		rs_stream_put_be64(stream, 1);
		assert_int_equal(rs_stream_flush(stream), -ENOSPC);
		assert_int_equal(probe.calls, calls);
		assert_int_equal(rs_stream_bytes_written(stream), before);
		rs_stream_error(stream, &error);
		assert_non_null(strstr(error.text, "No space left on device"));
		release(stream, &probe);
	}
}

static void a_stream_to_read_cannot_be_written(void **state)
{
	struct rs_stream *stream = NULL;

	(void)state;
	assert_int_equal(rs_stream_from_memory("x", 1, &stream), 0);
	assert_int_equal(rs_stream_flush(stream), 0);
	rs_stream_put_u8(stream, 1);
	assert_int_equal(rs_stream_flush(stream), -EBADF);
	rs_stream_close(stream, NULL);
}

/* ---- in bits and pieces -------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return *state >> 33;
}

/* Puts of all kinds and sizes, and what they should look like on the other side. */
static size_t put_mix(struct rs_stream *stream, uint64_t seed, const uint8_t *memory, uint8_t *want,
		      size_t bytes)
{
	size_t used = 0;

	while (used + 8 < bytes) {
		size_t length = next_random(&seed) % (1ull << (1 + next_random(&seed) % 17));
		size_t offset = next_random(&seed) % (bytes / 2);

		if (length > bytes - used - 8)
			length = bytes - used - 8;
		if (length > bytes - offset)
			length = bytes - offset;
		switch (next_random(&seed) % 4) {
		case 0:
			rs_put_be64(want + used, seed);
			rs_stream_put_be64(stream, seed);
			length = 8;
			break;
		case 1:
			memcpy(want + used, memory + offset, length);
			rs_stream_put_bytes(stream, memory + offset, length);
			break;
		default:
			memcpy(want + used, memory + offset, length);
			rs_stream_put_ref(stream, memory + offset, length);
			break;
		}
		used += length;
	}
	return used;
}

struct reading {
	struct rs_stream *stream;
	uint8_t *bytes;
	size_t length;
	int code;
};

static void *read_all(void *argument)
{
	struct reading *reading = argument;

	reading->code = rs_stream_get_bytes(reading->stream, reading->bytes, reading->length);
	return NULL;
}

static void assert_passes(const struct fake_options *options, uint64_t seed, size_t bytes)
{
	uint8_t *memory = malloc(bytes), *want = malloc(bytes);
	struct reading reading = { .bytes = calloc(1, bytes) };
	struct rs_stream *writer = NULL;
	pthread_t thread;
	size_t i;

	for (i = 0; i < bytes; i++)
		memory[i] = (uint8_t)(i * 31 + i / 251);
	assert_int_equal(fake_stream_pipe(options, &writer, &reading.stream), 0);
	/* What a first run puts tells how much there is to read. */
	{
		struct rs_stream *dry = NULL;

		assert_int_equal(rs_stream_to_memory(2 * bytes, &dry), 0);
		reading.length = put_mix(dry, seed, memory, want, bytes);
		rs_stream_close(dry, NULL);
	}
	assert_int_equal(pthread_create(&thread, NULL, read_all, &reading), 0);
	put_mix(writer, seed, memory, want, bytes);
	assert_int_equal(rs_stream_flush(writer), 0);
	pthread_join(thread, NULL);
	assert_int_equal(reading.code, 0);
	assert_int_equal(rs_stream_bytes_written(writer), reading.length);
	assert_int_equal(rs_stream_bytes_read(reading.stream), reading.length);
	assert_memory_equal(reading.bytes, want, reading.length);
	rs_stream_close(writer, NULL);
	assert_true(stream_at_end(reading.stream));
	rs_stream_close(reading.stream, NULL);
	free(memory);
	free(want);
	free(reading.bytes);
}

static void bytes_arrive_in_order_however_they_move(void **state)
{
	const struct fake_options one_byte = { .max_bytes = 1 };
	const struct fake_options narrow = { .capacity = 7 };
	uint64_t seed;

	(void)state;
	assert_passes(NULL, 1, 4u << 20);
	assert_passes(&one_byte, 2, 20000);
	assert_passes(&narrow, 3, 5000);
	for (seed = 1; seed <= 40; seed++) {
		/* A wait for room costs a millisecond, or a switch to the reader: few of them. */
		const struct fake_options random = { .seed = seed,
						     .capacity = 64u << (seed % 13),
						     .nonblocking = seed % 8 == 0 };

		assert_passes(&random, seed,
			      200 * random.capacity < 200000 ? 200 * random.capacity : 200000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers_are_big_endian),
		cmocka_unit_test(pages_are_sent_from_where_they_lie),
		cmocka_unit_test(a_reference_goes_out_as_it_is_at_the_flush),
		cmocka_unit_test(a_full_queue_flushes_itself),
		cmocka_unit_test(a_large_copy_may_be_changed_at_once),
		cmocka_unit_test(after_an_error_nothing_is_sent),
		cmocka_unit_test(a_stream_to_read_cannot_be_written),
		cmocka_unit_test(bytes_arrive_in_order_however_they_move),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
