/* SPDX-License-Identifier: MIT */
/*
 * Regions: the guest memory of a VM, piece by piece (QEMU's RAM blocks).
 *
 * A region is described once, with rs_region_add(), by the name that it has on the wire
 * and the place where it is mapped. Regions may be added, resized and removed at any time;
 * while a migration runs, that ends the migration with an error that names the region.
 *
 * Three page sizes must not be confused: the target page (rs_state_config, the unit on the
 * wire), the host page (here, the unit in which memory is populated), and the granularity
 * of a dirty log (its own affair).
 */
#ifndef RAMSYNC_REGION_H
#define RAMSYNC_REGION_H

#include <ramsync/dirty_log.h>

RS_BEGIN_DECLS

/** RS_REGION_NAME_BYTES - room for a region's name, terminator included. */
#define RS_REGION_NAME_BYTES 256

/**
 * enum rs_region_flags - what is special about a region.
 * @RS_REGION_FRESH: as a destination, the memory is all zero until loaded. Spares it every
 *	touch and every scan. The flag is dropped when the first load into it or
 *	save of it begins; rs_region_set_fresh() sets it again.
 * @RS_REGION_HAS_FD: fd is valid.
 * @RS_REGION_SHARED: mapped shared. Recorded for the wire form x-ignore-shared.
 * @RS_REGION_RESIZABLE: a loader may change used_bytes to what the stream says, up to
 *	max_bytes.
 * @RS_REGION_IGNORED: its content travels some other way: it is listed in the stream, no
 *	page of it is sent or accepted. Needs the parameter x-ignore-shared at both ends.
 * @RS_REGION_READONLY: mapped read-only. Saved like any other; refused by rs_load(), which could
 *	not write it, unless there is a writable alias.
 */
enum rs_region_flags {
	RS_REGION_FRESH = 1 << 0,
	RS_REGION_HAS_FD = 1 << 1,
	RS_REGION_SHARED = 1 << 2,
	RS_REGION_RESIZABLE = 1 << 3,
	RS_REGION_IGNORED = 1 << 4,
	RS_REGION_READONLY = 1 << 5,
};

/**
 * struct rs_region_config - description of a region; copied by rs_region_add().
 * @size: sizeof(struct rs_region_config).
 * @name: name on the wire, 1 to 255 bytes, unique in the state.
 * @host: where the region is mapped, aligned to @host_page_bytes.
 * @alias: optional second mapping of the same memory, as large and writable; NULL for none. A load
 *	writes through it, so that @host may be read-only, or protected by somebody.
 * @fd: descriptor of the memory (memfd, tmpfs or hugetlbfs file, any file), if flags has
 *	RS_REGION_HAS_FD. Without it shared memory counts as populated everywhere, and
 *	sparse memory is read. Stays the embedder's; must stay open until the region is removed.
 * @used_bytes: present length, a multiple of the target page, more than 0.
 * @max_bytes: mapped length, >= @used_bytes; 0 means @used_bytes.
 * @host_page_bytes: size of the host pages behind it, a power of two; 0 means the system's page
 *	size. Set it for hugetlbfs.
 * @guest_address: guest physical address; on the wire only with x-ignore-shared.
 * @flags: enum rs_region_flags, ORed.
 */
struct rs_region_config {
	size_t size;
	const char *name;
	void *host;
	void *alias;
	int fd;
	uint64_t used_bytes;
	uint64_t max_bytes;
	uint64_t host_page_bytes;
	uint64_t guest_address;
	uint32_t flags;
};

/**
 * struct rs_byte_range - a part of a region.
 * @start: offset of its first byte.
 * @bytes: its length.
 */
struct rs_byte_range {
	uint64_t start;
	uint64_t bytes;
};

/**
 * rs_region_add() - tell a state about a piece of guest memory.
 * @state: the state.
 * @config: the description.
 * @region: receives the region; may be NULL. Untouched on failure.
 *
 * Costs two bits of address space a target page, populated only where pages are dirty. The
 * order in which regions are added is the order in which they are listed and scanned.
 *
 * Return: 0; -EINVAL for a bad description; -EEXIST if the name is taken; -ENOMEM.
 * Context: any thread. During a migration: the region joins the state, and the migration ends
 *	with -ESTALE and an error that names the region.
 * Ownership: the region is the state's; the memory stays the embedder's.
 */
RS_API int rs_region_add(struct rs_state *state, const struct rs_region_config *config,
			 struct rs_region **region);

/**
 * rs_region_remove() - forget a region.
 * @region: the region; invalid afterwards.
 *
 * When the call returns the library does not touch the memory any more: it may be unmapped.
 * A migration that runs ends with -ESTALE; its stream is woken, so a stalled peer is never
 * waited for. In postcopy it is then in doubt at the source (docs/postcopy.md), and what never came of the
 * guest's memory is zeros at the destination: end the vCPUs first. No rs_dirty_mark() on the
 * region may be running or come later.
 *
 * Return: 0; -EDEADLK when called from a callback of the migration that runs.
 * Context: any thread, but see Return; may block until a callback that uses the region returns.
 */
RS_API int rs_region_remove(struct rs_region *region);

/**
 * rs_region_resize() - change a region's used length.
 * @region: the region.
 * @used_bytes: new length, a multiple of the target page, more than 0 and at most max_bytes.
 *
 * Return: 0; -EINVAL for a bad length.
 * Context: any thread. During a migration that is not past its last RAM: the length changes, and
 *	the migration ends with -ESTALE and an error that names the region.
 */
RS_API int rs_region_resize(struct rs_region *region, uint64_t used_bytes);

/**
 * rs_region_set_fresh() - say that a region's memory is all zero again.
 * @region: the region.
 *
 * Sets RS_REGION_FRESH anew: for a VMM that gives memory back when its guest has gone elsewhere
 * (hole punched, or discarded), and may receive one again. If it is not true, old bytes stay where
 * the guest had zeros.
 *
 * Return: 0; -EBUSY while a migration runs, waits for its peer or is in doubt, and between the calls
 *	of a rs_save_* or rs_load* sequence.
 * Context: any thread. Nothing may write the memory from here on but the load.
 */
RS_API int rs_region_set_fresh(struct rs_region *region);

/**
 * rs_region_find() - look a region up.
 * @state: the state.
 * @name: its name.
 *
 * Return: the region, or NULL. It stays valid until rs_region_remove().
 */
RS_API struct rs_region *rs_region_find(struct rs_state *state, const char *name);

/**
 * rs_region_add_dirty_log() - give a region one more dirty log.
 * @region: the region.
 * @ops: the log, copied.
 * @opaque: first argument of its callbacks.
 *
 * Return: 0; -EINVAL if a callback that is not optional is missing; -EBUSY during a
 *	migration; -ENOMEM.
 */
RS_API int rs_region_add_dirty_log(struct rs_region *region, const struct rs_dirty_log_ops *ops,
				   void *opaque);

/**
 * rs_dirty_mark() - say that bytes of a region were written.
 * @region: the region.
 * @offset: first byte written.
 * @bytes: how many; the range is cut at the end of the region.
 *
 * Call it *after* the write: after the store, after the DMA completed, after the discard. While
 * nothing migrates outwards it costs one fence and one load. A page that is marked already costs
 * no atomic write.
 *
 * Context: any thread, also a signal handler; wait-free.
 */
RS_API void rs_dirty_mark(struct rs_region *region, uint64_t offset, uint64_t bytes);

/** rs_region_name() - the name on the wire. Return: valid as long as the region. */
RS_API const char *rs_region_name(const struct rs_region *region);
/** rs_region_state() - the state that it belongs to. Return: the state. */
RS_API struct rs_state *rs_region_state(const struct rs_region *region);
/** rs_region_host() - where it is mapped. Return: the host address. */
RS_API void *rs_region_host(const struct rs_region *region);
/** rs_region_used_bytes() - present length. Return: bytes. */
RS_API uint64_t rs_region_used_bytes(const struct rs_region *region);
/** rs_region_max_bytes() - mapped length. Return: bytes. */
RS_API uint64_t rs_region_max_bytes(const struct rs_region *region);
/** rs_region_host_page_bytes() - size of the host pages behind it. Return: bytes. */
RS_API uint64_t rs_region_host_page_bytes(const struct rs_region *region);
/** rs_region_flags() - enum rs_region_flags, as they are now. Return: flags, ORed. */
RS_API uint32_t rs_region_flags(const struct rs_region *region);
/** rs_region_fd() - the descriptor of the memory. Return: descriptor, or -1 without one. */
RS_API int rs_region_fd(const struct rs_region *region);

RS_END_DECLS
#endif
