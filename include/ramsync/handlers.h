/* SPDX-License-Identifier: MIT */
/*
 * Handlers: the RAM part of a migration, for a VMM that has its own stream and framing. They
 * write and read exactly the bodies of QEMU's "ram" section, version 4; what stands around a body
 * (section header and footer) is the VMM's, on the same stream. For a whole migration in one call
 * see migrate.h.
 *
 * Source:	rs_save_setup	body of SECTION_START
 *		{ rs_save_pending, rs_save_iterate	body of SECTION_PART }*
 *		(stop the guest)
 *		rs_save_complete	body of SECTION_END
 *		rs_save_cleanup
 * Destination:	rs_load_setup, { rs_load }* for each body, rs_load_cleanup
 *
 * Any other order is answered with -EINVAL and a text. While a sequence is open the state takes
 * no other (-EBUSY). All calls of a sequence come from one thread at a time. After a failure only
 * the cleanup call is legal. The guest may run between and during the calls, up to
 * rs_save_complete(). Every call flushes the stream before it returns.
 */
#ifndef RAMSYNC_HANDLERS_H
#define RAMSYNC_HANDLERS_H

#include <ramsync/observe.h>
#include <ramsync/region.h>
#include <ramsync/stream.h>

RS_BEGIN_DECLS

/** RS_RAM_SECTION_NAME - idstr of the section that the handlers write and read. */
#define RS_RAM_SECTION_NAME "ram"
/** RS_RAM_SECTION_VERSION - its version; no other is read. */
#define RS_RAM_SECTION_VERSION 4

/**
 * rs_save_setup() - begin to save: start the dirty logs, mark every page dirty, write the
 * list of regions.
 * @state: the state.
 * @stream: writable.
 *
 * Return: 0; -EBUSY if a migration runs; the error of a dirty log or of the stream. After a
 *	failure the sequence is closed again; no cleanup is needed.
 * Source: ram_save_setup of QEMU 7.2.
 */
RS_API int rs_save_setup(struct rs_state *state, struct rs_stream *stream);

/**
 * enum rs_pending - how well rs_save_pending() is to know.
 * @RS_PENDING_ESTIMATE: as of the last sync; costs nothing.
 * @RS_PENDING_EXACT: sync the dirty logs first.
 */
enum rs_pending {
	RS_PENDING_ESTIMATE,
	RS_PENDING_EXACT,
};

/**
 * rs_save_pending() - how much is left.
 * @state: the state.
 * @how: whether to sync first.
 * @precopy_only: receives bytes that must go before the guest is stopped; may be NULL.
 * @postcopy_able: receives bytes that could also go afterwards; may be NULL. 0 while the parameter
 *	postcopy-ram is off.
 *
 * Return: 0 or the error of a dirty log.
 * Source: ram_save_pending of QEMU 7.2, ram_state_pending_exact of 8.0.
 */
RS_API int rs_save_pending(struct rs_state *state, enum rs_pending how, uint64_t *precopy_only,
			   uint64_t *postcopy_able);

/**
 * rs_save_iterate() - write one body of dirty pages.
 * @state: the state.
 * @stream: writable.
 *
 * Ends when a scan found no dirty page, when max-bandwidth is used up for the present
 * window (rs_save_throttle() waits for the next one), or after about 50 ms.
 *
 * Return: 1 if no dirty page is left, 0 if there is more, or a negative errno.
 * Source: ram_save_iterate of QEMU 7.2.
 */
RS_API int rs_save_iterate(struct rs_state *state, struct rs_stream *stream);

/**
 * rs_save_throttle() - wait until max-bandwidth allows more, or not at all.
 * @state: the state.
 * @stream: the stream of rs_save_iterate(); rs_stream_shutdown() ends the wait.
 *
 * Return: 0 or the stream's error.
 */
RS_API int rs_save_throttle(struct rs_state *state, struct rs_stream *stream);

/**
 * rs_save_complete() - write all that is left, without a rate limit; before postcopy, sync once more.
 * @state: the state.
 * @stream: writable. The guest must be stopped, and nothing else may write its memory.
 *
 * Return: 0 or a negative errno.
 * Source: ram_save_complete of QEMU 7.2.
 */
RS_API int rs_save_complete(struct rs_state *state, struct rs_stream *stream);

/**
 * rs_save_cleanup() - end the sequence: stop the dirty logs, give memory back.
 * @state: the state. Harmless if nothing was set up.
 */
RS_API void rs_save_cleanup(struct rs_state *state);

/**
 * struct rs_load_ops - what a load asks of the VMM. All optional.
 * @size: sizeof(struct rs_load_ops).
 * @region_announced: the stream lists a region that the state lacks. Add one of that name
 *	with rs_region_add(), at least @used_bytes long, and return 0; or return a negative errno,
 *	which ends the load. Without it an unknown region is an error.
 * @region_resized: the used length of a resizable region has become @used_bytes.
 * @observe: see observe.h; of the body only (regions and records).
 *
 * Context: called by rs_load(), in its thread. May call rs_region_add() and
 *	rs_region_add_dirty_log().
 */
struct rs_load_ops {
	size_t size;
	int (*region_announced)(void *opaque, const char *name, uint64_t used_bytes);
	int (*region_resized)(void *opaque, struct rs_region *region, uint64_t used_bytes);
	void (*observe)(void *opaque, const struct rs_observation *observation);
};

/**
 * rs_load_setup() - begin to load.
 * @state: the state.
 * @ops: callbacks, copied; may be NULL.
 * @opaque: their first argument.
 *
 * Return: 0; -EBUSY if a migration runs; -ENOMEM.
 */
RS_API int rs_load_setup(struct rs_state *state, const struct rs_load_ops *ops, void *opaque);

/**
 * rs_load() - read one body and put its pages in place.
 * @state: the state.
 * @stream: readable, at the first byte of a body.
 * @version: version of the section.
 *
 * Return: 0 after the body's end mark; -EINVAL, with a text that names region and offset, for
 *	anything that is not well-formed or does not fit the regions; -EROFS for a read-only region
 *	that is not ignored; -EOPNOTSUPP for XBZRLE, compressed or RDMA records; -ESTALE if regions
 *	changed; -ENOMEM; -ENODATA if the stream ends before the body does; the stream's other
 *	errors. Nothing outside the regions is ever written.
 * Source: ram_load of QEMU 7.2, stricter where docs/wire-format.md says so.
 */
RS_API int rs_load(struct rs_state *state, struct rs_stream *stream, int version);

/**
 * rs_load_cleanup() - end the sequence.
 * @state: the state. Harmless if nothing was set up.
 *
 * Return: 0.
 */
RS_API int rs_load_cleanup(struct rs_state *state);

RS_END_DECLS
#endif
