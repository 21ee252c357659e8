/* SPDX-License-Identifier: MIT */
/* Memory of several kinds with the userfaultfd log on it; include after cmocka.h. */
#ifndef RS_TESTS_LOGGED_MEMORY_H
#define RS_TESTS_LOGGED_MEMORY_H

#include "support/tracked_region.h"
#include "track/pagemap.h"
#include "track/userfaultfd.h"

#include <fcntl.h>

#include "support/test_memory.h"

enum { PAGES = 2048 };

static size_t host_page;

/* Kernels without the means are tested for saying so, and for nothing else. */
static bool supported;

#define SKIP_UNLESS_SUPPORTED()                                                                    \
	do {                                                                                       \
		if (!supported) {                                                                  \
			print_message("this kernel cannot log writes by userfaultfd\n");           \
			skip();                                                                    \
		}                                                                                  \
	} while (0)

/* ---- kinds of memory ----------------------------------------------------------------------- */

static inline struct memory map_shared_anonymous(size_t bytes)
{
	return map_new(bytes, MAP_SHARED | MAP_ANONYMOUS, -1);
}

static inline struct memory map_private_file(size_t bytes)
{
	return map_new(bytes, MAP_PRIVATE, memfd_new(bytes));
}

static inline struct memory map_disk_file(size_t bytes)
{
	char path[] = "/tmp/ramsync-log-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);

	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	return map_new(bytes, MAP_SHARED, fd);
}

/* A memfd whose descriptor the log does not get. */
static inline struct memory map_nameless_memfd(size_t bytes)
{
	struct memory memory = map_memfd(bytes);

	close(memory.fd);
	memory.fd = -1;
	return memory;
}

static const struct {
	const char *name;
	struct memory (*map)(size_t bytes);
	bool stays_sparse; /* the log takes no page tables for holes */
} kinds[] = {
	{ "private anonymous", map_anonymous, true },
	{ "memfd", map_memfd, true },
	{ "memfd without its descriptor", map_nameless_memfd, false },
	{ "shared anonymous", map_shared_anonymous, false },
	{ "private file", map_private_file, true },
	{ "file on disk", map_disk_file, false },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* ---- a region with the log ----------------------------------------------------------------- */

static inline void track_sized(struct tracked_region *tracked, const struct memory *memory,
			       uint32_t page_bytes, uint64_t used_bytes, uint64_t host_page_bytes)
{
	struct rs_region_config config = {
		.host = memory->host,
		.used_bytes = used_bytes,
		.max_bytes = memory->bytes,
		.host_page_bytes = host_page_bytes,
		.fd = memory->fd,
		.flags = memory->fd >= 0 ? RS_REGION_HAS_FD : 0,
	};

	assert_int_equal(tracked_region_init(tracked, page_bytes, config), 0);
	assert_int_equal(rs_region_add_dirty_log(tracked->region, &rs_dirty_log_userfaultfd, NULL),
			 0);
}

static inline void track(struct tracked_region *tracked, const struct memory *memory)
{
	track_sized(tracked, memory, (uint32_t)host_page, memory->bytes, 0);
}

static inline void start(struct tracked_region *tracked)
{
	if (tracked_region_start(tracked) != 0)
		fail_msg("start: %s", tracked->error.text);
}

/* Stops and frees. */
static inline void finish(struct tracked_region *tracked)
{
	tracked_region_stop(tracked);
	tracked_region_fini(tracked);
}

/* Sync, and give the number of dirty pages; their bits stay in the region's bitmap. */
static inline uint64_t sync_pages(struct tracked_region *tracked)
{
	rs_bitmap_reset(&tracked->region->dirty);
	if (tracked_region_sync(tracked) != 0)
		fail_msg("sync: %s", tracked->error.text);
	return rs_bitmap_count(&tracked->region->dirty);
}

static inline void assert_dirty_are(struct tracked_region *tracked, const char *what,
				    const int *pages)
{
	uint64_t wanted = 0;
	uint64_t dirty = sync_pages(tracked);

	for (; *pages >= 0; pages++, wanted++)
		if (!rs_bitmap_test(&tracked->region->dirty, (uint64_t)*pages))
			fail_msg("%s: page %d was written and is clean", what, *pages);
	if (dirty != wanted)
		fail_msg("%s: %llu pages are dirty, %llu were written", what,
			 (unsigned long long)dirty, (unsigned long long)wanted);
}

#define ASSERT_DIRTY(tracked, what, ...)                                                           \
	assert_dirty_are(tracked, what, (const int[]){ __VA_ARGS__, -1 })
#define ASSERT_CLEAN(tracked, what) assert_dirty_are(tracked, what, (const int[]){ -1 })

static inline bool is_supported(void)
{
	int pagemap = rs_pagemap_open();
	int userfaultfd = rs_userfaultfd_open(UFFD_FEATURE_WP_ASYNC, NULL);
	bool both = pagemap >= 0 && rs_pagemap_can_scan(pagemap) && userfaultfd >= 0;

	if (pagemap >= 0)
		close(pagemap);
	if (userfaultfd >= 0)
		close(userfaultfd);
	return both;
}

/* What every test program of the log begins with. */
static inline void logged_memory_begin(void)
{
	host_page = (size_t)sysconf(_SC_PAGESIZE);
	supported = is_supported();
}

#endif
