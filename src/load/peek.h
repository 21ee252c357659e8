/* SPDX-License-Identifier: MIT */
/*
 * From the stream to the parser: headers are parsed where they lie in the stream's buffer, with
 * never a byte more asked for than is sure to come.
 */
#ifndef RS_LOAD_PEEK_H
#define RS_LOAD_PEEK_H

#include "load/page_reader.h"

/* Length of the header, still to be skipped, or the reader's failure. Names in the result are valid
 * until the next call on the stream. */
int rs_peek_record(struct rs_page_reader *reader, struct rs_stream *stream,
		   struct rs_record *record);
int rs_peek_block_entry(struct rs_page_reader *reader, struct rs_stream *stream,
			struct rs_block_entry *entry);

#endif
