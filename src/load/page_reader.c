/* SPDX-License-Identifier: MIT */
#include "load/page_reader.h"

#include "base/checked.h"

#include <string.h>

/* ---- failures ------------------------------------------------------------------------------ */

int rs_page_reader_fail(struct rs_page_reader *reader, int code, const char *format, ...)
{
	struct rs_state *state = reader->state;
	va_list arguments;

	va_start(arguments, format);
	if (reader->error != NULL) {
		rs_error_setv(reader->error, code, format, arguments);
		code = reader->error->code;
	} else {
		pthread_mutex_lock(&state->lock);
		code = rs_session_failv_locked(state, code, format, arguments);
		pthread_mutex_unlock(&state->lock);
	}
	va_end(arguments);
	return code;
}

int rs_page_reader_refuse(struct rs_page_reader *reader, const struct rs_record *record,
			  const char *why)
{
	return rs_page_reader_fail(reader, -EINVAL, "region %s, offset 0x%llx: %s",
				   reader->last->name, (unsigned long long)record->address, why);
}

int rs_page_reader_check_stream(struct rs_page_reader *reader, struct rs_stream *stream)
{
	if (reader->error == NULL)
		return rs_session_check_stream(reader->state, stream);
	if (reader->error->code == 0)
		rs_stream_error(stream, reader->error);
	return reader->error->code;
}

int rs_page_reader_code(const struct rs_page_reader *reader)
{
	if (reader->error != NULL && reader->error->code != 0)
		return reader->error->code;
	return rs_session_code(reader->state);
}

/* ---- which region a record means ----------------------------------------------------------- */

void rs_page_reader_release(struct rs_page_reader *reader)
{
	if (reader->decompressor != NULL)
		rs_decompressor_drain(reader->decompressor);
	if (reader->pinned)
		rs_region_unpin(reader->last);
	reader->pinned = false;
}

static int find_region(struct rs_page_reader *reader, const struct rs_record *record)
{
	struct rs_region *last = reader->last;

	if (reader->pinned && last->name_bytes == record->name_bytes &&
	    memcmp(last->name, record->name, record->name_bytes) == 0)
		return 0;
	rs_page_reader_release(reader);
	reader->last = rs_region_find_pinned(reader->state, record->name, record->name_bytes);
	reader->pinned = reader->last != NULL;
	if (reader->pinned)
		return 0;
	return rs_page_reader_fail(reader, -EINVAL,
				   "record at offset 0x%llx: region %.*s is unknown here",
				   (unsigned long long)record->address, record->name_bytes,
				   record->name);
}

static int same_region(struct rs_page_reader *reader, const struct rs_record *record)
{
	if (reader->last == NULL)
		return rs_page_reader_fail(reader, -EINVAL,
					   "record at offset 0x%llx goes on in the region of the "
					   "one before, and there was none",
					   (unsigned long long)record->address);
	if (reader->pinned)
		return 0;
	reader->pinned = rs_region_pin(reader->last, reader->state);
	return rs_session_code(reader->state);
}

int rs_page_reader_locate(struct rs_page_reader *reader, const struct rs_record *record)
{
	int result =
	    record->name != NULL ? find_region(reader, record) : same_region(reader, record);

	if (result != 0)
		return result;
	const struct rs_region *region = reader->last;

	if (rs_region_has(region, RS_REGION_IGNORED))
		return rs_page_reader_refuse(reader, record, "a page of an ignored region");
	if (region->received.words == NULL)
		return rs_page_reader_refuse(reader, record,
					     "a page of a region that was not listed");
	if (!rs_range_inside(record->address, record->bytes, rs_region_used_bytes(region)))
		return rs_page_reader_fail(reader, -EINVAL,
					   "region %s, offset 0x%llx: %llu bytes there lie "
					   "outside its %llu bytes",
					   region->name, (unsigned long long)record->address,
					   (unsigned long long)record->bytes,
					   (unsigned long long)rs_region_used_bytes(region));
	return 0;
}

int rs_page_reader_check_damage(struct rs_page_reader *reader, const struct rs_record *record)
{
	const struct rs_region *region = reader->last;
	uint64_t page = record->address >> reader->state->page_shift;

	if (record->kind == RS_RECORD_ZERO && record->fill != 0)
		return rs_page_reader_fail(
		    reader, -EINVAL, "region %s, offset 0x%llx: a zero page with the fill 0x%02x",
		    region->name, (unsigned long long)record->address, record->fill);
	if (record->kind == RS_RECORD_XBZRLE && !rs_bitmap_test(&region->received, page))
		return rs_page_reader_refuse(reader, record,
					     "an XBZRLE delta to a page that never came");
	return 0;
}
