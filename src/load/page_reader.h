/* SPDX-License-Identifier: MIT */
/*
 * What a thread knows that reads records of pages from a stream: the region of the record before, and where
 * its failures go.
 */
#ifndef RS_LOAD_PAGE_READER_H
#define RS_LOAD_PAGE_READER_H

#include "load/decompressor.h"
#include "ram/region.h"
#include "wire/ram_record.h"

/* All of it belongs to the thread that reads. */
struct rs_page_reader {
	/* immutable */
	struct rs_state *state;
	const struct rs_record_rules *rules;
	struct rs_decompressor
	    *decompressor;      /* uses the region, too, until it is drained; or NULL */
	struct rs_error *error; /* NULL: a failure is the session's */

	/* Region of the last record, for CONTINUE, which reaches over bodies; valid as long as the
	 * session has not failed, pinned while the thread reads. */
	struct rs_region *last;
	bool pinned;
};

/* Record a failure, unless there was one before. The code of the first. */
int rs_page_reader_fail(struct rs_page_reader *reader, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same, with what the record in hand is about in front; in a region that was located. */
int rs_page_reader_refuse(struct rs_page_reader *reader, const struct rs_record *record,
			  const char *why);

/* The same with the sticky error of the stream, if it has one (else 0). */
int rs_page_reader_check_stream(struct rs_page_reader *reader, struct rs_stream *stream);

/* The first failure, its own or the session's; or 0. */
int rs_page_reader_code(const struct rs_page_reader *reader);

/* Have the region of a record of pages at reader->last, pinned, and the pages inside it. 0, or the first
 * failure. */
int rs_page_reader_locate(struct rs_page_reader *reader, const struct rs_record *record);

/* What may only be damage, though QEMU takes it: 0, or the first failure. Of a record that was located. */
int rs_page_reader_check_damage(struct rs_page_reader *reader, const struct rs_record *record);

/* Let the region go. It stays the last. */
void rs_page_reader_release(struct rs_page_reader *reader);

#endif
