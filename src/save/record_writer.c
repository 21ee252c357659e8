/* SPDX-License-Identifier: MIT */
#include "save/record_writer.h"

#include "wire/ram_record.h"

/* Length of the header. */
static size_t put_header(struct rs_record_writer *writer, const struct rs_region *region,
			 uint64_t page, unsigned flags, uint64_t length)
{
	uint8_t header[RS_RECORD_MAX_BYTES];
	const char *name = region != writer->last_region ? region->name : NULL;
	size_t bytes =
	    rs_record_write(header, page << writer->state->page_shift, flags, name, length);

	writer->last_region = region;
	rs_stream_put_bytes(writer->stream, header, bytes);
	rs_counter_add(writer->counters->transferred, bytes);
	return bytes;
}

static void write_zero_run(struct rs_record_writer *writer)
{
	uint64_t count = writer->zero_count;

	if (count == 0)
		return;
	writer->zero_count = 0;
	if (writer->runs && count > 1) {
		put_header(writer, writer->zero_region, writer->zero_first,
			   RS_FLAG_ZERO | RS_FLAG_RUN, count << writer->state->page_shift);
		return;
	}
	for (uint64_t i = 0; i < count; i++)
		put_header(writer, writer->zero_region, writer->zero_first + i, RS_FLAG_ZERO, 0);
}

void rs_record_writer_zero(struct rs_record_writer *writer, const struct rs_region *region,
			   uint64_t first, uint64_t count)
{
	rs_counter_add(writer->counters->duplicate, count);
	if (writer->zero_count != 0 && writer->zero_region == region &&
	    writer->zero_first + writer->zero_count == first) {
		writer->zero_count += count;
	} else {
		write_zero_run(writer);
		writer->zero_region = region;
		writer->zero_first = first;
		writer->zero_count = count;
	}
	/* Single records gain nothing by waiting, and a long run of them would burst the buffer's
	 * rate limit unseen. */
	if (!writer->runs)
		write_zero_run(writer);
}

void rs_record_writer_copies(struct rs_record_writer *writer, const struct rs_region *region,
			     uint64_t first, uint64_t count, const uint8_t *copies)
{
	uint32_t page_bytes = writer->state->page_bytes;

	write_zero_run(writer);
	if (writer->runs && count > 1) {
		put_header(writer, region, first, RS_FLAG_PAGE | RS_FLAG_RUN, count * page_bytes);
		rs_stream_put_ref(writer->stream, copies, count * page_bytes);
	} else {
		for (uint64_t i = 0; i < count; i++) {
			put_header(writer, region, first + i, RS_FLAG_PAGE, 0);
			rs_stream_put_ref(writer->stream, copies + i * page_bytes, page_bytes);
		}
	}
	rs_counter_add(writer->counters->normal, count);
	rs_counter_add(writer->counters->transferred, count * page_bytes);
}

void rs_record_writer_pages(struct rs_record_writer *writer, const struct rs_region *region,
			    uint64_t first, uint64_t count)
{
	rs_record_writer_copies(writer, region, first, count,
				region->host + (first << writer->state->page_shift));
}

/* A page of which the record tells how long its content is. Length of all but its first word. */
static size_t write_encoded(struct rs_record_writer *writer, const struct rs_region *region,
			    uint64_t page, unsigned flag, const uint8_t *data, size_t bytes)
{
	write_zero_run(writer);
	size_t header_bytes = put_header(writer, region, page, flag, bytes);

	rs_stream_put_bytes(writer->stream, data, bytes);
	rs_counter_add(writer->counters->transferred, bytes);
	return header_bytes - 8 + bytes;
}

void rs_record_writer_delta(struct rs_record_writer *writer, const struct rs_region *region,
			    uint64_t page, const uint8_t *delta, size_t bytes)
{
	rs_counter_add(writer->counters->xbzrle_bytes,
		       write_encoded(writer, region, page, RS_FLAG_XBZRLE, delta, bytes));
}

void rs_record_writer_compressed(struct rs_record_writer *writer, const struct rs_region *region,
				 uint64_t page, const uint8_t *data, size_t bytes)
{
	struct rs_counters *counters = writer->counters;

	rs_counter_add(counters->compress_pages, 1);
	rs_counter_add(counters->compress_bytes,
		       write_encoded(writer, region, page, RS_FLAG_COMPRESS_PAGE, data, bytes));
}

static void put_list_entry(struct rs_record_writer *writer, const struct rs_region *region,
			   bool with_address)
{
	uint8_t bytes[RS_BLOCK_ENTRY_MAX_BYTES];
	const struct rs_block_entry entry = { region->name, region->name_bytes,
					      rs_region_used_bytes(region), region->guest_address };

	rs_stream_put_bytes(writer->stream, bytes,
			    rs_block_entry_write(bytes, &entry, with_address));
}

void rs_record_writer_list(struct rs_record_writer *writer, bool with_address)
{
	struct rs_state *state = writer->state;
	uint8_t header[RS_RECORD_MAX_BYTES];
	struct rs_region *region;
	uint64_t total = 0;

	rs_region_for_each (state, region)
		total += rs_region_used_bytes(region);
	rs_counter_set(writer->counters->total, total);
	rs_stream_put_bytes(writer->stream, header,
			    rs_record_write(header, total, RS_FLAG_MEM_SIZE, NULL, 0));
	rs_region_for_each (state, region)
		put_list_entry(writer, region, with_address);
}

void rs_record_writer_cut(struct rs_record_writer *writer)
{
	write_zero_run(writer);
}

void rs_record_writer_end(struct rs_record_writer *writer)
{
	uint8_t header[RS_RECORD_MAX_BYTES];

	write_zero_run(writer);
	rs_stream_put_bytes(writer->stream, header,
			    rs_record_write(header, 0, RS_FLAG_EOS, NULL, 0));
}

int rs_record_writer_flush(struct rs_record_writer *writer)
{
	write_zero_run(writer);
	return rs_stream_flush(writer->stream);
}
