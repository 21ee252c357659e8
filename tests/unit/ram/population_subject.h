/* SPDX-License-Identifier: MIT */
/* A region of test memory, asked for its holes. */
#ifndef RS_TESTS_POPULATION_SUBJECT_H
#define RS_TESTS_POPULATION_SUBJECT_H

#include "ram/population.h"
#include "support/tracked_region.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "support/test_memory.h"

enum { PAGES = 256 };

/* Of the system's pages; set by main(). */
static size_t host_page;

struct subject {
	struct tracked_region tracked;
	struct rs_population *population;
};

static inline void subject_open_sized(struct subject *subject, const struct memory *memory,
				      uint32_t page_bytes)
{
	struct rs_region_config config = {
		.host = memory->host,
		.used_bytes = memory->bytes,
		.fd = memory->fd,
		.flags = memory->fd >= 0 ? RS_REGION_HAS_FD : 0,
	};
	struct rs_error error = { 0 };

	assert_int_equal(tracked_region_init(&subject->tracked, page_bytes, config), 0);
	assert_int_equal(rs_population_open(&subject->population, subject->tracked.region, &error),
			 0);
}

static inline void subject_open(struct subject *subject, const struct memory *memory)
{
	subject_open_sized(subject, memory, (uint32_t)host_page);
}

static inline void subject_close(struct subject *subject)
{
	rs_population_close(subject->population);
	tracked_region_fini(&subject->tracked);
}

/*
 * Walk [offset, limit) with room for max holes at a time, checking each answer's form, and set
 * is_hole[] for each unit of that is a hole. Returns how many units are.
 */
static inline size_t walk(const struct rs_population *population, uint64_t offset, uint64_t limit,
			  size_t max, uint64_t unit, bool *is_hole)
{
	struct rs_extent *holes = calloc(max, sizeof(*holes));
	size_t found = 0;

	assert_non_null(holes);
	while (offset < limit) {
		size_t count = 0;
		uint64_t end = rs_population_scan(population, offset, limit, holes, max, &count);
		uint64_t last = offset;

		assert_true(end > offset && end <= limit);
		assert_true(count <= max && (count == max || end == limit));
		for (size_t i = 0; i < count; i++) {
			assert_true(i == 0 ? holes[i].start >= last : holes[i].start > last);
			assert_true(holes[i].start < holes[i].end && holes[i].end <= end);
			assert_true(holes[i].start % unit == 0 && holes[i].end % unit == 0);
			last = holes[i].end;
			for (uint64_t at = holes[i].start; at < holes[i].end; at += unit, found++)
				if (is_hole != NULL)
					is_hole[at / unit] = true;
		}
		offset = end;
	}
	free(holes);
	return found;
}

static inline size_t count_holes(const struct subject *subject, const struct memory *memory)
{
	return walk(subject->population, 0, memory->bytes, 16, host_page, NULL);
}

/* That exactly the pages that are listed, up to a -1, are no holes. */
static inline void assert_data_is(const struct subject *subject, const struct memory *memory,
				  const int *data)
{
	size_t pages = memory->bytes / host_page;
	bool *is_hole = calloc(pages, sizeof(*is_hole));

	assert_non_null(is_hole);
	walk(subject->population, 0, memory->bytes, 16, host_page, is_hole);
	for (size_t page = 0; page < pages; page++) {
		bool is_data = false;

		for (const int *listed = data; *listed >= 0; listed++)
			is_data = is_data || (size_t)*listed == page;
		if (is_hole[page] == is_data)
			fail_msg("page %zu is %s", page, is_data ? "a hole" : "data");
	}
	free(is_hole);
}

#define ASSERT_DATA(subject, memory, ...)                                                          \
	assert_data_is(subject, memory, (const int[]){ __VA_ARGS__, -1 })
#define ASSERT_NO_DATA(subject, memory) assert_data_is(subject, memory, (const int[]){ -1 })

#endif
