/* SPDX-License-Identifier: MIT */
/* The life of the cache of deltas: its size, a new one meanwhile, and none. */
#include "unit/save/deltas_subject.h"

static char warning[256];

static void warn(void *opaque, const char *text)
{
	(void)opaque;
	snprintf(warning, sizeof(warning), "%s", text);
}

static void a_new_size_begins_empty(void **state)
{
	struct rs_state *the_state = *state;

	memset(memory, 1, SLOTS * PAGE);
	send(0, SLOTS);
	load();
	/* The same size is no new one. */
	rs_deltas_resize(&deltas, the_state);
	assert_int_equal(deltas.cache.num_items, SLOTS);
	set_cache_pages("128k");
	rs_deltas_resize(&deltas, the_state);
	assert_int_equal(deltas.cache.num_items, 0);
	assert_int_equal(deltas.cache.max_num_items, 2 * SLOTS);
	assert_int_equal(rs_counter_get(the_state->counters.xbzrle_cache_size), 131072);
	send(0, SLOTS);
	assert_string_equal(load(), "p0 p1 p2 p3 p4 p5 p6 p7 p8 p9 p10 p11 p12 p13 p14 p15");
	assert_int_equal(rs_counter_get(the_state->counters.xbzrle_cache_miss), 2 * SLOTS);
	/* The guest stands still: no time for that. */
	deltas.last_stage = true;
	set_cache_pages("65536");
	rs_deltas_resize(&deltas, the_state);
	assert_int_equal(deltas.cache.max_num_items, 2 * SLOTS);
}

/* More than the parameter allows, and than a process can have. */
static void set_impossible_size(struct rs_state *state)
{
	atomic_store(&state->params.number[RS_PARAM_XBZRLE_CACHE_SIZE], 1ull << 47);
}

static void without_memory_the_old_cache_stays(void **state)
{
	struct rs_state *the_state = *state;

	the_state->session.warn = warn;
	memset(memory, 1, PAGE);
	send(0, 1);
	load();
	warning[0] = '\0';
	set_impossible_size(the_state);
	rs_deltas_resize(&deltas, the_state);
	assert_string_equal(warning, "parameter xbzrle-cache-size: no memory for 140737488355328 "
				     "bytes; the cache stays as it is");
	assert_true(is_cached(0));
	assert_int_equal(rs_counter_get(the_state->counters.xbzrle_cache_size), 65536);
	/* It is said once. */
	warning[0] = '\0';
	rs_deltas_resize(&deltas, the_state);
	assert_string_equal(warning, "");
	set_cache_pages("4096");
	rs_deltas_resize(&deltas, the_state);
	assert_int_equal(deltas.cache.max_num_items, 1);
}

static void without_memory_there_is_no_migration(void **state)
{
	struct rs_state *the_state = *state;

	rs_deltas_fini(&deltas);
	set_impossible_size(the_state);
	assert_int_equal(rs_deltas_init(&deltas, the_state), -ENOMEM);
	plain_error_check(the_state, RS_ERROR_OF_MIGRATION,
			  "parameter xbzrle-cache-size: no memory for 140737488355328 bytes");
}

static void switched_off(void **state)
{
	rs_deltas_fini(&deltas);
	assert_int_equal(rs_param_set(*state, "xbzrle", "off"), 0);
	assert_int_equal(rs_deltas_init(&deltas, *state), 0);
	assert_false(rs_deltas_on(&deltas));
	/* A size does not switch it on. */
	set_cache_pages("128k");
	rs_deltas_resize(&deltas, *state);
	assert_false(rs_deltas_on(&deltas));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_new_size_begins_empty),
		TEST(without_memory_the_old_cache_stays),
		TEST(without_memory_there_is_no_migration),
		TEST(switched_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
