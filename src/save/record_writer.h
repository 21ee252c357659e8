/* SPDX-License-Identifier: MIT */
/*
 * Writes the records of pages: headers into the stream's buffer, the pages themselves by
 * reference to the guest's memory. Counts what it writes. Zero pages that follow each other are
 * joined into one record where runs were agreed on.
 */
#ifndef RS_SAVE_RECORD_WRITER_H
#define RS_SAVE_RECORD_WRITER_H

#include "ram/region.h"

struct rs_record_writer {
	struct rs_state *state;
	struct rs_stream *stream;
	struct rs_counters *counters; /* the state's, in the thread that saves */
	bool runs;
	/* Region of the last record, for CONTINUE, which reaches over bodies. Only compared. */
	const struct rs_region *last_region;
	/* Zero pages not written yet; they are adjacent. */
	const struct rs_region *zero_region;
	uint64_t zero_first;
	uint64_t zero_count;
};

/* Pages [first, first + count) of a region are zero. */
void rs_record_writer_zero(struct rs_record_writer *writer, const struct rs_region *region,
			   uint64_t first, uint64_t count);

/* Pages with content. The region must stay pinned until the next flush. */
void rs_record_writer_pages(struct rs_record_writer *writer, const struct rs_region *region,
			    uint64_t first, uint64_t count);

/* The same, from copies of the pages, which must stay as they are until the next flush. */
void rs_record_writer_copies(struct rs_record_writer *writer, const struct rs_region *region,
			     uint64_t first, uint64_t count, const uint8_t *copies);

/* What has changed in a page. The delta is not needed any more afterwards. */
void rs_record_writer_delta(struct rs_record_writer *writer, const struct rs_region *region,
			    uint64_t page, const uint8_t *delta, size_t bytes);

/* A compressed page. The data are not needed any more afterwards. */
void rs_record_writer_compressed(struct rs_record_writer *writer, const struct rs_region *region,
				 uint64_t page, const uint8_t *data, size_t bytes);

/* What follows is not joined to what came. */
void rs_record_writer_cut(struct rs_record_writer *writer);

/* The list of regions. */
void rs_record_writer_list(struct rs_record_writer *writer, bool with_address);

/* End of a body. */
void rs_record_writer_end(struct rs_record_writer *writer);

/* Write everything out, zero pages that wait to be joined too. The stream's error. */
int rs_record_writer_flush(struct rs_record_writer *writer);

#endif
