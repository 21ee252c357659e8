/* SPDX-License-Identifier: MIT */
#include "support/body_tally.h"

#include "base/checked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static unsigned find(const struct rs_record *record)
{
	assert_int_equal(record->name_bytes, 1);
	assert_in_range(record->name[0], 'a', 'a' + TALLY_REGIONS - 1);
	return (unsigned)(record->name[0] - 'a');
}

static size_t read_list(struct body_tally *tally, const uint8_t *data, size_t bytes, uint64_t total)
{
	size_t taken = 0;

	while (total > 0) {
		struct rs_error error = { 0 };
		struct rs_block_entry entry;
		size_t need;
		int result =
		    rs_block_entry_parse(data + taken, bytes - taken, false, &entry, &need, &error);

		assert_true(result > 0);
		assert_true(entry.used_bytes <= total);
		total -= entry.used_bytes;
		taken += (size_t)result;
	}
	tally->last = TALLY_REGIONS;
	return taken;
}

static void count_zero(struct body_tally *tally, uint64_t first, uint64_t count)
{
	tally->zero_pages += count;
	tally->longest_zero_pages = rs_max_u64(tally->longest_zero_pages, count);
	for (uint64_t page = first; page < first + count; page++)
		tally->zero[tally->last][page]++;
}

static void count_content(struct body_tally *tally, uint64_t first, uint64_t count,
			  const uint8_t *data)
{
	uint64_t page_bytes = tally->rules.page_bytes;
	const uint8_t *host = rs_region_host(tally->regions[tally->last]);

	tally->content_pages += count;
	tally->longest_content_pages = rs_max_u64(tally->longest_content_pages, count);
	for (uint64_t page = first; page < first + count; page++)
		tally->content[tally->last][page]++;
	assert_memory_equal(data, host + first * page_bytes, count * page_bytes);
}

/* What follows the header belongs to it: returns how many bytes. */
static size_t read_pages(struct body_tally *tally, const struct rs_record *record,
			 const uint8_t *data, size_t bytes)
{
	uint64_t page_bytes = tally->rules.page_bytes;
	uint64_t first = record->address / page_bytes, count = record->bytes / page_bytes;

	if (record->name != NULL)
		tally->last = find(record);
	assert_true(tally->last < TALLY_REGIONS);
	assert_true(rs_range_inside(record->address, record->bytes,
				    rs_region_used_bytes(tally->regions[tally->last])));
	assert_true(first + count <= TALLY_PAGES);
	tally->page_records++;
	if (record->kind == RS_RECORD_ZERO || record->kind == RS_RECORD_ZERO_RUN) {
		assert_int_equal(record->fill, 0);
		count_zero(tally, first, count);
		return 0;
	}
	assert_true(record->bytes <= bytes);
	count_content(tally, first, count, data);
	return record->bytes;
}

void body_tally_read(struct body_tally *tally, const uint8_t *data, size_t bytes)
{
	bool ended = true;

	while (bytes > 0) {
		struct rs_error error = { 0 };
		struct rs_record record;
		size_t need;
		int result = rs_record_parse(data, bytes, &tally->rules, &record, &need, &error);

		assert_true(result > 0);
		data += result;
		bytes -= (size_t)result;
		ended = record.kind == RS_RECORD_EOS;
		tally->bodies += ended;
		if (ended)
			continue;
		assert_int_not_equal(record.kind, RS_RECORD_FLUSH);
		size_t more = record.kind == RS_RECORD_BLOCK_LIST
				  ? read_list(tally, data, bytes, record.address)
				  : read_pages(tally, &record, data, bytes);

		data += more;
		bytes -= more;
	}
	assert_true(ended);
}

void body_tally_reset(struct body_tally *tally)
{
	struct body_tally empty = { .rules = tally->rules, .last = tally->last };

	memcpy(empty.regions, tally->regions, sizeof(empty.regions));
	*tally = empty;
}
