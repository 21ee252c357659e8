/* SPDX-License-Identifier: MIT */
/*
 * A load that is in postcopy, or about to be, over two regions "a" and "b" of some kind of memory, and
 * records for it; for the tests of loading by postcopy only.
 */
#ifndef RS_TESTS_POSTCOPY_SUBJECT_H
#define RS_TESTS_POSTCOPY_SUBJECT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "load/postcopy_load.h"
#include "support/faulted_region.h"
#include "support/plain_region.h"

#include <errno.h>

#define STREAM_ROOM (40u << 20)

struct memory_of {
	uint8_t *host, *alias;
	int fd;
	struct rs_region *region;
};

static struct subject {
	struct rs_state *state;
	const struct kind *kind;
	struct rs_faults *faults;
	struct memory_of a, b;
	uint32_t page_bytes;
	uint64_t unit_bytes;
	uint64_t bytes; /* of a region */
	/* the stream that is being made */
	uint8_t *data;
	size_t length;
} subject;

/* ---- making a stream ----------------------------------------------------------------------- */

static inline void put_header(uint64_t address, unsigned flags, const char *name, uint64_t length)
{
	assert_true(subject.length + RS_RECORD_MAX_BYTES < STREAM_ROOM);
	subject.length +=
	    rs_record_write(subject.data + subject.length, address, flags, name, length);
}

/* Every word of a page tells where it is, and in which version. */
static inline uint64_t word_of(uint64_t offset, unsigned version)
{
	return (offset + 1) * 0x9e3779b97f4a7c15ull + version;
}

static inline void put_content(uint64_t offset, uint64_t bytes, unsigned version)
{
	assert_true(subject.length + bytes < STREAM_ROOM);
	for (uint64_t at = 0; at < bytes; at += 8) {
		uint64_t word = word_of(offset + at, version);

		memcpy(subject.data + subject.length + at, &word, 8);
	}
	subject.length += bytes;
}

static inline void put_page(const char *name, uint64_t offset, unsigned version)
{
	put_header(offset, RS_FLAG_PAGE, name, 0);
	put_content(offset, subject.page_bytes, version);
}

static inline void put_zero(const char *name, uint64_t offset)
{
	put_header(offset, RS_FLAG_ZERO, name, 0);
}

static inline void put_pages(const char *name, uint64_t offset, uint64_t bytes, unsigned version)
{
	put_header(offset, RS_FLAG_PAGE | RS_FLAG_RUN, name, bytes);
	put_content(offset, bytes, version);
}

static inline void put_zeros(const char *name, uint64_t offset, uint64_t bytes)
{
	put_header(offset, RS_FLAG_ZERO | RS_FLAG_RUN, name, bytes);
}

static inline void put_end(void)
{
	put_header(0, RS_FLAG_EOS, NULL, 0);
}

static inline void put_list(void)
{
	static const char *const names[] = { "a", "b" };

	put_header(2 * subject.bytes, RS_FLAG_MEM_SIZE, NULL, 0);
	for (int i = 0; i < 2; i++) {
		const struct rs_block_entry entry = { .name = names[i],
						      .name_bytes = 1,
						      .used_bytes = subject.bytes };

		subject.length +=
		    rs_block_entry_write(subject.data + subject.length, &entry, false);
	}
	put_end();
}

/* ---- loading it ---------------------------------------------------------------------------- */

/* What was made, as the main stream. */
static inline int load_made(void)
{
	struct rs_stream *stream;

	assert_int_equal(rs_stream_from_memory(subject.data, subject.length, &stream), 0);
	int result = rs_ram_load(subject.state, stream, 4);

	if (result == 0)
		assert_int_equal(rs_stream_bytes_read(stream), subject.length);
	subject.length = 0;
	rs_stream_close(stream, NULL);
	return result;
}

static inline int load_urgent(struct rs_error *error)
{
	struct rs_stream *stream;

	*error = (struct rs_error){ 0 };
	assert_int_equal(rs_stream_from_memory(subject.data, subject.length, &stream), 0);
	int result = rs_ram_load_urgent(subject.state, stream, error);

	subject.length = 0;
	rs_stream_close(stream, NULL);
	return result;
}

static inline void check_failure(int result, int code, const char *text)
{
	assert_int_equal(result, code);
	plain_error_check(subject.state, RS_ERROR_OF_MIGRATION, text);
}

/* Content of that version, or zeros if it is negative. */
static inline bool holds(const struct memory_of *memory, uint64_t offset, uint64_t bytes,
			 int version)
{
	for (uint64_t at = offset; at < offset + bytes; at += 8) {
		uint64_t word = version < 0 ? 0 : word_of(at, (unsigned)version);

		if (load_word(memory->host + at) != word)
			return false;
	}
	return true;
}

static inline uint64_t duplicates(void)
{
	return rs_counter_get(subject.state->counters.postcopy_duplicates);
}

/* ---- life ---------------------------------------------------------------------------------- */

static inline void map_region(struct memory_of *memory, const char *name)
{
	const struct kind *kind = subject.kind;

	memory->fd = -1;
	memory->alias = NULL;
	if (kind->memfd_flags >= 0) {
		memory->fd = memfd_create(name, MFD_CLOEXEC | (unsigned)kind->memfd_flags);
		assert_true(memory->fd >= 0);
		assert_int_equal(ftruncate(memory->fd, (off_t)subject.bytes), 0);
	}
	memory->host = map_kind(kind, subject.bytes, memory->fd);
	if (kind->has_alias)
		memory->alias = map_kind(kind, subject.bytes, memory->fd);
	const struct rs_region_config config = {
		.size = sizeof(config),
		.name = name,
		.host = memory->host,
		.alias = memory->alias,
		.fd = memory->fd,
		.used_bytes = subject.bytes,
		.host_page_bytes = kind->is_huge ? HUGE_BYTES : 0,
		.flags = memory->fd >= 0 ? RS_REGION_HAS_FD | RS_REGION_SHARED : 0,
	};

	assert_int_equal(rs_region_add(subject.state, &config, &memory->region), 0);
}

static inline void unmap_region(struct memory_of *memory)
{
	munmap(memory->host, subject.bytes);
	if (memory->alias != NULL)
		munmap(memory->alias, subject.bytes);
	if (memory->fd >= 0)
		close(memory->fd);
}

/* A session, set up; nothing was loaded yet. */
static inline void open_subject(const struct kind *kind, uint32_t page_bytes, uint64_t units)
{
	uint64_t host_page = kind->is_huge ? HUGE_BYTES : memory_page();

	subject = (struct subject){ .kind = kind, .page_bytes = page_bytes };
	subject.unit_bytes = host_page > page_bytes ? host_page : page_bytes;
	subject.bytes = units * subject.unit_bytes;
	subject.data = plain_memory_map(STREAM_ROOM);
	subject.state = plain_state(page_bytes);
	assert_int_equal(rs_param_set(subject.state, "compress", "on"), 0);
	map_region(&subject.a, "a");
	map_region(&subject.b, "b");
	rs_session_open(subject.state);
	assert_int_equal(rs_session_attach(subject.state, NULL), 0);
	assert_int_equal(rs_ram_load_setup(subject.state, NULL, NULL), 0);
	rs_ram_load_allow_runs(subject.state);
}

static inline int advise(void)
{
	const struct rs_postcopy_advice advice = {
		.host_page_sizes = subject.kind->is_huge ? HUGE_BYTES : memory_page(),
		.target_page_bytes = subject.page_bytes,
	};

	return rs_ram_load_advise(subject.state, &advice);
}

static inline void list_regions(void)
{
	assert_int_equal(advise(), 0);
	put_list();
	assert_int_equal(load_made(), 0);
}

static inline void ignore_request(void *opaque, struct rs_region *region, uint64_t offset,
				  uint64_t bytes)
{
	(void)opaque, (void)region, (void)offset, (void)bytes;
}

static inline int begin_postcopy(void)
{
	const struct rs_fault_ops ops = { ignore_request, NULL };
	struct rs_error error = { 0 };

	if (rs_faults_create(subject.state, -1, &ops, &subject.faults, &error) != 0)
		fail_msg("%s: %s", subject.kind->name, error.text);
	return rs_ram_load_begin_postcopy(subject.state, subject.faults);
}

/* All of it. */
static inline void begin_subject(const struct kind *kind, uint32_t page_bytes, uint64_t units)
{
	open_subject(kind, page_bytes, units);
	list_regions();
	assert_int_equal(begin_postcopy(), 0);
}

static inline void end_subject(void)
{
	rs_session_detach(subject.state);
	rs_faults_destroy(subject.faults);
	rs_ram_load_cleanup(subject.state);
	rs_session_close(subject.state);
	rs_state_destroy(subject.state);
	unmap_region(&subject.a);
	unmap_region(&subject.b);
	plain_memory_unmap(subject.data, STREAM_ROOM);
	subject.state = NULL;
}

/* A test's teardown, if the test failed in the middle. */
static inline int subject_teardown(void **state)
{
	(void)state;
	if (subject.state != NULL)
		end_subject();
	return 0;
}

#endif
