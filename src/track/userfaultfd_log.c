/* SPDX-License-Identifier: MIT */
/*
 * A dirty log by asynchronous write protection through userfaultfd; how written pages are found is
 * told in wp_part.h.
 *
 * To stop is the expensive end: the kernel lifts the protection page by page, for 30 to 50 ms of
 * processor time a GiB (measured), so it should not happen while the guest waits. Pages of shared
 * memory that were protected then still cost their next writer one fault each; others do not.
 */
#include <ramsync/region.h>

#include "base/checked.h"
#include "base/error.h"
#include "track/mappings.h"
#include "track/pagemap.h"
#include "track/userfaultfd.h"
#include "track/wp_part.h"

#include <stdlib.h>
#include <unistd.h>

/* Owned by the thread that saves. */
struct uffd_log {
	int userfaultfd;
	bool registered; /* else the memory may be another userfaultfd's */
	uint64_t bytes;
	uint64_t page_bytes; /* the host's, huge or not */
	struct rs_wp_part *parts;
	size_t part_count;
	struct rs_wp_memory memory;
};

/* The used part of the region only: holes beyond stay holes. */
static int scan_region(struct uffd_log *log, const struct rs_region *region,
		       struct rs_dirty_sink *sink, struct rs_error *error)
{
	struct rs_wp_pass pass = { .memory = &log->memory, .sink = sink, .error = error };
	uint64_t used = rs_align_up(rs_region_used_bytes(region), log->page_bytes);
	uintptr_t limit = log->memory.host + rs_min_u64(used, log->bytes);

	for (size_t i = 0; i < log->part_count; i++) {
		int result = rs_wp_part_scan(&log->parts[i], &pass, limit);

		if (result < 0)
			return result;
	}
	return 0;
}

static int make_parts(struct uffd_log *log, struct rs_error *error)
{
	struct rs_mapping *mappings = NULL;
	size_t count = 0;
	int result =
	    rs_mappings_read(log->memory.host, log->memory.host + log->bytes, &mappings, &count);

	if (result == 0) {
		log->parts = calloc(count, sizeof(*log->parts));
		if (log->parts == NULL)
			result = -ENOMEM;
	}
	for (size_t i = 0; result == 0 && i < count; i++, log->part_count++)
		result = rs_wp_part_init(&log->parts[i], &log->memory, &mappings[i]);
	free(mappings);
	return result == 0
		   ? 0
		   : rs_error_setf(error, result, "cannot learn how the memory is mapped: %s",
				   rs_errno_text(result));
}

static void log_destroy(struct uffd_log *log)
{
	if (log == NULL)
		return;
	/* Explicitly, because a forked child may hold the descriptor open. Lifts all protection. */
	if (log->registered)
		rs_userfaultfd_unregister(log->userfaultfd, log->memory.host, log->bytes);
	if (log->userfaultfd >= 0)
		close(log->userfaultfd);
	if (log->memory.pagemap >= 0)
		close(log->memory.pagemap);
	rs_backing_file_close(&log->memory.file);
	for (size_t i = 0; i < log->part_count; i++)
		rs_wp_part_fini(&log->parts[i]);
	free(log->parts);
	free(log);
}

static struct uffd_log *log_new(const struct rs_region *region)
{
	struct uffd_log *log = calloc(1, sizeof(*log));
	uint64_t system_page = (uint64_t)sysconf(_SC_PAGESIZE);

	if (log == NULL)
		return NULL;
	log->userfaultfd = -1;
	log->memory.pagemap = -1;
	log->memory.host = (uintptr_t)rs_region_host(region);
	log->page_bytes = rs_max_u64(rs_region_host_page_bytes(region), system_page);
	/* Half a page cannot be mapped, nor registered. */
	log->bytes = rs_align_up(rs_region_max_bytes(region), log->page_bytes);
	log->memory.block_bytes = rs_wp_block_bytes(log->page_bytes);
	rs_backing_file_open(&log->memory.file, rs_region_fd(region));
	return log;
}

int rs_dirty_log_userfaultfd_probe(struct rs_error *error)
{
	int userfaultfd = rs_userfaultfd_open(UFFD_FEATURE_WP_ASYNC, error);

	if (userfaultfd < 0)
		return userfaultfd;
	close(userfaultfd);
	int pagemap = rs_pagemap_open();

	if (pagemap < 0)
		return rs_error_setf(error, pagemap, "/proc/self/pagemap cannot be opened: %s",
				     rs_errno_text(pagemap));
	bool scans = rs_pagemap_can_scan(pagemap);

	close(pagemap);
	return scans ? 0
		     : rs_error_setf(error, -EOPNOTSUPP,
				     "this kernel lacks PAGEMAP_SCAN, which came with Linux 6.7");
}

static int log_open(struct uffd_log *log, struct rs_error *error)
{
	log->memory.pagemap = rs_pagemap_open();
	if (log->memory.pagemap < 0)
		return rs_error_setf(error, log->memory.pagemap,
				     "/proc/self/pagemap cannot be opened: %s",
				     rs_errno_text(log->memory.pagemap));
	log->userfaultfd = rs_userfaultfd_open(UFFD_FEATURE_WP_ASYNC, error);
	if (log->userfaultfd < 0)
		return log->userfaultfd;
	int result = rs_userfaultfd_register(log->userfaultfd, log->memory.host, log->bytes,
					     UFFDIO_REGISTER_MODE_WP, error);

	if (result < 0)
		return result;
	log->registered = true;
	return make_parts(log, error);
}

static int log_start(void *opaque, struct rs_region *region, void **cookie, struct rs_error *error)
{
	struct uffd_log *log = log_new(region);

	(void)opaque;
	if (log == NULL)
		return rs_error_setf(error, -ENOMEM, "no memory");
	int result = log_open(log, error);

	if (result == 0)
		result = scan_region(log, region, NULL, error);
	if (result < 0) {
		log_destroy(log);
		return result;
	}
	*cookie = log;
	return 0;
}

static int log_sync(void *opaque, struct rs_region *region, void *cookie,
		    struct rs_dirty_sink *sink, struct rs_error *error)
{
	(void)opaque;
	return scan_region(cookie, region, sink, error);
}

static void log_stop(void *opaque, struct rs_region *region, void *cookie)
{
	(void)opaque;
	(void)region;
	log_destroy(cookie);
}

const struct rs_dirty_log_ops rs_dirty_log_userfaultfd = {
	.size = sizeof(struct rs_dirty_log_ops),
	.start = log_start,
	.sync = log_sync,
	.stop = log_stop,
};
