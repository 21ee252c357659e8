/* SPDX-License-Identifier: MIT */
/*
 * The source in postcopy. The guest runs at the destination; each page that is left is sent once, in whole
 * host pages: what is asked for first, and from there on in the background.
 *
 * Threads: one saves, one hears requests. They share the dirty bitmaps, whose bits are the pages that are
 * left: whoever clears a host page's bits sends it. Without an urgent stream the requests go into a queue
 * that the saving thread serves first; with one the hearing thread sends them at once, there.
 */
#ifndef RS_SAVE_POSTCOPY_SAVE_H
#define RS_SAVE_POSTCOPY_SAVE_H

#include "postcopy/discard_scan.h"
#include "save/save.h"

/* Whether every region's memory consists of whole host pages, and so on: the session's error if not. */
int rs_ram_save_check_postcopy(struct rs_state *state);

/*
 * Sync, make dirty whole host pages, and tell of those that were not told of before: the destination must
 * forget them. As often as one likes while the guest runs, after which no page may be sent any more, and
 * once when it is stopped (last). At most RS_DISCARD_RANGES ranges at a time. The session's error.
 */
int rs_ram_save_discard(struct rs_state *state, bool last, rs_discard_emit *emit, void *opaque);

/* Whether that was done at all, and what follows. */
bool rs_ram_save_was_discarded(const struct rs_state *state);
bool rs_ram_save_in_postcopy(const struct rs_state *state);

/* The last of that is done: from now on rs_ram_save_iterate() sends each page once, under
 * max-postcopy-bandwidth, and requests may come. */
void rs_ram_save_begin_postcopy(struct rs_state *state);

/* Requests are served in the thread that brings them, on this stream, which is that thread's then; NULL: by
 * rs_ram_save_iterate() and rs_ram_save_serve() again. To be called while no requests can come. */
void rs_ram_save_set_urgent_stream(struct rs_state *state, struct rs_stream *stream);

/*
 * The destination wants bytes of a region, whole host pages. Pages that are clean went already. 0; -EINVAL
 * with a text if there are no such bytes; the error of the urgent stream. The thread that hears requests.
 */
int rs_ram_save_request(struct rs_state *state, const struct rs_page_request *request,
			struct rs_error *error);

/* A body with what was asked for, and nothing else. As rs_ram_save_iterate(): 1 if no dirty page is left. */
int rs_ram_save_serve(struct rs_state *state, struct rs_stream *stream);

/*
 * Wait for something to do: a request, rs_ram_save_wake(), or, if background, budget under
 * max-postcopy-bandwidth. 0 or the session's error.
 */
int rs_ram_save_wait(struct rs_state *state, struct rs_stream *stream, bool background);

/* Have rs_ram_save_wait() return, now or the next time, and a body end soon. Any thread. */
void rs_ram_save_wake(struct rs_state *state);

/*
 * After a break: what the destination has of a region, as it came (wire/postcopy.h). All else is dirty
 * again. The session's error: a bitmap of another length.
 */
int rs_ram_save_take_received(struct rs_state *state, struct rs_region *region,
			      const uint8_t *bitmap, uint64_t bytes);

/* That was the last region: count, forget requests that were not served, begin anew at the first region. */
void rs_ram_save_resume(struct rs_state *state);

#endif
