/* SPDX-License-Identifier: MIT */
/*
 * Bodies in postcopy, and an urgent stream after them: pages are placed once, whole, and never elsewhere; what
 * did not come is zero.
 *
 * Input: a byte of options, u16 length of the main stream, that; the urgent stream.
 */
#include "fuzz/check.h"
#include "load/postcopy_load.h"
#include "support/guarded_memory.h"
#include "track/userfaultfd.h"

#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define OPTION_BIG_PAGES 0x01 /* target pages as large as the host's; else a quarter */
#define OPTION_RUNS 0x02
#define OPTION_COMPRESS 0x04
#define OPTION_FAULTS 0x08 /* else it is a recording */

#define HOST_PAGE 4096u
#define UNITS 4u
#define REGION_BYTES (UNITS * HOST_PAGE)
#define PIECE 1024u

static struct guarded_memory memories[2];
static bool can_fault;

/* ---- the plain way ------------------------------------------------------------------------- */

struct input {
	const uint8_t *data;
	size_t bytes;
	size_t at;
};

struct model {
	uint32_t page_bytes, unit_bytes;
	uint8_t bytes[2][REGION_BYTES];
	bool received[2][REGION_BYTES / PIECE]; /* of the bytes from there on */
};

/* One stream's. */
struct model_stream {
	int last;
	/* the host page that is being collected */
	uint64_t filled, start;
	int region;
	bool wanted;
	uint8_t unit[HOST_PAGE];
};

static const uint8_t *take(struct input *input, size_t bytes)
{
	CHECK(bytes <= input->bytes - input->at);
	input->at += bytes;
	return input->data + input->at - bytes;
}

static uint64_t take_number(struct input *input, size_t bytes)
{
	const uint8_t *byte = take(input, bytes);
	uint64_t value = 0;

	for (size_t i = 0; i < bytes; i++)
		value = value << 8 | byte[i];
	return value;
}

static void model_place(struct model *model, int region, uint64_t at, uint64_t bytes,
			const uint8_t *data)
{
	memcpy(model->bytes[region] + at, data, bytes);
	for (uint64_t i = at; i < at + bytes; i += PIECE)
		model->received[region][i / PIECE] = true;
}

/* A target page; NULL: no good one, which is seen only if it is wanted. What the other stream has in hand came
 * already. */
static void model_page(struct model *model, struct model_stream *stream,
		       const struct model_stream *other, uint64_t at, const uint8_t *data)
{
	uint64_t bytes = model->page_bytes;

	if (stream->filled == 0) {
		bool held = other->filled > 0 && other->wanted && other->region == stream->last &&
			    other->start == at;

		CHECK(at % model->unit_bytes == 0);
		stream->start = at;
		stream->region = stream->last;
		stream->wanted = !model->received[stream->last][at / PIECE] && !held;
	}
	CHECK(at == stream->start + stream->filled && stream->region == stream->last);
	CHECK(data != NULL || !stream->wanted);
	if (data != NULL)
		memcpy(stream->unit + stream->filled, data, bytes);
	stream->filled += bytes;
	if (stream->filled < model->unit_bytes)
		return;
	if (stream->wanted)
		model_place(model, stream->region, stream->start, model->unit_bytes, stream->unit);
	stream->filled = 0;
}

static void model_pages(struct model *model, struct model_stream *stream,
			const struct model_stream *other, struct input *input, uint64_t at,
			unsigned flags)
{
	uint64_t bytes = model->page_bytes;
	uint8_t page[HOST_PAGE] = { 0 };
	bool good = true;

	if (!(flags & 0x20)) {
		CHECK(take_number(input, 1) == 1);
		stream->last = (int)take_number(input, 1) - 'a';
	}
	CHECK(stream->last == 0 || stream->last == 1);
	if (flags & 0x04)
		bytes = take_number(input, 8);
	else if (flags & 0x02)
		CHECK(take_number(input, 1) == 0);
	CHECK(at <= REGION_BYTES && bytes <= REGION_BYTES - at);
	for (uint64_t end = at + bytes; at < end; at += model->page_bytes) {
		if (flags & 0x100) {
			size_t packed = take_number(input, 4);
			uLongf room = model->page_bytes;

			good = uncompress(page, &room, take(input, packed), packed) == Z_OK &&
			       room == model->page_bytes;
		} else if (flags & 0x08) {
			memcpy(page, take(input, model->page_bytes), model->page_bytes);
		}
		model_page(model, stream, other, at, good ? page : NULL);
	}
}

/* All that was accepted. */
static void model_body(struct model *model, struct model_stream *stream,
		       const struct model_stream *other, struct input *input)
{
	while (input->at < input->bytes) {
		uint64_t word = take_number(input, 8);
		unsigned flags = (unsigned)(word & (model->page_bytes - 1));

		if (flags & 0x10)
			return;
		if (flags & 0x10a)
			model_pages(model, stream, other, input, word - flags, flags);
		else
			CHECK((flags & ~0x20u) == 0x200);
	}
}

/* ---- the load ------------------------------------------------------------------------------ */

struct loader {
	struct rs_state *state;
	struct rs_region *regions[2];
	struct rs_faults *faults;
	struct model model;
	struct model_stream main, urgent;
};

static void request(void *opaque, struct rs_region *region, uint64_t offset, uint64_t bytes)
{
	(void)opaque, (void)region, (void)offset, (void)bytes;
	CHECK_THAT(false, "nobody touches what is not there");
}

static void add_regions(struct loader *loader)
{
	static const char *const names[] = { "a", "b" };

	for (int i = 0; i < 2; i++) {
		if (memories[i].data == NULL)
			CHECK(guarded_memory_init(&memories[i], REGION_BYTES) == 0);
		guarded_memory_reset(&memories[i], REGION_BYTES);
		memset(memories[i].data, 0xee, HOST_PAGE);
		const struct rs_region_config config = { .size = sizeof(config),
							 .name = names[i],
							 .host = memories[i].data,
							 .used_bytes = REGION_BYTES };

		CHECK(rs_region_add(loader->state, &config, &loader->regions[i]) == 0);
	}
}

static int load(struct loader *loader, const uint8_t *data, size_t bytes, size_t *used)
{
	struct rs_stream *stream;

	CHECK(rs_stream_from_memory(data, bytes, &stream) == 0);
	int result = rs_ram_load(loader->state, stream, 4);

	*used = rs_stream_bytes_read(stream);
	rs_stream_close(stream, NULL);
	return result;
}

static void begin(struct loader *loader, unsigned options)
{
	static const uint8_t list[] = { 0, 0, 0,    0, 0,    0, 0x80, 0x04, 1, 'a', 0, 0,
					0, 0, 0,    0, 0x40, 0, 1,    'b',  0, 0,   0, 0,
					0, 0, 0x40, 0, 0,    0, 0,    0,    0, 0,   0, 0x10 };
	bool big = (options & OPTION_BIG_PAGES) != 0;
	const struct rs_state_config config = { sizeof(config), big ? HOST_PAGE : HOST_PAGE / 4 };
	const struct rs_postcopy_advice advice = { HOST_PAGE, config.target_page_bytes };
	const struct rs_fault_ops ops = { request, NULL };
	struct rs_error error = { 0 };
	size_t used;

	*loader = (struct loader){ .main.last = -1, .urgent.last = -1 };
	loader->model.page_bytes = config.target_page_bytes;
	loader->model.unit_bytes = config.target_page_bytes;
	CHECK(rs_state_create(&config, &loader->state) == 0);
	CHECK(rs_param_set(loader->state, "compress", options & OPTION_COMPRESS ? "on" : "off") ==
	      0);
	add_regions(loader);
	rs_session_open(loader->state);
	CHECK(rs_session_attach(loader->state, NULL) == 0);
	CHECK(rs_ram_load_setup(loader->state, NULL, NULL) == 0);
	if (options & OPTION_RUNS)
		rs_ram_load_allow_runs(loader->state);
	CHECK(rs_ram_load_advise(loader->state, &advice) == 0);
	CHECK(load(loader, list, sizeof(list), &used) == 0 && used == sizeof(list));
	if (options & OPTION_FAULTS && can_fault) {
		loader->model.unit_bytes = HOST_PAGE;
		CHECK(rs_faults_create(loader->state, -1, &ops, &loader->faults, &error) == 0);
	}
	CHECK(rs_ram_load_begin_postcopy(loader->state, loader->faults) == 0);
}

static bool load_bodies(struct loader *loader, const uint8_t *data, size_t bytes)
{
	for (size_t at = 0, used; at < bytes; at += used) {
		struct input input = { .data = data + at };

		if (load(loader, data + at, bytes - at, &used) != 0)
			return false;
		input.bytes = used;
		model_body(&loader->model, &loader->main, &loader->urgent, &input);
		CHECK(input.at == used);
		CHECK(rs_ram_load_is_between_pages(loader->state) == (loader->main.filled == 0));
	}
	return true;
}

static bool load_urgent(struct loader *loader, const uint8_t *data, size_t bytes)
{
	struct rs_error error = { 0 };
	struct rs_stream *stream;

	CHECK(rs_stream_from_memory(data, bytes, &stream) == 0);
	int result = rs_ram_load_urgent(loader->state, stream, &error);
	struct input input = { .data = data, .bytes = rs_stream_bytes_read(stream) };

	rs_stream_close(stream, NULL);
	CHECK(error.code == result && (result == 0 || error.text[0] != '\0'));
	CHECK(rs_session_code(loader->state) == 0);
	if (result != 0)
		return false;
	model_body(&loader->model, &loader->urgent, &loader->main, &input);
	return true;
}

/* A host page came as a whole, or it is zero as a whole. */
static void check_missing(const struct loader *loader, int i)
{
	static const uint8_t zeros[HOST_PAGE];
	uint64_t page = loader->model.page_bytes, unit = loader->model.unit_bytes;
	const struct rs_bitmap *received = &loader->regions[i]->received;

	for (uint64_t at = 0; at < REGION_BYTES; at += page) {
		bool came = rs_bitmap_test(received, at / page);

		CHECK(came == rs_bitmap_test(received, at / unit * unit / page));
		CHECK(came || memcmp(memories[i].data + at, zeros, page) == 0);
	}
	CHECK(guarded_memory_intact(&memories[i], REGION_BYTES));
}

static void compare(const struct loader *loader, int i)
{
	uint64_t page = loader->model.page_bytes;

	for (uint64_t at = 0; at < REGION_BYTES; at += page)
		CHECK(rs_bitmap_test(&loader->regions[i]->received, at / page) ==
		      loader->model.received[i][at / PIECE]);
	CHECK(memcmp(memories[i].data, loader->model.bytes[i], REGION_BYTES) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct loader loader;

	if (bytes < 3)
		return 0;
	if (memories[0].data == NULL) {
		int userfaultfd = rs_userfaultfd_open_for_missing(0, NULL);

		can_fault = userfaultfd >= 0;
		if (can_fault)
			close(userfaultfd);
	}
	size_t main_bytes = data[1] * 256u + data[2];

	begin(&loader, data[0]);
	data += 3, bytes -= 3;
	if (main_bytes > bytes)
		main_bytes = bytes;
	bool good = load_bodies(&loader, data, main_bytes);

	if (good && loader.faults != NULL)
		good = load_urgent(&loader, data + main_bytes, bytes - main_bytes);
	rs_session_detach(loader.state);
	rs_faults_destroy(loader.faults);
	for (int i = 0; i < 2; i++) {
		/* A page of a recording that is cut off may be there in part. */
		if (loader.faults != NULL || good)
			check_missing(&loader, i);
		if (good)
			compare(&loader, i);
	}
	rs_ram_load_cleanup(loader.state);
	rs_session_close(loader.state);
	rs_state_destroy(loader.state);
	return 0;
}
