/* SPDX-License-Identifier: MIT */
/*
 * Pages of records into memory under a guest that runs on it: content is collected until a host page is whole,
 * and then placed. A page that came already is read and forgotten.
 *
 * There are two placers, one for each stream. A page that the one has in hand came already, for the other: if
 * it is lost after all, because its stream breaks, it was not received, and the source sends it again.
 */
#ifndef RS_LOAD_POSTCOPY_PLACER_H
#define RS_LOAD_POSTCOPY_PLACER_H

#include "codec/zlib_page.h"
#include "load/page_reader.h"
#include "postcopy/faults.h"

/* What a placer has in hand. */
struct rs_placer_hold {
	const struct rs_region *region; /* NULL: nothing */
	uint64_t start;
	uint64_t end;
};

struct rs_placer {
	/* immutable */
	struct rs_faults *faults;
	struct rs_page_reader *reader;
	const struct rs_placer *other;
	pthread_mutex_t *lock; /* that both share */
	bool lax;              /* take what may be damage, but QEMU takes */
	uint8_t *buffer;       /* for content that cannot be staged */
	size_t buffer_bytes;

	/* guarded by lock; written by the placer's thread */
	struct rs_placer_hold hold;

	/* The host page that is here in part. */
	_Atomic uint64_t filled; /* bytes of it; 0: there is none. Read by any thread */
	/* the placer's thread only */
	const struct rs_region *region;
	uint64_t start;
	uint8_t *content;
	bool unwanted; /* it came already */
	bool empty;    /* only zeros so far, and nothing written to content */

	/* For compressed pages; made when the first one comes. */
	struct rs_inflater inflater;
	uint8_t *compressed;
};

/* Content is collected in pieces of so many bytes, and host pages that are larger. */
#define RS_PLACER_PIECE_BYTES (64u << 10)

/* The fields that are immutable are set, but for the buffer, which gets room for largest bytes: the largest host
 * page. 0 or -ENOMEM. */
int rs_placer_init(struct rs_placer *placer, uint64_t largest);
void rs_placer_fini(struct rs_placer *placer);

/*
 * Take the pages of a record that was located, whose header of so many bytes was skipped. 0, or the reader's first
 * failure.
 */
int rs_placer_take(struct rs_placer *placer, struct rs_stream *stream,
		   const struct rs_record *record, uint64_t header_bytes);

/* Forget what is here in part. */
void rs_placer_abandon(struct rs_placer *placer);

#endif
