/* SPDX-License-Identifier: MIT */
/*
 * Migrations that end early: recorded ones, cut after each of their bytes. A cut stream never runs
 * the guest, unless all that it needs has come; nothing outside a region is written.
 *
 * In the middle of a page's content one byte is like another: there only some are tried, and all of
 * them with RS_TEST_LONG=1.
 */
#include "integration/odd_streams.h"
#include "support/guarded_memory.h"
#include "support/test_scale.h"

#include <ramsync/param.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define PAGE 4096u
#define REGIONS 2

/* The regions of odd_streams.h, as a source: content, zeros, and one page that the guest writes
 * at last. */
struct source {
	struct rs_state *state;
	struct rs_region *regions[REGIONS];
	struct guarded_memory memory[REGIONS];
};

static int stop(void *opaque)
{
	struct source *source = opaque;

	source->memory[0].data[5] ^= 0xff;
	rs_dirty_mark(source->regions[0], 5, 1);
	return 0;
}

static int resume(void *opaque, enum rs_resume why)
{
	(void)opaque;
	(void)why;
	return 0;
}

static int save_devices(void *opaque, struct rs_device_writer *writer)
{
	const struct rs_device_section section = { .name = "cpu", .version = 1 };

	(void)opaque;
	return rs_device_save(writer, &section, "four", 4);
}

static void open_source(struct source *source)
{
	static const struct {
		const char *name;
		size_t bytes;
	} regions[REGIONS] = { { "a", 4 * PAGE }, { "b", 2 * PAGE } };

	assert_int_equal(rs_state_create(NULL, &source->state), 0);
	for (int i = 0; i < REGIONS; i++) {
		assert_int_equal(guarded_memory_init(&source->memory[i], regions[i].bytes), 0);
		const struct rs_region_config config = { .size = sizeof(config),
							 .name = regions[i].name,
							 .host = source->memory[i].data,
							 .used_bytes = regions[i].bytes };

		assert_int_equal(rs_region_add(source->state, &config, &source->regions[i]), 0);
		memset(source->memory[i].data + PAGE, 0x31 + i, PAGE);
	}
}

static void close_source(struct source *source)
{
	rs_state_destroy(source->state);
	for (int i = 0; i < REGIONS; i++)
		guarded_memory_fini(&source->memory[i]);
}

/* What a one-way migration writes; the machine's name, or "" for the native form. */
static void record(struct stream_bytes *recorded, const char *machine)
{
	const struct rs_vm_ops ops = {
		.size = sizeof(ops), .stop = stop, .resume = resume, .save_devices = save_devices
	};
	struct rs_stream *stream;
	struct source source;
	const void *data;

	open_source(&source);
	assert_int_equal(rs_param_set(source.state, "machine", machine), 0);
	assert_int_equal(rs_stream_to_memory(1 << 20, &stream), 0);
	assert_int_equal(rs_migrate_out(source.state, stream, &ops, &source), 0);
	ssize_t bytes = rs_stream_memory(stream, &data);

	assert_true(bytes > 0);
	stream_add(recorded, data, (size_t)bytes);
	rs_stream_close(stream, NULL);
	close_source(&source);
}

static bool inside_content(const struct stream_bytes *stream, size_t cut)
{
	if (cut < 8 || cut + 8 > stream->bytes || cut % 61 == 0)
		return false;
	return memcmp(stream->data + cut - 8, stream->data + cut - 7, 15) == 0;
}

/* From byte doubt on the destination can only be in doubt, from byte whole on it runs. */
static void cut_everywhere(const struct stream_bytes *stream, unsigned options, size_t doubt,
			   size_t whole)
{
	bool every_byte = test_is_long();

	assert_in_range(whole, 1, stream->bytes);
	for (size_t cut = 0; cut <= stream->bytes; cut++) {
		if (!every_byte && inside_content(stream, cut))
			continue;
		struct rs_error error = { 0 };
		int result = odd_stream_receive(stream->data, cut, options, &error);
		int expected = cut >= whole ? 0 : cut >= doubt ? RS_ERROR_IN_DOUBT : -ENODATA;

		if (result != expected)
			fail_msg("cut after %zu of %zu bytes: %d (%s) instead of %d", cut,
				 stream->bytes, result, error.text, expected);
		if (result != 0 && strstr(error.text, "ended") == NULL)
			fail_msg("cut after %zu bytes: \"%s\"", cut, error.text);
	}
}

static void native_one_way(void **unused)
{
	struct stream_bytes stream = { 0 };

	(void)unused;
	record(&stream, "");
	cut_everywhere(&stream, 0, stream.bytes, stream.bytes);
	stream_free(&stream);
}

/* Once the end mark has come there is just the description of the devices, which nobody needs. */
static void qemus_form(void **unused)
{
	struct stream_bytes stream = { 0 };

	(void)unused;
	record(&stream, "pc-i440fx-7.2");
	const uint8_t *description =
	    memmem(stream.data, stream.bytes, "{\"page_size\"", strlen("{\"page_size\""));

	assert_non_null(description);
	size_t whole = (size_t)(description - stream.data) - 5;

	cut_everywhere(&stream, 0, whole, whole);
	stream_free(&stream);
}

/* The same records behind an offer of a hand-over. Behind CHECK, READY is said. */
static void native_two_way(void **unused)
{
	struct stream_bytes recorded = { 0 }, stream = { 0 }, head = { 0 };

	(void)unused;
	record(&recorded, "");
	stream_text(&head, "native");
	stream_text(&stream, "two-way");
	stream_add(&stream, recorded.data + head.bytes, recorded.bytes - head.bytes - 1);
	stream_text(&stream, "check");
	size_t doubt = stream.bytes;

	stream_text(&stream, "commit");
	size_t whole = stream.bytes;

	stream_text(&stream, "eof");
	cut_everywhere(&stream, ODD_TWO_WAY, doubt, whole);
	stream_free(&recorded);
	stream_free(&stream);
	stream_free(&head);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(native_one_way),
		cmocka_unit_test(qemus_form),
		cmocka_unit_test(native_two_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
