/* SPDX-License-Identifier: MIT */
/*
 * The cache of pages from which deltas are made is byte for byte what the destination has: looked at
 * after every body that was loaded, under writers that never rest, with caches of every size that
 * change meanwhile.
 *
 * RS_TEST_SEED=N runs case N only, RS_TEST_CASES=N that many of them.
 */
#include "codec/xbzrle.h"
#include "random_guest.h"
#include "save/save.h"
#include "support/test_scale.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define CASES 40u
#define CASES_SHORT 15u
#define BODIES 100u
#define STREAM_BYTES (64u << 20)

struct hop {
	struct guest *from;
	struct guest *to;
	uint64_t compared; /* pages of the cache */
	struct rs_stats stats;
	char text[256]; /* what went wrong */
};

/* ---- the invariant ------------------------------------------------------------------------- */

static const struct guest_region *region_of(const struct guest *guest, uint64_t address)
{
	for (unsigned i = 0; i < guest->spec.region_count; i++) {
		const struct rs_region *region = guest->regions[i].region;

		if (address - region->ram_address < region->max_bytes)
			return &guest->regions[i];
	}
	return NULL;
}

static void compare_item(struct hop *hop, uint64_t address, const uint8_t *copy)
{
	const struct guest_region *here = region_of(hop->from, address);
	uint32_t page_bytes = hop->from->spec.page_bytes;

	if (here == NULL) {
		snprintf(hop->text, sizeof(hop->text), "the cache has an unknown page");
		return;
	}
	uint64_t offset = address - here->region->ram_address;
	const struct guest_region *there = &hop->to->regions[here - hop->from->regions];

	hop->compared++;
	if (memcmp(there->memory.host + offset, copy, page_bytes) != 0)
		snprintf(hop->text, sizeof(hop->text),
			 "region %s at 0x%" PRIx64 ": the cache is not what the destination has",
			 here->name, offset);
}

static void compare_cache(struct hop *hop)
{
	const struct rs_page_cache *cache = &hop->from->state->save->deltas.cache;

	for (uint64_t slot = 0; slot < cache->max_num_items; slot++)
		if (cache->items[slot].age != 0)
			compare_item(hop, cache->items[slot].address,
				     cache->data + slot * cache->page_bytes);
}

/* ---- bodies -------------------------------------------------------------------------------- */

typedef int save_handler(struct rs_state *state, struct rs_stream *stream);

/* One body, from end to end. What the handler returned. After the last one no delta is made any more,
 * and zero pages did not touch the cache. */
static int carry(struct hop *hop, save_handler *save)
{
	struct rs_stream *out, *in = NULL;
	const void *data;
	int loaded = 0;

	assert_int_equal(rs_stream_to_memory(STREAM_BYTES, &out), 0);
	int result = save(hop->from->state, out);

	if (result >= 0) {
		ssize_t bytes = rs_stream_memory(out, &data);

		assert_true(bytes > 0);
		assert_int_equal(rs_stream_from_memory(data, (size_t)bytes, &in), 0);
		loaded = rs_load(hop->to->state, in, RS_RAM_SECTION_VERSION);
	}
	rs_stream_close(in, NULL);
	rs_stream_close(out, NULL);
	if (result < 0 || loaded < 0)
		snprintf(hop->text, sizeof(hop->text), "source %d, destination %d", result, loaded);
	else if (!hop->from->state->save->deltas.last_stage)
		compare_cache(hop);
	return result;
}

/* From one page to some hundreds. */
static void new_cache_size(struct test_random *random, struct rs_state *state)
{
	uint64_t page = rs_state_page_bytes(state);
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, page << test_random_below(random, 9));
	assert_int_equal(rs_param_set(state, "xbzrle-cache-size", text), 0);
}

/* Bodies and syncs in any order, as long as the case wants. */
static void carry_bodies(struct hop *hop, struct test_random *random)
{
	for (unsigned body = 0; body < BODIES && hop->text[0] == '\0'; body++) {
		int result = carry(hop, rs_save_iterate);

		guest_let_write(hop->from, 10);
		if (test_random_one_in(random, 20))
			new_cache_size(random, hop->from->state);
		if (result == 1 || test_random_one_in(random, 3))
			assert_int_equal(
			    rs_save_pending(hop->from->state, RS_PENDING_EXACT, NULL, NULL), 0);
	}
}

static void run(struct hop *hop, struct test_random *random)
{
	assert_int_equal(rs_load_setup(hop->to->state, &guest_load_ops, hop->to), 0);
	carry(hop, rs_save_setup);
	carry_bodies(hop, random);
	assert_int_equal(guest_stop(hop->from), 0);
	if (hop->text[0] == '\0')
		carry(hop, rs_save_complete);
	rs_load_cleanup(hop->to->state);
	hop->stats = (struct rs_stats){ .size = sizeof(hop->stats) };
	rs_stats_get(hop->from->state, &hop->stats);
	rs_save_cleanup(hop->from->state);
	if (hop->text[0] == '\0')
		guest_compare(hop->from, hop->to, hop->text, sizeof(hop->text));
	if (hop->text[0] == '\0')
		guest_fault(hop->from, hop->text, sizeof(hop->text));
}

/* ---- cases --------------------------------------------------------------------------------- */

static void random_params(struct test_random *random, struct rs_state *state,
			  struct rs_state *there)
{
	/* A tenth of it is what a body may hold: of most guests a part. */
	static const char *const bandwidths[] = { "0", "1M", "4M", "16M" };

	assert_int_equal(rs_param_set(state, "xbzrle", "on"), 0);
	assert_int_equal(
	    rs_param_set(state, "max-bandwidth", bandwidths[test_random_below(random, 4)]), 0);
	new_cache_size(random, state);
	/* The first pass is compressed then. */
	if (!test_random_one_in(random, 3))
		return;
	assert_int_equal(rs_param_set(state, "compress", "on"), 0);
	assert_int_equal(rs_param_set(there, "compress", "on"), 0);
}

static void run_case(uint64_t seed, bool userfaultfd, struct hop *hop)
{
	struct test_random random = { test_mix(seed + 1) };
	struct guest_world world = { 0 };
	struct guest_spec from, to;

	do
		random_guest_specs(&random, userfaultfd, &from, &to);
	while (from.page_bytes > RS_XBZRLE_MAX_PAGE_BYTES);
	*hop = (struct hop){ .from = guest_create_source(&from, &world),
			     .to = guest_create_destination(&to, &world) };
	assert_true(hop->from != NULL && hop->to != NULL);
	random_params(&random, hop->from->state, hop->to->state);
	run(hop, &random);
	guest_destroy(hop->from);
	guest_destroy(hop->to);
	if (hop->text[0] != '\0')
		fail_msg("pages of %u, %u writers: %s (RS_TEST_SEED=%" PRIu64 " repeats it)",
			 from.page_bytes, from.writers, hop->text, seed);
}

static uint64_t number_from(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? strtoull(text, NULL, 0) : otherwise;
}

static void the_cache_is_what_the_destination_has(void **state)
{
	bool userfaultfd = rs_dirty_log_userfaultfd_probe(NULL) == 0;
	uint64_t seed = number_from("RS_TEST_SEED", 0);
	uint64_t cases = number_from("RS_TEST_CASES", getenv("RS_TEST_SEED") != NULL ? 1
						      : test_is_short()              ? CASES_SHORT
										     : CASES);
	uint64_t compared = 0, found = 0, overflows = 0, misses = 0, deltas = 0;

	(void)state;
	for (uint64_t i = seed; i < seed + cases; i++) {
		struct hop hop;

		run_case(i, userfaultfd, &hop);
		compared += hop.compared;
		found += hop.stats.xbzrle_pages;
		overflows += hop.stats.xbzrle_overflow;
		misses += hop.stats.xbzrle_cache_miss;
		deltas += hop.stats.xbzrle_bytes > 0;
	}
	print_message("%" PRIu64 " pages of caches compared; %" PRIu64 " pages missed, %" PRIu64
		      " found, of which %" PRIu64 " had changed too much; deltas in %" PRIu64
		      " cases\n",
		      compared, misses, found, overflows, deltas);
	/* It is no test if these do not happen. */
	if (getenv("RS_TEST_SEED") == NULL)
		assert_true(compared > 0 && misses > 0 && overflows > 0 && found > 2 * overflows &&
			    deltas > cases / 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_cache_is_what_the_destination_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
