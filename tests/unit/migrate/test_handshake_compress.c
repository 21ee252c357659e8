/* SPDX-License-Identifier: MIT */
/* The feature compress: who offers it, and what becomes of an end at which the parameter is off. */
#include "support/plain_region.h"
#include "support/scripted_peer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

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

/* A feature more, if the parameter is on. */
static void it_is_offered(void **state)
{
	static const char head[] = PEER_HEADER PEER_OFFER "16:45 16:1 16:18 s:session ";
	static const char rest[] = "16:2 16:5 s:runs 16:3 16:f s:device-lengths "
				   "16:5 16:9 s:compress " PEER_SETUP PEER_PART PEER_END "8:0 ";
	static uint8_t expected[32768];
	struct rs_stream *stream;
	const void *data;

	(void)state;
	assert_int_equal(rs_param_set(peer.state, "compress", "on"), 0);
	assert_int_equal(rs_stream_to_memory(1 << 20, &stream), 0);
	assert_int_equal(rs_migrate_out(peer.state, stream, &journal_vm_ops, &peer.vm), 0);
	size_t count = (size_t)rs_stream_memory(stream, &data);
	const uint8_t *bytes = data;
	size_t expected_bytes = assemble(expected, sizeof(expected), head);

	assert_memory_equal(bytes, expected, expected_bytes);
	bytes += expected_bytes + 16;
	count -= expected_bytes + 16;
	expected_bytes = assemble(expected, sizeof(expected), rest);
	assert_int_equal(count, expected_bytes);
	assert_memory_equal(bytes, expected, expected_bytes);
	rs_stream_close(stream, NULL);
}

static void check_refused(const char *accepted, int code, const char *text)
{
	peer.vm.journal[0] = '\0';
	scripted_peer_connect(&peer);
	scripted_peer_start_out(&peer);
	scripted_peer_expect(&peer, PEER_HEADER PEER_OFFER);
	scripted_peer_expect_features(&peer);
	scripted_peer_say(&peer, "16:5253");
	scripted_peer_say_features(&peer, accepted);
	assert_int_equal(rs_migrate_wait(peer.state), code);
	plain_error_check(peer.state, RS_ERROR_OF_MIGRATION, text);
	/* Nothing of the guest was sent, and it was never stopped. */
	uint64_t offered = rs_stream_bytes_read(peer.peer);
	const uint8_t *data;

	rs_stream_close(peer.stream, NULL);
	peer.stream = NULL;
	assert_int_equal(rs_stream_peek(peer.peer, &data, 1), 0);
	assert_int_equal(rs_stream_bytes_read(peer.peer), offered);
	assert_string_equal(peer.vm.journal, "setup failed ");
}

/* Unlike runs: whoever asked for it would rather hear that it cannot be had. */
static void a_destination_without(void **state)
{
	(void)state;
	assert_int_equal(rs_param_set(peer.state, "compress", "on"), 0);
	check_refused("slrh", -EPROTONOSUPPORT, "the destination lacks the feature 'compress'");
	/* And a destination has no say in it. */
	assert_int_equal(rs_param_set(peer.state, "compress", "off"), 0);
	check_refused("slrhc", -EINVAL, "accepts the feature 'compress', which was not offered");
}

/* The answer leaves it out, and is the last thing that is said. */
static void a_source_with(void **state)
{
	(void)state;
	scripted_peer_connect(&peer);
	scripted_peer_start_in(&peer);
	memset(peer.session, 0x5e, sizeof(peer.session));
	scripted_peer_say(&peer, PEER_HEADER PEER_OFFER);
	scripted_peer_say_features(&peer, "slrhc");
	scripted_peer_expect(&peer, "16:5253");
	scripted_peer_expect_features(&peer);
	assert_int_equal(rs_migrate_wait(peer.state), -EOPNOTSUPP);
	plain_error_check(peer.state, RS_ERROR_OF_MIGRATION,
			  "the source compresses pages, and the parameter compress is off here");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(it_is_offered),
		TEST(a_destination_without),
		TEST(a_source_with),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
