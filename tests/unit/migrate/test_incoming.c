/* SPDX-License-Identifier: MIT */
/* What a destination takes for the whole of RAM. */
#include "support/plain_region.h"
#include "support/scripted_peer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define HEADER "t:QEVM 32:3 8:7 32:2 t:pc "
#define IGNORE_SHARED "8:5 s:configuration/capabilities 32:1 32:1 s:x-ignore-shared "
#define ONE_PAGE "8:2 32:2 64:1008 s:r p:66 64:10 8:7e 32:2 "
#define BACKGROUND_DEVICE "8:4 32:3 s:dev 32:0 32:1 8:7e 32:3 "

static struct scripted_peer peer;

static int setup(void **state)
{
	(void)state;
	scripted_peer_open(&peer);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	scripted_peer_close(&peer);
	return 0;
}

static int load(const char *text)
{
	static uint8_t data[65536];
	struct rs_stream *stream;

	peer.vm.journal[0] = '\0';
	assert_int_equal(rs_stream_from_memory(data, assemble(data, sizeof(data), text), &stream),
			 0);
	int result = rs_migrate_in(peer.state, stream, &journal_vm_ops, &peer.vm);

	rs_stream_close(stream, NULL);
	assert_int_equal(strstr(peer.vm.journal, "resume") != NULL, result == 0);
	return result;
}

static void check_error(const char *text)
{
	plain_error_check(peer.state, RS_ERROR_OF_MIGRATION, text);
}

/* Its pages go over other connections, of which nothing in the stream tells. */
static void pages_that_never_came(void **state)
{
	static const char stream[] =
	    HEADER PEER_SETUP "8:2 32:2 64:2 s:r 8:0 64:10 8:7e 32:2 " PEER_END "8:0";

	(void)state;
	assert_int_equal(load(stream), -ENODATA);
	check_error("region r: 1 of its 2 pages never came, the first at offset 0x1000");
	assert_int_equal(load(HEADER PEER_SETUP PEER_END "8:0"), -ENODATA);
	check_error("region r: 2 of its 2 pages never came, the first at offset 0x0");

	assert_int_equal(rs_param_set(peer.state, "lax", "on"), 0);
	assert_int_equal(load(stream), 0);
	assert_non_null(strstr(peer.vm.warning, "region r: 1 of its 2 pages never came"));
	/* What it had stays. */
	assert_int_equal(peer.memory[4096], 0x55);
}

/* Between libramsync's own ends every page comes; lax is for QEMU's form. */
static void pages_that_never_came_natively(void **state)
{
	char failed[RS_ERROR_TEXT_BYTES + 1] = "";

	(void)state;
	assert_int_equal(rs_param_set(peer.state, "lax", "on"), 0);
	scripted_peer_start_in(&peer);
	scripted_peer_say(&peer, PEER_HEADER PEER_OFFER);
	scripted_peer_say_features(&peer, "slrh");
	scripted_peer_expect(&peer, "16:5253");
	scripted_peer_expect_features(&peer);
	scripted_peer_say(&peer, PEER_SETUP PEER_END PEER_CHECK);
	scripted_peer_expect(&peer, "16:5256");
	uint16_t bytes = rs_stream_get_be16(peer.peer);

	assert_true(bytes < sizeof(failed));
	assert_int_equal(rs_stream_get_bytes(peer.peer, failed, bytes), 0);
	assert_non_null(strstr(failed, "region r: 2 of its 2 pages never came"));
	assert_int_equal(rs_migrate_wait(peer.state), -ENODATA);
}

/* A region of which nothing came is one that the source ignores; it does not say so. */
static void ignored_at_the_source(void **state)
{
	static const char list[] = "8:1 32:2 s:ram 32:0 32:4 64:2004 s:r 64:2000 64:0 64:10 "
				   "8:7e 32:2 ";
	char text[512];

	(void)state;
	assert_int_equal(rs_param_set(peer.state, "x-ignore-shared", "on"), 0);
	snprintf(text, sizeof(text), "%s%s%s", HEADER IGNORE_SHARED, list, PEER_END "8:0");
	assert_int_equal(load(text), 0);
	assert_int_equal(peer.memory[4096], 0x55);
	/* Some of it is not. */
	snprintf(text, sizeof(text), "%s%s%s", HEADER IGNORE_SHARED, list, ONE_PAGE PEER_END "8:0");
	assert_int_equal(load(text), -ENODATA);
	check_error("region r: 1 of its 2 pages never came, the first at offset 0x0");
}

static void regions_that_nobody_listed(void **state)
{
	uint8_t *memory = plain_memory_map(4096);

	(void)state;
	plain_region_add(peer.state, "other", memory, 4096, 0);
	assert_int_equal(load(HEADER PEER_SETUP PEER_PART PEER_END "8:0"), 0);
	assert_string_equal(peer.vm.warning, "region other is not in the stream; it stays as it "
					     "is");
	rs_region_remove(rs_region_find(peer.state, "other"));
	plain_memory_unmap(memory, 4096);
}

static void ram_that_does_not_end(void **state)
{
	(void)state;
	assert_int_equal(load(HEADER PEER_SETUP PEER_PART "8:0"), -EINVAL);
	check_error("the end of RAM is missing");
	assert_int_equal(load(HEADER PEER_SETUP PEER_PART BACKGROUND_DEVICE "8:0"), 0);
	assert_string_equal(peer.vm.warning,
			    "the end of RAM is missing, as in a background snapshot");
	assert_int_equal(load(HEADER "8:0"), -EINVAL);
	check_error("the stream holds no RAM");

	assert_int_equal(rs_param_set(peer.state, "lax", "on"), 0);
	peer.vm.warning[0] = '\0';
	assert_int_equal(load(HEADER PEER_SETUP PEER_PART "8:0"), 0);
	assert_string_equal(peer.vm.warning,
			    "the end of RAM is missing, as in a background snapshot");
	assert_int_equal(load(HEADER "8:0"), -EINVAL);
}

static void ram_behind_its_end(void **state)
{
	static const char stream[] = HEADER PEER_SETUP PEER_PART PEER_END ONE_PAGE "8:0";

	(void)state;
	assert_int_equal(load(stream), -EINVAL);
	check_error("a part of section 2, which is not open");
	assert_int_equal(rs_param_set(peer.state, "lax", "on"), 0);
	assert_int_equal(load(stream), 0);
	assert_int_equal(peer.memory[4096], 0x66);
	/* Before the start there is nothing to be lax about. */
	assert_int_equal(load(HEADER ONE_PAGE "8:0"), -EINVAL);
}

static void a_recording(void **state)
{
	static const char stream[] =
	    HEADER "8:8 16:1 16:0 8:8 16:2 16:4 32:7 " PEER_SETUP PEER_PART PEER_END "8:0";

	(void)state;
	assert_int_equal(load(stream), -EINVAL);
	check_error("one-way here (lax reads it as a recording)");
	assert_int_equal(rs_param_set(peer.state, "lax", "on"), 0);
	assert_int_equal(load(stream), 0);
	/* What asks for answers without opening a way for them is wrong all the same. */
	assert_int_equal(load(HEADER "8:8 16:2 16:4 32:7 " PEER_SETUP PEER_PART PEER_END "8:0"),
			 -EINVAL);
	check_error("PING without a return path");
}

static void zero_pages_with_a_fill(void **state)
{
	static const char stream[] =
	    HEADER PEER_SETUP PEER_PART "8:3 32:2 64:2 s:r 8:5a 64:1022 8:0 64:10 8:7e 32:2 8:0";

	(void)state;
	assert_int_equal(load(stream), -EINVAL);
	check_error("region r, offset 0x0: a zero page with the fill 0x5a");
	assert_int_equal(rs_param_set(peer.state, "lax", "on"), 0);
	assert_int_equal(load(stream), 0);
	for (int i = 0; i < 4096; i++) {
		assert_int_equal(peer.memory[i], 0x5a);
		assert_int_equal(peer.memory[4096 + i], 0);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(pages_that_never_came), TEST(pages_that_never_came_natively),
		TEST(ignored_at_the_source), TEST(regions_that_nobody_listed),
		TEST(ram_that_does_not_end), TEST(ram_behind_its_end),
		TEST(a_recording),           TEST(zero_pages_with_a_fill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
