/* SPDX-License-Identifier: MIT */
/* What becomes of pages on their way out, seen from the stream. */
#include "save/page_pipeline.h"

#include "support/body_tally.h"
#include "support/plain_region.h"
#include "support/test_random.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

/* Of each of the two regions; whole host pages of any host, and long enough for several pieces. */
#define REGION_BYTES (4u << 20)

static struct rs_state *the_state;
static struct rs_stream *stream;
static struct body_tally *tally;
static uint8_t *memory[TALLY_REGIONS];
static size_t seen_bytes;

static void open_all(uint32_t page_bytes)
{
	static const char *const names[] = { "a", "b" };

	the_state = plain_state(page_bytes);
	tally = calloc(1, sizeof(*tally));
	assert_non_null(tally);
	tally->rules.page_bytes = page_bytes;
	for (unsigned i = 0; i < TALLY_REGIONS; i++) {
		memory[i] = plain_memory_map(REGION_BYTES);
		/* Huge pages would fill the holes. */
		madvise(memory[i], REGION_BYTES, MADV_NOHUGEPAGE);
		tally->regions[i] =
		    plain_region_add(the_state, names[i], memory[i], REGION_BYTES, 0);
	}
	assert_int_equal(rs_stream_to_memory(64u << 20, &stream), 0);
	seen_bytes = 0;
}

static void close_all(void)
{
	rs_session_detach(the_state);
	rs_ram_save_cleanup(the_state);
	rs_session_close(the_state);
	rs_state_destroy(the_state);
	rs_stream_close(stream, NULL);
	for (unsigned i = 0; i < TALLY_REGIONS; i++)
		plain_memory_unmap(memory[i], REGION_BYTES);
	free(tally);
}

static void read_what_is_new(void)
{
	const void *data;
	ssize_t bytes = rs_stream_memory(stream, &data);

	assert_true(bytes >= (ssize_t)seen_bytes);
	body_tally_read(tally, (const uint8_t *)data + seen_bytes, (size_t)bytes - seen_bytes);
	seen_bytes = (size_t)bytes;
}

static void begin(bool runs)
{
	tally->rules.runs = runs;
	rs_session_open(the_state);
	assert_int_equal(rs_session_attach(the_state, stream), 0);
	assert_int_equal(rs_ram_save_setup(the_state, stream, runs), 0);
	read_what_is_new();
	body_tally_reset(tally);
}

/* Iterate until nothing is dirty; how many bodies that took. */
static unsigned iterate(void)
{
	unsigned bodies = 1;
	int result;

	while ((result = rs_ram_save_iterate(the_state, stream)) == 0)
		bodies++;
	assert_int_equal(result, 1);
	read_what_is_new();
	assert_int_equal(tally->bodies, bodies);
	return bodies;
}

static uint64_t populated_bytes(const uint8_t *from)
{
	uint64_t host_page = (uint64_t)sysconf(_SC_PAGESIZE), populated = 0;
	FILE *file = fopen("/proc/self/pagemap", "re");

	assert_non_null(file);
	assert_int_equal(fseek(file, (long)((uintptr_t)from / host_page * 8), SEEK_SET), 0);
	for (uint64_t i = 0; i < REGION_BYTES / host_page; i++) {
		uint64_t entry;

		assert_int_equal(fread(&entry, sizeof(entry), 1, file), 1);
		populated += entry >> 62 != 0 ? host_page : 0;
	}
	fclose(file);
	return populated;
}

/* ---- kinds of pages ------------------------------------------------------------------------ */

enum kind { HOLE, ZERO, CONTENT };

/* What a page of the wire holds when its host page, or the host pages in it, are of these kinds. */
static void fill_at_random(struct test_random *random, unsigned region, enum kind *kinds)
{
	uint64_t host_page = (uint64_t)sysconf(_SC_PAGESIZE);

	for (uint64_t i = 0; i < REGION_BYTES / host_page;) {
		enum kind kind = (enum kind)test_random_below(random, 3);
		uint64_t length = 1 + test_random_below(random, 40);

		for (; length > 0 && i < REGION_BYTES / host_page; length--, i++) {
			uint8_t *at = memory[region] + i * host_page;

			kinds[i] = kind;
			if (kind == ZERO)
				*(volatile uint8_t *)at = 0;
			if (kind == CONTENT)
				at[test_random_below(random, host_page)] = 1;
		}
	}
}

static bool page_is_zero(unsigned region, uint64_t page)
{
	uint64_t bytes = tally->rules.page_bytes;
	static const uint8_t zeros[65536];

	return memcmp(memory[region] + page * bytes, zeros, bytes) == 0;
}

/* Each page came once, as what it is. (Reads memory: only after the holes were looked at.) */
static void check_each_page_came_once(void)
{
	for (unsigned region = 0; region < TALLY_REGIONS; region++)
		for (uint64_t page = 0; page < REGION_BYTES / tally->rules.page_bytes; page++) {
			bool zero = page_is_zero(region, page);

			assert_int_equal(tally->zero[region][page], zero);
			assert_int_equal(tally->content[region][page], !zero);
		}
	assert_int_equal(rs_counter_get(the_state->counters.normal), tally->content_pages);
	assert_int_equal(rs_counter_get(the_state->counters.duplicate), tally->zero_pages);
}

static void send_random_memory(uint32_t page_bytes, bool runs, uint64_t seed)
{
	struct test_random random = { seed };
	static enum kind kinds[REGION_BYTES / 4096];
	uint64_t populated[TALLY_REGIONS];

	open_all(page_bytes);
	for (unsigned region = 0; region < TALLY_REGIONS; region++) {
		fill_at_random(&random, region, kinds);
		populated[region] = populated_bytes(memory[region]);
	}
	begin(runs);
	iterate();
	/* Holes of whole target pages stay holes. Smaller ones may be read, which fills them. */
	for (unsigned region = 0; page_bytes <= 4096 && region < TALLY_REGIONS; region++)
		assert_int_equal(populated_bytes(memory[region]), populated[region]);
	assert_true(rs_counter_get(the_state->counters.zero_run_pages) > 0 || page_bytes > 4096);
	check_each_page_came_once();
	close_all();
}

static void every_page_comes_once_as_what_it_is(void **state)
{
	static const uint32_t sizes[] = { 1024, 2048, 4096, 8192, 16384, 65536 };

	(void)state;
	if (sysconf(_SC_PAGESIZE) != 4096) {
		print_message("written for host pages of 4 KiB\n");
		skip();
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (uint64_t seed = 1; seed <= 4; seed++) {
			send_random_memory(sizes[i], true, seed);
			send_random_memory(sizes[i], false, seed);
		}
}

/* Never touched: two records tell it all, and no memory is used. */
static void holes_are_one_record(void **state)
{
	(void)state;
	open_all(4096);
	begin(true);
	iterate();
	assert_int_equal(tally->page_records, TALLY_REGIONS);
	assert_int_equal(tally->zero_pages, TALLY_REGIONS * REGION_BYTES / 4096);
	assert_int_equal(rs_counter_get(the_state->counters.zero_run_pages), tally->zero_pages);
	for (unsigned region = 0; region < TALLY_REGIONS; region++)
		assert_int_equal(populated_bytes(memory[region]), 0);
	close_all();
}

/* Zero pages that were read and holes that were not are joined. */
static void zero_pages_and_holes_are_one_record(void **state)
{
	(void)state;
	open_all(4096);
	for (uint64_t page = 100; page < 200; page++)
		*(volatile uint8_t *)(memory[0] + page * 4096) = 0;
	begin(true);
	iterate();
	assert_int_equal(tally->page_records, TALLY_REGIONS);
	assert_int_equal(tally->longest_zero_pages, REGION_BYTES / 4096);
	assert_int_equal(rs_counter_get(the_state->counters.zero_run_pages),
			 tally->zero_pages - 100);
	close_all();
}

/* ---- limits of a body ---------------------------------------------------------------------- */

/* A body is cut where the rate says; what was cut off comes in the next one, and nothing twice. */
static void the_rate_cuts_bodies(void **state)
{
	struct test_random random = { 5 };
	static enum kind kinds[REGION_BYTES / 4096];

	(void)state;
	for (int runs = 0; runs < 2; runs++) {
		unsigned bodies = 0;
		int result;

		open_all(4096);
		for (unsigned region = 0; region < TALLY_REGIONS; region++)
			fill_at_random(&random, region, kinds);
		assert_int_equal(rs_param_set(the_state, "max-bandwidth", "8M"), 0);
		begin(runs != 0);
		do {
			size_t before = seen_bytes;

			result = rs_ram_save_iterate(the_state, stream);
			assert_in_range(result, 0, 1);
			read_what_is_new();
			/* A tenth of a second's worth, and a page at most beyond. A slow machine
			 * may see a new window begin in the middle of the body. */
			assert_true(seen_bytes - before <= 2 * (8u << 20) / 10 + 2 * 4096 + 400);
			bodies++;
		} while (result == 0 && rs_ram_save_throttle(the_state, stream) == 0);
		assert_int_equal(result, 1);
		assert_true(bodies > 1);
		check_each_page_came_once();
		close_all();
	}
}

/* Completion knows no rate: all goes in one body, however long. */
static void completion_is_not_cut(void **state)
{
	(void)state;
	open_all(4096);
	memset(memory[0], 7, REGION_BYTES);
	assert_int_equal(rs_param_set(the_state, "max-bandwidth", "1k"), 0);
	begin(true);
	assert_int_equal(rs_ram_save_complete(the_state, stream), 0);
	read_what_is_new();
	assert_int_equal(tally->bodies, 1);
	assert_int_equal(tally->content_pages, REGION_BYTES / 4096);
	check_each_page_came_once();
	close_all();
}

/* Under a limit no record may be long: it cannot be cut once its header is out. */
static void records_of_content_are_bounded(void **state)
{
	(void)state;
	open_all(1024);
	memset(memory[1], 7, REGION_BYTES);
	begin(true);
	iterate();
	assert_true(tally->longest_content_pages > 1);
	assert_true(tally->longest_content_pages <= 256);
	check_each_page_came_once();
	close_all();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_page_comes_once_as_what_it_is),
		cmocka_unit_test(holes_are_one_record),
		cmocka_unit_test(zero_pages_and_holes_are_one_record),
		cmocka_unit_test(the_rate_cuts_bodies),
		cmocka_unit_test(completion_is_not_cut),
		cmocka_unit_test(records_of_content_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
