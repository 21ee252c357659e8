/* SPDX-License-Identifier: MIT */
/* Device state of QEMU's that is kept, and written again, by those who know no device. */
#include "support/plain_region.h"
#include "support/scripted_peer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#define HEADER "t:QEVM 32:3 8:7 32:2 t:pc "
#define RAM PEER_SETUP PEER_PART PEER_END
#define DEVICE "8:4 32:3 s:dev 32:0 32:1 64:1122334455667788 8:7e 32:3 "
#define OBJECT "{\"page_size\":4096,\"devices\":[]}" /* 0x1f bytes */
#define END "8:0 8:6 32:1f t:" OBJECT " "
#define RETURN_PATH "8:8 16:1 16:0 "
#define SHUT_GOOD "16:1 16:4 32:0 "
#define SHUT_BAD "16:1 16:4 32:1 "

/* A VM that takes device state as it stands, or writes such. The journal's comes first: its
 * callbacks get the same pointer. */
struct keeper {
	struct scripted_peer peer;
	uint8_t kept[4096];
	size_t bytes;
	int load_code;
	const char *saves; /* what it writes */
	bool saves_twice;
};

static struct keeper keeper;

static int load_opaque(void *opaque, const void *data, size_t bytes)
{
	(void)opaque;
	assert_true(bytes > 0 && keeper.bytes + bytes <= sizeof(keeper.kept));
	memcpy(keeper.kept + keeper.bytes, data, bytes);
	keeper.bytes += bytes;
	return keeper.load_code;
}

static int save_devices(void *opaque, struct rs_device_writer *writer)
{
	uint8_t data[4096];
	const struct rs_device_section section = { .name = "late" };
	int result;

	(void)opaque;
	/* Nobody has to look at the result: it stays. */
	result = rs_device_save_opaque(writer, data, assemble(data, sizeof(data), keeper.saves));
	if (keeper.saves_twice)
		result = rs_device_save(writer, &section, data, 1);
	(void)result;
	return 0;
}

static struct rs_vm_ops ops(void)
{
	struct rs_vm_ops mine = journal_vm_ops;

	mine.load_opaque = load_opaque;
	mine.save_devices = save_devices;
	return mine;
}

static int setup(void **state)
{
	(void)state;
	memset(&keeper, 0, sizeof(keeper));
	scripted_peer_open(&keeper.peer);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	scripted_peer_close(&keeper.peer);
	return 0;
}

static void check_error(const char *text)
{
	plain_error_check(keeper.peer.state, RS_ERROR_OF_MIGRATION, text);
}

/* ---- taking -------------------------------------------------------------------------------- */

/* Read a one-way stream from memory. */
static int take(const uint8_t *data, size_t bytes)
{
	const struct rs_vm_ops mine = ops();
	struct rs_stream *stream;

	keeper.bytes = 0;
	keeper.peer.vm.journal[0] = '\0';
	assert_int_equal(rs_stream_from_memory(data, bytes, &stream), 0);
	int result = rs_migrate_in(keeper.peer.state, stream, &mine, &keeper.peer.vm);

	rs_stream_close(stream, NULL);
	return result;
}

static int take_text(const char *text)
{
	static uint8_t data[32768];

	return take(data, assemble(data, sizeof(data), text));
}

static void check_kept(const char *text)
{
	uint8_t expected[4096];
	size_t bytes = assemble(expected, sizeof(expected), text);

	assert_int_equal(keeper.bytes, bytes);
	assert_memory_equal(keeper.kept, expected, bytes);
}

static void taken_as_it_stands(void **state)
{
	(void)state;
	assert_int_equal(take_text(HEADER RAM DEVICE DEVICE END "t:behind"), 0);
	check_kept(DEVICE DEVICE END);
	assert_string_equal(keeper.peer.vm.journal, "setup active resume completed ");
}

static void no_devices_at_all(void **state)
{
	(void)state;
	assert_int_equal(take_text(HEADER RAM END), 0);
	check_kept(END);
}

static void a_background_snapshot_has_no_end_of_ram(void **state)
{
	(void)state;
	assert_int_equal(take_text(HEADER PEER_SETUP PEER_PART DEVICE END), 0);
	check_kept(DEVICE END);
	assert_int_equal(take_text(HEADER PEER_SETUP PEER_PART END), -EINVAL);
	check_error("the end of RAM is missing");
}

static void cut_anywhere(void **state)
{
	static uint8_t data[32768];
	size_t from = assemble(data, sizeof(data), HEADER RAM);
	size_t bytes = assemble(data, sizeof(data), HEADER RAM DEVICE END);

	(void)state;
	for (size_t have = from + 1; have < bytes; have++) {
		assert_int_equal(take(data, have), -ENODATA);
		check_error("no description of the devices tells that they are whole");
		/* What came is there, for those who want it nevertheless. */
		assert_int_equal(keeper.bytes, have - from);
		assert_null(strstr(keeper.peer.vm.journal, "resume"));
	}
}

/* Lax takes the one cut that leaves an end mark behind a footer, and says so. */
static void without_a_description(void **state)
{
	static uint8_t data[32768];
	size_t end_mark = assemble(data, sizeof(data), HEADER RAM DEVICE);
	size_t bytes = assemble(data, sizeof(data), HEADER RAM DEVICE END);

	(void)state;
	assert_int_equal(rs_param_set(keeper.peer.state, "lax", "on"), 0);
	assert_int_equal(take(data, end_mark + 1), 0);
	check_kept(DEVICE "8:0");
	assert_string_equal(keeper.peer.vm.warning, "no description follows the device state, so "
						    "it may not be whole");
	for (size_t have = end_mark + 2; have < bytes; have++)
		assert_int_equal(take(data, have), -ENODATA);
	assert_int_equal(take(data, end_mark), -ENODATA);
}

static void a_callback_that_fails(void **state)
{
	(void)state;
	keeper.load_code = -ENOSPC;
	assert_int_equal(take_text(HEADER RAM DEVICE END), -ENOSPC);
	check_error("the VMM failed to take device state");
	assert_null(strstr(keeper.peer.vm.journal, "resume"));
}

static void more_than_is_allowed(void **state)
{
	uint8_t data[256];
	char limit[32];
	size_t bytes = assemble(data, sizeof(data), DEVICE END);

	(void)state;
	snprintf(limit, sizeof(limit), "%zu", bytes);
	assert_int_equal(rs_param_set(keeper.peer.state, "max-device-state", limit), 0);
	assert_int_equal(take_text(HEADER RAM DEVICE END), 0);
	snprintf(limit, sizeof(limit), "%zu", bytes - 1);
	assert_int_equal(rs_param_set(keeper.peer.state, "max-device-state", limit), 0);
	assert_int_equal(take_text(HEADER RAM DEVICE END), -E2BIG);
	check_error("the device state is longer than max-device-state");
	assert_true(keeper.bytes < bytes);
}

/* ---- with a source that waits for an answer ------------------------------------------------ */

/* A time-out needs a descriptor to wait for. */
static void connect_sockets(void)
{
	int fds[2];

	scripted_peer_connect(&keeper.peer);
	rs_stream_close(keeper.peer.stream, NULL);
	rs_stream_close(keeper.peer.peer, NULL);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(rs_stream_from_fd(fds[0], RS_STREAM_TWO_WAY, &keeper.peer.stream), 0);
	assert_int_equal(rs_stream_from_fd(fds[1], RS_STREAM_TWO_WAY, &keeper.peer.peer), 0);
}

static void start(void)
{
	const struct rs_vm_ops mine = ops();

	keeper.peer.vm.journal[0] = '\0';
	connect_sockets();
	assert_int_equal(
	    rs_migrate_start_in(keeper.peer.state, keeper.peer.stream, &mine, &keeper.peer.vm), 0);
}

static void answered_while_the_stream_stays_open(void **state)
{
	(void)state;
	start();
	scripted_peer_say(&keeper.peer, HEADER RETURN_PATH "8:8 16:2 16:4 32:12345678 ");
	scripted_peer_expect(&keeper.peer, "16:2 16:4 32:12345678");
	scripted_peer_say(&keeper.peer, RAM DEVICE END);
	scripted_peer_expect(&keeper.peer, SHUT_GOOD);
	assert_int_equal(rs_migrate_wait(keeper.peer.state), 0);
	check_kept(DEVICE END);
}

static void told_of_a_failure(void **state)
{
	(void)state;
	keeper.load_code = -ENOSPC;
	start();
	scripted_peer_say(&keeper.peer, HEADER RETURN_PATH RAM DEVICE END);
	scripted_peer_expect(&keeper.peer, SHUT_BAD);
	assert_int_equal(rs_migrate_wait(keeper.peer.state), -ENOSPC);
}

/* Nothing tells where the devices end, lax or not: somebody waits. */
static void never_described(void **state)
{
	(void)state;
	assert_int_equal(rs_param_set(keeper.peer.state, "stall-timeout", "100"), 0);
	assert_int_equal(rs_param_set(keeper.peer.state, "lax", "on"), 0);
	start();
	scripted_peer_say(&keeper.peer, HEADER RETURN_PATH RAM DEVICE "8:0");
	assert_int_equal(rs_migrate_wait(keeper.peer.state), -ETIMEDOUT);
	check_error("has sent no description of the devices");
}

static void the_source_goes_away(void **state)
{
	(void)state;
	assert_int_equal(rs_param_set(keeper.peer.state, "lax", "on"), 0);
	start();
	scripted_peer_say(&keeper.peer, HEADER RETURN_PATH RAM DEVICE "8:0");
	scripted_peer_hang_up(&keeper.peer);
	assert_int_equal(rs_migrate_wait(keeper.peer.state), -ENODATA);
}

static void may_switch_over(void **state)
{
	(void)state;
	assert_int_equal(rs_param_set(keeper.peer.state, "switchover-ack", "on"), 0);
	start();
	scripted_peer_say(&keeper.peer, HEADER RETURN_PATH);
	scripted_peer_expect(&keeper.peer, "16:7 16:0");
	scripted_peer_say(&keeper.peer, RAM END);
	scripted_peer_expect(&keeper.peer, SHUT_GOOD);
	assert_int_equal(rs_migrate_wait(keeper.peer.state), 0);
}

/* ---- writing it again ---------------------------------------------------------------------- */

static int save(const char *machine, struct rs_stream **stream)
{
	const struct rs_vm_ops mine = ops();

	keeper.peer.vm.journal[0] = '\0';
	assert_int_equal(rs_param_set(keeper.peer.state, "machine", machine), 0);
	assert_int_equal(rs_stream_to_memory(1 << 20, stream), 0);
	return rs_migrate_out(keeper.peer.state, *stream, &mine, &keeper.peer.vm);
}

static void check_saved(const char *text)
{
	static uint8_t expected[32768];
	size_t bytes = assemble(expected, sizeof(expected), text);
	struct rs_stream *stream;
	const void *data;

	assert_int_equal(save("pc", &stream), 0);
	assert_int_equal(rs_stream_memory(stream, &data), bytes);
	assert_memory_equal(data, expected, bytes);
	rs_stream_close(stream, NULL);
}

static void written_as_it_was(void **state)
{
	(void)state;
	keeper.saves = DEVICE DEVICE END;
	check_saved(HEADER RAM DEVICE DEVICE END);
	keeper.saves = END;
	check_saved(HEADER RAM END);
	assert_int_equal(rs_param_set(keeper.peer.state, "lax", "on"), 0);
	keeper.saves = DEVICE "8:0";
	check_saved(HEADER RAM DEVICE "8:0");
}

static void what_is_no_device_state(void **state)
{
	static const struct {
		const char *machine, *saves;
		bool twice;
		const char *limit;
		int code;
		const char *text;
	} cases[] = {
		{ "pc", DEVICE, false, "4K", -EINVAL, "do not end with an end mark" },
		{ "pc", DEVICE "8:0", false, "4K", -EINVAL, "do not end with an end mark" },
		{ "pc", DEVICE END "8:0", false, "4K", -EINVAL, "do not end with an end mark" },
		{ "pc", "", false, "4K", -EINVAL, "0 bytes of device state do not end" },
		{ "pc", DEVICE END, false, "16", -E2BIG, "more than max-device-state" },
		{ "pc", DEVICE END, true, "4K", -EINVAL, "section late comes behind the end" },
		{ "", DEVICE END, false, "4K", -EOPNOTSUPP, "libramsync's own form" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rs_stream *stream;

		print_message("%s\n", cases[i].text);
		keeper.saves = cases[i].saves;
		keeper.saves_twice = cases[i].twice;
		assert_int_equal(
		    rs_param_set(keeper.peer.state, "max-device-state", cases[i].limit), 0);
		assert_int_equal(save(cases[i].machine, &stream), cases[i].code);
		check_error(cases[i].text);
		assert_non_null(strstr(keeper.peer.vm.journal, " stop "));
		assert_non_null(strstr(keeper.peer.vm.journal, " go-on failed "));
		rs_stream_close(stream, NULL);
	}
}

static int save_behind_a_section(void *opaque, struct rs_device_writer *writer)
{
	const struct rs_device_section section = { .name = "early" };
	int result = rs_device_save(writer, &section, "", 0);

	return result != 0 ? result : save_devices(opaque, writer);
}

static void behind_other_device_state(void **state)
{
	struct rs_vm_ops mine = ops();
	struct rs_stream *stream;

	(void)state;
	keeper.saves = DEVICE END;
	mine.save_devices = save_behind_a_section;
	assert_int_equal(rs_param_set(keeper.peer.state, "machine", "pc"), 0);
	assert_int_equal(rs_stream_to_memory(1 << 20, &stream), 0);
	assert_int_equal(rs_migrate_out(keeper.peer.state, stream, &mine, &keeper.peer.vm),
			 -EINVAL);
	check_error("comes behind other device state");
	rs_stream_close(stream, NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(taken_as_it_stands),
		TEST(no_devices_at_all),
		TEST(a_background_snapshot_has_no_end_of_ram),
		TEST(cut_anywhere),
		TEST(without_a_description),
		TEST(a_callback_that_fails),
		TEST(more_than_is_allowed),
		TEST(answered_while_the_stream_stays_open),
		TEST(told_of_a_failure),
		TEST(never_described),
		TEST(the_source_goes_away),
		TEST(may_switch_over),
		TEST(written_as_it_was),
		TEST(what_is_no_device_state),
		TEST(behind_other_device_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
