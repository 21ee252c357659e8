/* SPDX-License-Identifier: MIT */
/*
 * Dirty logs: who knows which guest pages were written.
 *
 * A region may have any number of logs; what they report is ORed. A VMM with a log of
 * its own (KVM, an emulator's TLB) implements struct rs_dirty_log_ops; the library
 * brings one that needs nothing from the VMM, rs_dirty_log_userfaultfd. Writers that no
 * log sees (another mapping of the same memory, pwrite to a memfd, O_DIRECT reads,
 * io_uring fixed buffers, vhost back ends, discards) call rs_dirty_mark() in region.h,
 * which works beside any log and without one.
 *
 * Order, as the library calls it for one migration:
 *
 *	start, then { sync, clear* }*, then stop
 *
 * All of it (but see stop) from the thread that saves (rs_migrate_out or the rs_save_* caller), one
 * call at a time for a region.
 */
#ifndef RAMSYNC_DIRTY_LOG_H
#define RAMSYNC_DIRTY_LOG_H

#include <ramsync/state.h>

RS_BEGIN_DECLS

struct rs_region;
struct rs_dirty_sink;

/**
 * struct rs_dirty_log_ops - a dirty log, seen from the library.
 * @size: sizeof(struct rs_dirty_log_ops).
 * @start: begin to record writes to @region. Every write that begins after start
 *	returned must be reported by a later sync. *cookie is the log's own, passed to the other
 *	callbacks. Return 0 or a negative errno; on failure put a sentence in @error->text.
 * @sync: report every page written since start, or since the call that last cleared
 *	it, through rs_dirty_report_range() or rs_dirty_report_bitmap(). With a NULL @clear, sync
 *	itself starts a new period: a page written later must be reported again. With a @clear, a
 *	page may stay reported until it is cleared.
 * @clear: optional: forget what the last sync reported of [@offset, @offset + @bytes), and nothing
 *	else: a page that was written after that sync must still be reported by the next one. (For
 *	KVM: pass to KVM_CLEAR_DIRTY_LOG just the bits that KVM_GET_DIRTY_LOG returned.)
 *	The library calls it once for a chunk between two syncs, before it reads the first page
 *	of the chunk; the range is a multiple of the page size and lies inside the region.
 * @stop: end the log. Called once for every successful start, also after failures; by
 *	rs_region_remove(), in its thread, if the region goes during a migration.
 * @release: optional: the region goes, and nothing is asked of its log any more. Called once, behind
 *	the last stop, by rs_region_remove() or rs_state_destroy(), in its thread; not if
 *	rs_region_add_dirty_log() had failed.
 *
 * Callbacks may block for short, must not call rs_save_*, rs_load*, rs_migrate_* or
 * rs_region_remove() on the same state, and may call everything else.
 */
struct rs_dirty_log_ops {
	size_t size;
	int (*start)(void *opaque, struct rs_region *region, void **cookie, struct rs_error *error);
	int (*sync)(void *opaque, struct rs_region *region, void *cookie,
		    struct rs_dirty_sink *sink, struct rs_error *error);
	int (*clear)(void *opaque, struct rs_region *region, void *cookie, uint64_t offset,
		     uint64_t bytes, struct rs_error *error);
	void (*stop)(void *opaque, struct rs_region *region, void *cookie);
	void (*release)(void *opaque, struct rs_region *region);
};

/**
 * rs_dirty_report_range() - report a range of written bytes.
 * @sink: as given to sync.
 * @offset: first byte, inside the region.
 * @bytes: length; every page that the range touches counts as written. A range that
 *	leaves the used part of the region is cut there.
 *
 * Context: inside a sync callback only.
 */
RS_API void rs_dirty_report_range(struct rs_dirty_sink *sink, uint64_t offset, uint64_t bytes);

/**
 * rs_dirty_report_bitmap() - report written pages as a bitmap, as KVM gives it.
 * @sink: as given to sync.
 * @offset: byte offset in the region of the page of bit 0; a multiple of @granule_bytes.
 * @bitmap: bit i of word i / 64 stands for the granule at @offset + i * @granule_bytes.
 * @bits: number of bits; those past the used part of the region are ignored.
 * @granule_bytes: bytes for each bit, a power of two; may be smaller or larger than the page
 *	size on the wire.
 *
 * Context: inside a sync callback only. @bitmap must not change during the call.
 */
RS_API void rs_dirty_report_bitmap(struct rs_dirty_sink *sink, uint64_t offset,
				   const uint64_t *bitmap, uint64_t bits, uint64_t granule_bytes);

/**
 * rs_dirty_report_stall() - say that a vCPU was held up by the work of a dirty log.
 * @region: a region of the log.
 * @ns: for how long, in nanoseconds.
 *
 * For logs whose vCPUs have to wait for them, as KVM's ring, which does this by itself. The sum is
 * guest_stall_ns of the statistics.
 *
 * Context: any thread, any number of them.
 */
RS_API void rs_dirty_report_stall(struct rs_region *region, uint64_t ns);

/**
 * rs_dirty_log_userfaultfd - dirty log by asynchronous userfaultfd write protection.
 *
 * For private anonymous memory, memfd and other shared memory, and hugetlbfs, on Linux 6.7
 * and later (UFFD_FEATURE_WP_ASYNC with PAGEMAP_SCAN); start fails with -EOPNOTSUPP and the
 * name of the missing feature elsewhere. Needs no privilege. Sees every write through the
 * mapping at the region's host address by any thread, KVM guest or system call; for what it
 * cannot see, see the top of this header. Memory that was never populated stays so, and
 * costs no page tables. The opaque argument is unused.
 *
 * Cost, measured on a 2-core virtual machine: 0.5 ms a GiB for a sync with nothing dirty,
 * 1 us at the first write to each page after a sync.
 *
 * Source: userfaultfd(2), Documentation/admin-guide/mm/pagemap.rst of Linux 6.7.
 */
extern RS_API const struct rs_dirty_log_ops rs_dirty_log_userfaultfd;

/**
 * rs_dirty_log_userfaultfd_probe() - whether rs_dirty_log_userfaultfd can work here.
 * @error: receives what is missing; may be NULL.
 *
 * Asks the kernel, so that a VMM can choose its log before there is a migration to fail.
 *
 * Return: 0; -EOPNOTSUPP with the name of the missing kernel feature; -EPERM; another errno.
 * Context: any thread.
 */
RS_API int rs_dirty_log_userfaultfd_probe(struct rs_error *error);

RS_END_DECLS
#endif
