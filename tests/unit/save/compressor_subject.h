/* SPDX-License-Identifier: MIT */
/*
 * A compressor with two regions to compress, the memory of a destination that reads what it writes, and
 * zlib's functions with what a test wants of them in front; for the tests of compressor.c only.
 */
#ifndef RS_TESTS_COMPRESSOR_SUBJECT_H
#define RS_TESTS_COMPRESSOR_SUBJECT_H

#include "save/compressor.h"

#include "support/plain_region.h"
#include "support/test_random.h"
#include "support/without_libdeflate.h"
#include "transport/stream.h"
#include "wire/ram_record.h"

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

#define SUBJECT_PAGES 2048u
#define SUBJECT_BYTES ((size_t)SUBJECT_PAGES * 4096)
#define REGIONS 2

static struct subject {
	struct rs_state *state;
	uint32_t page_bytes;
	struct rs_region *regions[REGIONS]; /* r, s */
	uint8_t *memory[REGIONS];
	uint8_t *there[REGIONS]; /* what the destination has */
	struct rs_record_writer writer;
	struct rs_compressor compressor;
	size_t seen_bytes;
	unsigned last; /* region of the last record that was read */
	uint64_t content_bytes;
	char got[32768];
} subject;

/* ---- zlib ---------------------------------------------------------------------------------- */

/* A page that begins so is one at which deflate() waits, as long as the gate is closed, or fails. */
#define MARK_WAITS "this page waits at the gate"
#define MARK_FAILS "this page cannot be deflated"

static struct {
	atomic_uint calls;
	atomic_bool closed;
	atomic_bool live; /* it was given what the guest may be writing */
	const char *text; /* of the failure; NULL: zlib has none */
	/* So many initialisations work. */
	int inits;
} zlib = { .inits = INT32_MAX };

/* In place of zlib's, in this program. */
int deflate(z_streamp z, int flush)
{
	int (*real)(z_streamp, int) = (int (*)(z_streamp, int))dlsym(RTLD_NEXT, "deflate");

	atomic_fetch_add(&zlib.calls, 1);
	for (unsigned i = 0; i < REGIONS; i++)
		if (z->next_in >= subject.memory[i] &&
		    z->next_in < subject.memory[i] + SUBJECT_BYTES)
			atomic_store(&zlib.live, true);
	if (memcmp(z->next_in, MARK_WAITS, sizeof(MARK_WAITS)) == 0)
		while (atomic_load(&zlib.closed))
			usleep(100);
	if (memcmp(z->next_in, MARK_FAILS, sizeof(MARK_FAILS)) != 0)
		return real(z, flush);
	z->msg = (char *)zlib.text;
	return Z_STREAM_ERROR;
}

int deflateInit2_(z_streamp z, int level, int method, int bits, int memory, int strategy,
		  const char *version, int bytes)
{
	int (*real)(z_streamp, int, int, int, int, int, const char *, int) =
	    (int (*)(z_streamp, int, int, int, int, int, const char *, int))dlsym(RTLD_NEXT,
										  "deflateInit2_");

	if (zlib.inits-- <= 0)
		return Z_MEM_ERROR;
	return real(z, level, method, bits, memory, strategy, version, bytes);
}

/* ---- life ---------------------------------------------------------------------------------- */

static inline void set(const char *name, const char *value)
{
	assert_int_equal(rs_param_set(subject.state, name, value), 0);
}

/* Without a compressor. */
static inline void subject_open(uint32_t page_bytes)
{
	static const char *const names[REGIONS] = { "r", "s" };

	memset(&subject, 0, sizeof(subject));
	subject.page_bytes = page_bytes;
	subject.state = plain_state(page_bytes);
	for (unsigned i = 0; i < REGIONS; i++) {
		subject.memory[i] = plain_memory_map(SUBJECT_BYTES);
		subject.there[i] = plain_memory_map(SUBJECT_BYTES);
		subject.regions[i] =
		    plain_region_add(subject.state, names[i], subject.memory[i], SUBJECT_BYTES, 0);
	}
	subject.writer = (struct rs_record_writer){ .state = subject.state,
						    .counters = &subject.state->counters };
	subject.last = REGIONS;
	assert_int_equal(rs_stream_to_memory(64 << 20, &subject.writer.stream), 0);
	rs_session_open(subject.state);
	set("compress", "on");
	atomic_store(&zlib.calls, 0);
	atomic_store(&zlib.live, false);
	zlib.text = NULL;
}

static inline void subject_start(const char *threads)
{
	set("compress-threads", threads);
	assert_int_equal(rs_compressor_init(&subject.compressor, &subject.writer), 0);
	assert_true(rs_compressor_on(&subject.compressor));
}

static inline void subject_close(void)
{
	rs_compressor_fini(&subject.compressor);
	assert_false(rs_compressor_on(&subject.compressor));
	rs_session_close(subject.state);
	rs_stream_close(subject.writer.stream, NULL);
	rs_state_destroy(subject.state);
	for (unsigned i = 0; i < REGIONS; i++) {
		plain_memory_unmap(subject.memory[i], SUBJECT_BYTES);
		plain_memory_unmap(subject.there[i], SUBJECT_BYTES);
	}
}

/* ---- pages --------------------------------------------------------------------------------- */

static inline uint8_t *page_at(unsigned region, uint64_t page)
{
	return subject.memory[region] + page * subject.page_bytes;
}

/* Content that gets much smaller, and differs from page to page. */
static inline void fill_text(unsigned region, uint64_t first, uint64_t count)
{
	for (uint64_t page = first; page < first + count; page++)
		for (uint32_t i = 0; i < subject.page_bytes; i++)
			page_at(region, page)[i] =
			    (uint8_t)((uint64_t) "libramsync"[i % 10] + page + i / 200);
}

/* Content that does not get smaller. */
static inline void fill_noise(unsigned region, uint64_t first, uint64_t count)
{
	struct test_random random = { first };
	uint8_t *at = page_at(region, first);

	for (uint64_t i = 0; i < count * subject.page_bytes; i++)
		at[i] = (uint8_t)test_random_next(&random);
}

static inline void mark(unsigned region, uint64_t page, const char *mark)
{
	memcpy(page_at(region, page), mark, strlen(mark) + 1);
}

static inline void send(unsigned region, uint64_t first, uint64_t count)
{
	rs_compressor_send(&subject.compressor, subject.regions[region], first, count);
}

/* ---- the destination ----------------------------------------------------------------------- */

static inline unsigned region_of(const struct rs_record *record)
{
	if (record->name == NULL)
		return subject.last;
	assert_int_equal(record->name_bytes, 1);
	return record->name[0] == 'r' ? 0 : 1;
}

static inline void apply(const struct rs_record *record, const uint8_t *content, unsigned region)
{
	uint8_t *to = subject.there[region] + record->address;
	uLongf length = subject.page_bytes;

	if (record->kind == RS_RECORD_PAGE) {
		memcpy(to, content, record->bytes);
		return;
	}
	assert_int_equal(record->kind, RS_RECORD_COMPRESSED);
	/* A record in full would not have been longer. */
	assert_true(record->content + 4 < subject.page_bytes);
	assert_int_equal(uncompress(to, &length, content, (uLong)record->content), Z_OK);
	assert_int_equal(length, subject.page_bytes);
	subject.content_bytes += record->content;
}

static inline void note(const struct rs_record *record, unsigned region)
{
	size_t used = strlen(subject.got);

	snprintf(subject.got + used, sizeof(subject.got) - used, "%s%s%c%u", used > 0 ? " " : "",
		 record->name == NULL ? ""
		 : region == 0        ? "r:"
				      : "s:",
		 record->kind == RS_RECORD_PAGE ? 'p' : 'c',
		 (unsigned)(record->address / subject.page_bytes));
}

/* Flush, read what is new, and say what it was: p or c for each record, with its page, and with its
 * region if it is named. */
static inline const char *load(void)
{
	const struct rs_record_rules rules = { .page_bytes = subject.page_bytes,
					       .compressed_limit = subject.page_bytes };
	const void *data;

	assert_int_equal(rs_record_writer_flush(&subject.writer), 0);
	size_t bytes = (size_t)rs_stream_memory(subject.writer.stream, &data);

	subject.got[0] = '\0';
	while (subject.seen_bytes < bytes) {
		const uint8_t *at = (const uint8_t *)data + subject.seen_bytes;
		struct rs_error error = { 0 };
		struct rs_record record;
		size_t need;
		int header =
		    rs_record_parse(at, bytes - subject.seen_bytes, &rules, &record, &need, &error);

		assert_true(header > 0);
		subject.seen_bytes += (size_t)header + record.content;
		subject.last = region_of(&record);
		apply(&record, at + header, subject.last);
		note(&record, subject.last);
	}
	return subject.got;
}

static inline void check_arrived(unsigned region, uint64_t first, uint64_t count)
{
	size_t offset = first * subject.page_bytes;

	assert_memory_equal(subject.there[region] + offset, subject.memory[region] + offset,
			    count * subject.page_bytes);
}

static inline const char *drain_and_load(void)
{
	rs_compressor_drain(&subject.compressor);
	assert_null(subject.compressor.open);
	assert_int_equal(rs_worker_pool_pending(subject.compressor.pool), 0);
	return load();
}

static inline uint64_t count_of(const _Atomic uint64_t *counter)
{
	return rs_counter_get(*counter);
}

#define COUNT(name) count_of(&subject.state->counters.name)

#endif
