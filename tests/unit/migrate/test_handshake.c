/* SPDX-License-Identifier: MIT */
/* The bytes that a source writes in each of its forms, and the answers to its offer that it takes.
 * What a destination makes of odd beginnings is in integration/test_malformed.c. */
#include "support/plain_region.h"
#include "support/scripted_peer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static struct scripted_peer peer;
static struct rs_stream *saved;

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
	rs_stream_close(saved, NULL);
	saved = NULL;
	return 0;
}

/* ---- whole streams ------------------------------------------------------------------------- */

/* Save to memory, one-way. The bytes are there until the next call. */
static size_t save(const uint8_t **bytes)
{
	const void *data;

	rs_stream_close(saved, NULL);
	assert_int_equal(rs_stream_to_memory(1 << 20, &saved), 0);
	peer.vm.journal[0] = '\0';
	assert_int_equal(rs_migrate_out(peer.state, saved, &journal_vm_ops, &peer.vm), 0);
	ssize_t count = rs_stream_memory(saved, &data);

	assert_true(count > 0);
	*bytes = data;
	return (size_t)count;
}

#define DEVICE_BODY "8:1 8:8 8:f 8:16 8:1d "

static void add_device(const char *name)
{
	peer.vm.device = name;
	peer.vm.device_version = 3;
	peer.vm.device_bytes = 5;
}

static void qemus_form(void **state)
{
	static const char text[] =
	    "t:QEVM 32:3 8:7 32:d t:pc-i440fx-7.2 " PEER_SETUP PEER_PART PEER_END
	    "8:4 32:3 s:dev 32:0 32:3 " DEVICE_BODY "8:7e 32:3 "
	    "8:0 8:6 32:a0 ";
	static const char json[] = "{\"page_size\": 4096, \"devices\": [{\"name\": \"dev\", "
				   "\"instance_id\": 0, \"vmsd_name\": \"dev\", \"version\": 3, "
				   "\"fields\": [{\"name\": \"body\", \"type\": \"buffer\", "
				   "\"size\": 5}]}]}";
	static uint8_t expected[32768];
	size_t expected_bytes = assemble(expected, sizeof(expected), text);
	const uint8_t *bytes;

	(void)state;
	assert_int_equal(sizeof(json) - 1, 0xa0);
	add_device("dev");
	assert_int_equal(rs_param_set(peer.state, "machine", "pc-i440fx-7.2"), 0);
	assert_int_equal(save(&bytes), expected_bytes + sizeof(json) - 1);
	assert_memory_equal(bytes, expected, expected_bytes);
	assert_memory_equal(bytes + expected_bytes, json, sizeof(json) - 1);
}

/* One-way: the same features but for the hand-over; lengths before device bodies. */
static void native_form(void **state)
{
	static const char head[] = PEER_HEADER PEER_OFFER "16:38 16:1 16:18 s:session ";
	static const char rest[] =
	    "16:2 16:5 s:runs 16:3 16:f s:device-lengths " PEER_SETUP PEER_PART PEER_END
	    "8:4 32:3 s:dev 32:0 32:3 64:5 " DEVICE_BODY "8:7e 32:3 8:0 ";
	static uint8_t expected[32768], sessions[2][16];
	const uint8_t *bytes;

	(void)state;
	add_device("dev");
	for (int i = 0; i < 2; i++) {
		size_t count = save(&bytes);
		size_t expected_bytes = assemble(expected, sizeof(expected), head);

		assert_memory_equal(bytes, expected, expected_bytes);
		memcpy(sessions[i], bytes + expected_bytes, 16);
		bytes += expected_bytes + 16;
		count -= expected_bytes + 16;
		expected_bytes = assemble(expected, sizeof(expected), rest);
		assert_int_equal(count, expected_bytes);
		assert_memory_equal(bytes, expected, expected_bytes);
	}
	/* No two migrations have the same session. */
	assert_memory_not_equal(sessions[0], sessions[1], 16);
}

static void pages_of_another_size(void **state)
{
	static const char text[] = "t:QEVM 32:3 8:7 32:1 t:m "
				   "8:5 s:configuration/target-page-bits 32:1 32:e "
				   "8:1 32:2 s:ram 32:0 32:4 64:4004 s:r 64:4000 64:10 8:7e 32:2 ";
	static uint8_t expected[4096];
	size_t expected_bytes = assemble(expected, sizeof(expected), text);
	uint8_t *memory = plain_memory_map(16384);
	const uint8_t *bytes;

	(void)state;
	rs_state_destroy(peer.state);
	peer.state = plain_state(16384);
	peer.vm.state = peer.state;
	plain_region_add(peer.state, "r", memory, 16384, 0);
	assert_int_equal(rs_param_set(peer.state, "machine", "m"), 0);
	assert_true(save(&bytes) > expected_bytes);
	assert_memory_equal(bytes, expected, expected_bytes);
	rs_state_destroy(peer.state);
	peer.state = NULL;
	plain_memory_unmap(memory, 16384);
}

static void a_uuid(void **state)
{
	static const char head[] = "t:QEVM 32:3 8:7 32:1 t:m 8:5 s:configuration/uuid 32:1 "
				   "64:11223344556677 64:8899aabbccddeeff " PEER_SETUP;
	static uint8_t expected[4096];
	size_t expected_bytes = assemble(expected, sizeof(expected), head);
	struct rs_stream *stream;
	const uint8_t *bytes;

	(void)state;
	assert_int_equal(rs_param_set(peer.state, "uuid", "00112233-4455-6677-8899-aabbccddeeff"),
			 0);
	assert_int_equal(rs_param_set(peer.state, "machine", "m"), 0);
	size_t count = save(&bytes);

	assert_memory_equal(bytes, expected, expected_bytes);

	/* Taken by who has the same or none; another is refused, and both are named. */
	static const struct {
		const char *uuid;
		int code;
	} ends[] = {
		{ "00112233-4455-6677-8899-aabbccddeeff", 0 },
		{ "", 0 },
		{ "00112233-4455-6677-8899-aabbccddeefe", -EINVAL },
	};

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		assert_int_equal(rs_param_set(peer.state, "uuid", ends[i].uuid), 0);
		assert_int_equal(rs_stream_from_memory(bytes, count, &stream), 0);
		assert_int_equal(rs_migrate_in(peer.state, stream, &journal_vm_ops, &peer.vm),
				 ends[i].code);
		rs_stream_close(stream, NULL);
	}
	assert_string_equal(plain_error_text(peer.state, RS_ERROR_OF_MIGRATION),
			    "configuration: the stream is of the machine "
			    "00112233-4455-6677-8899-aabbccddeeff, and this one is "
			    "00112233-4455-6677-8899-aabbccddeefe");
}

static void ignored_regions(void **state)
{
	static const char text[] =
	    "t:QEVM 32:3 8:7 32:1 t:m "
	    "8:5 s:configuration/capabilities 32:1 32:1 s:x-ignore-shared "
	    "8:1 32:2 s:ram 32:0 32:4 64:3004 s:r 64:2000 64:0 s:i 64:1000 64:c0000 64:10 "
	    "8:7e 32:2 " PEER_PART PEER_END "8:0 ";
	const struct rs_region_config config = {
		.size = sizeof(config),
		.name = "i",
		.host = peer.memory,
		.used_bytes = 4096,
		.guest_address = 0xc0000,
		.flags = RS_REGION_IGNORED | RS_REGION_SHARED,
	};
	static uint8_t expected[32768];
	size_t expected_bytes = assemble(expected, sizeof(expected), text);
	const uint8_t *bytes;

	(void)state;
	assert_int_equal(rs_region_add(peer.state, &config, NULL), 0);
	assert_int_equal(rs_param_set(peer.state, "x-ignore-shared", "on"), 0);
	assert_int_equal(rs_param_set(peer.state, "machine", "m"), 0);
	assert_true(save(&bytes) > expected_bytes);
	assert_memory_equal(bytes, expected, expected_bytes);
}

/* JSON has its own opinion on some characters. */
static void the_description_of_odd_names(void **state)
{
	static const struct {
		const char *name, *json;
	} cases[] = {
		{ "a\"b", "\"name\": \"a\\\"b\"" },
		{ "a\\b", "\"name\": \"a\\\\b\"" },
		{ "a\nb\x01", "\"name\": \"a\\u000ab\\u0001\"" },
		{ "0000:00:02.0/virtio-net", "\"name\": \"0000:00:02.0/virtio-net\"" },
	};

	(void)state;
	assert_int_equal(rs_param_set(peer.state, "machine", "m"), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const uint8_t *bytes;
		size_t count;

		add_device(cases[i].name);
		count = save(&bytes);
		assert_non_null(memmem(bytes, count, cases[i].json, strlen(cases[i].json)));
		assert_memory_equal(bytes + count - 4, "]}]}", 4);
	}
}

static void without_devices(void **state)
{
	static const char json[] = "{\"page_size\": 4096, \"devices\": []}";
	const uint8_t *bytes;
	size_t count;

	(void)state;
	assert_int_equal(rs_param_set(peer.state, "machine", "m"), 0);
	count = save(&bytes);
	assert_memory_equal(bytes + count - (sizeof(json) - 1), json, sizeof(json) - 1);
	assert_int_equal(bytes[count - sizeof(json)], sizeof(json) - 1);
}

/* ---- answers to the offer ------------------------------------------------------------------ */

static void start_and_take_the_offer(void)
{
	scripted_peer_connect(&peer);
	scripted_peer_start_out(&peer);
	scripted_peer_expect(&peer, PEER_HEADER PEER_OFFER);
	scripted_peer_expect_features(&peer);
}

static void check_refused(int code, const char *text)
{
	scripted_peer_hang_up(&peer);
	assert_int_equal(rs_migrate_wait(peer.state), code);
	plain_error_check(peer.state, RS_ERROR_OF_MIGRATION, text);
	/* The guest was never stopped. */
	assert_string_equal(peer.vm.journal, "setup failed ");
}

static void features_that_are_accepted(void **state)
{
	static const struct {
		const char *which;
		int code;
		const char *text;
	} cases[] = {
		{ "slr", -EPROTONOSUPPORT, "the destination lacks the feature 'handover'" },
		{ "lrh", -EPROTONOSUPPORT, "the destination lacks the feature 'session'" },
		{ "srh", -EPROTONOSUPPORT, "the destination lacks the feature 'device-lengths'" },
		{ "", -EPROTONOSUPPORT, "the destination lacks the feature" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		start_and_take_the_offer();
		scripted_peer_say(&peer, "16:5253");
		scripted_peer_say_features(&peer, cases[i].which);
		check_refused(cases[i].code, cases[i].text);
	}
}

static void another_session(void **state)
{
	(void)state;
	start_and_take_the_offer();
	peer.session[15] ^= 1;
	scripted_peer_say(&peer, "16:5253");
	scripted_peer_say_features(&peer, "slrh");
	check_refused(-EINVAL, "another migration's offer");
}

static void other_answers(void **state)
{
	static const struct {
		const char *answer;
		int code;
		const char *text;
	} cases[] = {
		{ "16:5253 16:9 16:99 16:5 s:zstd", -EINVAL,
		  "accepts the feature 'zstd', which was not offered" },
		{ "16:5253 16:3 8:0 16:0", -EINVAL, "list of features is cut off" },
		{ PEER_READY, -EPROTO, "says 0x5254 where 0x5253 is due" },
		{ "16:1 16:4 32:0", -EPROTO, "says 0x1 where 0x5253 is due" },
		{ PEER_FAILED, -EREMOTEIO, "the destination failed: full" },
		{ "16:5253 16:201", -EINVAL, "513 bytes" },
		{ "16:5253 16:9 16:99", -ENODATA, "ended" },
		{ "", -ENODATA, "ended" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("'%s'\n", cases[i].answer);
		start_and_take_the_offer();
		scripted_peer_say(&peer, cases[i].answer);
		check_refused(cases[i].code, cases[i].text);
	}
}

/* Runs may be declined: then each page has its record. */
static void no_runs(void **state)
{
	uint8_t *memory = plain_memory_map(4 * 4096);

	(void)state;
	memset(memory + 2 * 4096, 0x66, 2 * 4096);
	plain_region_add(peer.state, "s", memory, 4 * 4096, 0);
	for (int runs = 0; runs < 2; runs++) {
		start_and_take_the_offer();
		scripted_peer_say(&peer, "16:5253");
		scripted_peer_say_features(&peer, runs ? "slrh" : "slh");
		scripted_peer_expect(&peer, "8:1 32:2 s:ram 32:0 32:4 64:6004 s:r 64:2000 "
					    "s:s 64:4000 64:10 8:7e 32:2 "
					    "8:2 32:2 64:2 s:r 8:0 64:1028 p:55 ");
		scripted_peer_expect(&peer, runs ? "64:6 s:s 64:2000 64:202c 64:2000 p:66 p:66 "
						 : "64:2 s:s 8:0 64:1022 8:0 "
						   "64:2028 p:66 64:3028 p:66 ");
		scripted_peer_expect(&peer, "64:10 8:7e 32:2 " PEER_PING);
		scripted_peer_say(&peer, PEER_PONG);
		scripted_peer_expect(&peer, PEER_END PEER_CHECK);
		scripted_peer_say(&peer, PEER_READY);
		scripted_peer_expect(&peer, PEER_COMMIT);
		scripted_peer_say(&peer, PEER_RUNNING);
		assert_int_equal(rs_migrate_wait(peer.state), 0);
		assert_int_equal(rs_stream_get_u8(peer.peer), 0);
	}
	/* The region's memory goes with the test. */
	rs_region_remove(rs_region_find(peer.state, "s"));
	plain_memory_unmap(memory, 4 * 4096);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(qemus_form),
		TEST(native_form),
		TEST(pages_of_another_size),
		TEST(a_uuid),
		TEST(ignored_regions),
		TEST(the_description_of_odd_names),
		TEST(without_devices),
		TEST(features_that_are_accepted),
		TEST(another_session),
		TEST(other_answers),
		TEST(no_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
