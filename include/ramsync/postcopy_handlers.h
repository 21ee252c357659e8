/* SPDX-License-Identifier: MIT */
/*
 * Postcopy by handlers: for a VMM with its own stream and framing, as handlers.h is for precopy. The parameter
 * postcopy-ram must be on. What crosses besides the bodies of RAM is the VMM's: the commands and answers that
 * QEMU uses, or its own.
 *
 * Source:	rs_save_setup, { rs_save_iterate }*
 *		{ rs_save_discard }*	while the guest runs; nothing is sent any more
 *		(stop the guest)
 *		rs_save_discard		stopped
 *		rs_save_start_postcopy
 *		{ rs_save_iterate, rs_save_throttle }*, and rs_save_request from another thread
 *		rs_save_complete, rs_save_cleanup
 * Destination:	rs_load_setup, rs_load_advise, { rs_load }*, { rs_load_discard }*
 *		rs_load_listen		from here on the guest may run
 *		{ rs_load }* to the end of RAM, rs_load_cleanup
 *
 * When the connection breaks in postcopy, rs_save_iterate() and rs_load() fail, and nothing is lost: the destination
 * tells what it has (rs_load_received), calls rs_load_resume(), and the source rs_resume_prepare(); then both
 * go on with new streams.
 */
#ifndef RAMSYNC_POSTCOPY_HANDLERS_H
#define RAMSYNC_POSTCOPY_HANDLERS_H

#include <ramsync/handlers.h>

RS_BEGIN_DECLS

/**
 * rs_has_postcopy() - whether RAM may go by postcopy.
 * @state: the state.
 *
 * Return: 1 if the parameter postcopy-ram is on, else 0.
 * Source: has_postcopy of QEMU's savevm_ram_handlers.
 */
RS_API int rs_has_postcopy(const struct rs_state *state);

/* ---- source ---------------------------------------------------------------------------------- */

/**
 * rs_save_discard() - sync, and tell what is dirty and was not told before.
 * @state: the state.
 * @stopped: not 0: the guest is stopped, and this is the last time.
 * @discard: the destination is to forget parts of a region (POSTCOPY_RAM_DISCARD): ranges, at
 *	most 12, in ascending order, whole host pages. Called in this thread.
 * @opaque: its first argument.
 *
 * Return: 0; -EINVAL if postcopy-ram is off or a region is no whole host pages; the error of a dirty log.
 * Source: ram_postcopy_send_discard_bitmap of QEMU.
 */
RS_API int rs_save_discard(struct rs_state *state, int stopped,
			   void (*discard)(void *opaque, const struct rs_region *region,
					   const struct rs_byte_range *ranges, size_t count),
			   void *opaque);

/**
 * rs_save_start_postcopy() - from now on each page that is left is sent once.
 * @state: the state, after the last rs_save_discard().
 *
 * Return: 0; -EINVAL out of turn.
 */
RS_API int rs_save_start_postcopy(struct rs_state *state);

/**
 * rs_save_request() - the destination waits for pages.
 * @state: the state, in postcopy.
 * @region: name of the region.
 * @offset: whole host pages.
 * @bytes: the same.
 *
 * They go first in the rs_save_iterate() that runs or comes next, which rs_save_throttle() does not
 * hold up. Pages that went already are skipped.
 *
 * Return: 0; -EINVAL with a text for anything that is no host pages of a region, or before postcopy.
 * Context: any thread, one at a time; also while another one is in rs_save_iterate() or rs_save_throttle().
 * Source: ram_save_queue_pages of QEMU.
 */
RS_API int rs_save_request(struct rs_state *state, const char *region, uint64_t offset,
			   uint32_t bytes);

/**
 * struct rs_received_map - what the destination has of a region.
 * @region: its name.
 * @bitmap: as rs_load_received() gave it.
 * @bytes: its length.
 */
struct rs_received_map {
	const char *region;
	const void *bitmap;
	size_t bytes;
};

/**
 * rs_resume_prepare() - after a break: everything that the destination lacks is dirty again.
 * @state: the state, in postcopy, whether or not a call on it has failed.
 * @maps: one for each region that is migrated.
 * @count: how many.
 *
 * Return: 0, and the sequence goes on with rs_save_iterate(); -EINVAL if a region lacks its map, or a map has
 *	another length; the error of before if that was not the connection's (regions changed).
 * Source: ram_resume_prepare of QEMU.
 */
RS_API int rs_resume_prepare(struct rs_state *state, const struct rs_received_map *maps,
			     size_t count);

/* ---- destination ----------------------------------------------------------------------------- */

/**
 * rs_load_advise() - postcopy may come (POSTCOPY_ADVISE).
 * @state: the state, before its first rs_load().
 * @host_page_sizes: sizes of the source's host pages, ORed: must be ours.
 *
 * The regions that the stream lists are emptied.
 *
 * Return: 0; -EINVAL if postcopy-ram is off, or for other pages; -EBUSY if a region's memory has a
 *	userfaultfd already; -EOPNOTSUPP and others if this kernel or process cannot do it.
 */
RS_API int rs_load_advise(struct rs_state *state, uint64_t host_page_sizes);

/**
 * rs_load_discard() - forget parts of a region.
 * @state: the state, before rs_load_listen().
 * @region: its name.
 * @ranges: whole host pages.
 * @count: how many.
 *
 * Return: 0; -EINVAL for a region that was not listed, or ranges that are no host pages of it.
 */
RS_API int rs_load_discard(struct rs_state *state, const char *region,
			   const struct rs_byte_range *ranges, size_t count);

/**
 * rs_load_listen() - from here on the guest may run: what has not come faults, and is asked for.
 * @state: the state, advised, after the list of regions.
 * @request: the guest waits for bytes of a region, whole host pages: have the source send them.
 *	Called in a thread of the library's; must not call rs_load_cleanup() nor rs_load_resume(). Nothing
 *	is asked for twice, but for what still waits at rs_load_resume().
 * @opaque: its first argument.
 *
 * Return: 0; -EINVAL out of turn; -EBUSY; -ENOMEM.
 */
RS_API int rs_load_listen(struct rs_state *state,
			  void (*request)(void *opaque, struct rs_region *region, uint64_t offset,
					  uint64_t bytes),
			  void *opaque);

/**
 * rs_load_received() - what has come of a region (RECV_BITMAP).
 * @state: the state; no rs_load() runs.
 * @region: its name.
 * @bitmap: receives bit N mod 8 of byte N / 8 for target page N; may be NULL to ask for the length.
 * @bytes: room at @bitmap.
 *
 * Return: length of the bitmap, a multiple of 8; -EINVAL for a region that was not listed; -ENOSPC.
 */
RS_API ssize_t rs_load_received(struct rs_state *state, const char *region, void *bitmap,
				size_t bytes);

/**
 * rs_load_resume() - after a break: go on with a new stream.
 * @state: the state, in postcopy, whether or not rs_load() has failed.
 *
 * Asks again for what faults wait for.
 *
 * Return: 0; -EINVAL if it is not in postcopy; the error of before if that was not the connection's.
 */
RS_API int rs_load_resume(struct rs_state *state);

RS_END_DECLS
#endif
