/* SPDX-License-Identifier: MIT */
/*
 * Streams with compressed pages, a state that loads them, and zlib's functions with what a test wants of
 * them in front; for the tests of decompressor.c only.
 */
#ifndef RS_TESTS_DECOMPRESSOR_SUBJECT_H
#define RS_TESTS_DECOMPRESSOR_SUBJECT_H

#include "load/load.h"

#include "support/loading.h"
#include "support/plain_region.h"
#include "support/without_libdeflate.h"

#include <dlfcn.h>
#include <errno.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <cmocka.h>

#define REGION_BYTES (8u << 20)
#define STREAM_BYTES (24u << 20)
#define UNTOUCHED 0xee

static struct subject {
	struct rs_state *state;
	uint32_t page_bytes;
	struct rs_region *a, *b;
	uint8_t *memory, *other; /* of a and b */
	struct rs_stream *stream;
	uint8_t *data; /* of the stream */
	size_t bytes;
	struct rs_load_ops ops;
} subject;

/* ---- zlib ---------------------------------------------------------------------------------- */

static struct {
	atomic_uint calls;
	unsigned slow_call; /* counted from 1, it takes long; 0: none */
	int inits;          /* so many initialisations work */
} zlib = { .inits = INT32_MAX };

/* In place of zlib's, in this program. */
int inflate(z_streamp z, int flush)
{
	int (*real)(z_streamp, int) = (int (*)(z_streamp, int))dlsym(RTLD_NEXT, "inflate");

	if (atomic_fetch_add(&zlib.calls, 1) + 1 == zlib.slow_call)
		usleep(30000);
	return real(z, flush);
}

int inflateInit_(z_streamp z, const char *version, int bytes)
{
	int (*real)(z_streamp, const char *, int) =
	    (int (*)(z_streamp, const char *, int))dlsym(RTLD_NEXT, "inflateInit_");

	return zlib.inits-- > 0 ? real(z, version, bytes) : Z_MEM_ERROR;
}

/* ---- life ---------------------------------------------------------------------------------- */

static inline void set(const char *name, const char *value)
{
	assert_int_equal(rs_param_set(subject.state, name, value), 0);
}

static inline void subject_open(uint32_t page_bytes)
{
	const struct rs_region_config b = {
		.size = sizeof(b),
		.name = "b",
		.host = plain_memory_map(REGION_BYTES),
		.used_bytes = REGION_BYTES,
		.max_bytes = REGION_BYTES,
		.flags = RS_REGION_RESIZABLE,
	};

	subject = (struct subject){ .page_bytes = page_bytes };
	subject.memory = plain_memory_map(REGION_BYTES);
	subject.other = b.host;
	memset(subject.memory, UNTOUCHED, REGION_BYTES);
	memset(subject.other, UNTOUCHED, REGION_BYTES);
	subject.data = malloc(STREAM_BYTES);
	assert_non_null(subject.data);
	subject.state = plain_state(page_bytes);
	subject.a = plain_region_add(subject.state, "a", subject.memory, REGION_BYTES, 0);
	assert_int_equal(rs_region_add(subject.state, &b, &subject.b), 0);
	subject.ops.size = sizeof(subject.ops);
	set("compress", "on");
	zlib.slow_call = 0;
	zlib.inits = INT32_MAX;
	atomic_store(&zlib.calls, 0);
}

/* What was put so far is the stream. */
static inline void begin(void)
{
	subject.stream =
	    loading_begin(subject.state, subject.data, subject.bytes, &subject.ops, NULL);
}

static inline void end(void)
{
	loading_end(subject.state, &subject.stream);
	subject.bytes = 0;
	atomic_store(&zlib.calls, 0);
}

static inline void subject_close(void)
{
	end();
	rs_state_destroy(subject.state);
	plain_memory_unmap(subject.memory, REGION_BYTES);
	plain_memory_unmap(subject.other, REGION_BYTES);
	free(subject.data);
}

static inline int load(void)
{
	return rs_ram_load(subject.state, subject.stream, RS_RAM_SECTION_VERSION);
}

static inline void load_all(void)
{
	begin();
	if (load() != 0)
		fail_msg("%s", plain_error_text(subject.state, RS_ERROR_OF_MIGRATION));
}

static inline void load_refused(int code, const char *text)
{
	begin();
	assert_int_equal(load(), code);
	plain_error_check(subject.state, RS_ERROR_OF_MIGRATION, text);
}

static inline struct rs_decompressor *decompressor(void)
{
	return &subject.state->load->decompressor;
}

static inline unsigned under_way(void)
{
	const struct rs_decompressor *own = decompressor();

	return own->pool == NULL ? 0
				 : rs_worker_pool_pending(own->pool) + (own->open != NULL ? 1 : 0);
}

/* ---- streams ------------------------------------------------------------------------------- */

static inline void put(const void *bytes, size_t count)
{
	assert_true(subject.bytes + count <= STREAM_BYTES);
	memcpy(subject.data + subject.bytes, bytes, count);
	subject.bytes += count;
}

/* name: NULL to go on in the region of the record before. */
static inline void put_record(const char *name, uint64_t page, unsigned flags, uint64_t length)
{
	uint8_t header[RS_RECORD_MAX_BYTES];

	put(header, rs_record_write(header, page * subject.page_bytes, flags, name, length));
}

static inline void put_entry(const char *name, uint64_t used_bytes)
{
	const struct rs_block_entry entry = { name, (uint8_t)strlen(name), used_bytes, 0 };
	uint8_t bytes[RS_BLOCK_ENTRY_MAX_BYTES];

	put(bytes, rs_block_entry_write(bytes, &entry, false));
}

static inline void put_list(uint64_t b_bytes)
{
	uint8_t header[RS_RECORD_MAX_BYTES];

	put(header, rs_record_write(header, REGION_BYTES + b_bytes, RS_FLAG_MEM_SIZE, NULL, 0));
	put_entry("a", REGION_BYTES);
	put_entry("b", b_bytes);
}

static inline void put_end(void)
{
	uint8_t header[RS_RECORD_MAX_BYTES];

	put(header, rs_record_write(header, 0, RS_FLAG_EOS, NULL, 0));
}

static inline void put_content(const char *name, uint64_t page, const void *content, size_t bytes)
{
	put_record(name, page, RS_FLAG_COMPRESS_PAGE, bytes);
	put(content, bytes);
}

/* Compressed data as zlib makes them. */
static inline void put_compressed(const char *name, uint64_t page, const void *data, size_t bytes,
				  int level)
{
	static uint8_t content[200000];
	uLongf length = sizeof(content);

	assert_int_equal(compress2(content, &length, data, (uLong)bytes, level), Z_OK);
	put_content(name, page, content, length);
}

/* A page of such bytes. */
static inline void put_filled(const char *name, uint64_t page, uint8_t byte)
{
	static uint8_t filled[65536];

	memset(filled, byte, subject.page_bytes);
	put_compressed(name, page, filled, subject.page_bytes, 1);
}

static inline void check_filled(const uint8_t *memory, uint64_t page, uint8_t byte)
{
	const uint8_t *at = memory + page * subject.page_bytes;

	for (uint32_t i = 0; i < subject.page_bytes; i++)
		if (at[i] != byte)
			fail_msg("page %u, byte %u: 0x%02x instead of 0x%02x", (unsigned)page, i,
				 at[i], byte);
}

#endif
