/* SPDX-License-Identifier: MIT */
/*
 * A source that says what it must not, in each phase of postcopy. It is refused, and told so where it hears;
 * once the guest may run at the destination that pauses, and goes on with a source that behaves. What is said to
 * commands in QEMU's form is in test_malformed_commands.c, too, and what a source hears in
 * test_postcopy_answers.c.
 */
#include "postcopy_rows.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

/* It has no guest, and the source is told so. */
static void end_told(struct postcopy_script *script, const struct row *row)
{
	char text[RS_ERROR_TEXT_BYTES] = "";
	struct rs_stream *stream = script->peer.peer;

	if (script->native) {
		assert_true(postcopy_script_hears(script, "16:5256 "));
		uint16_t bytes = rs_stream_get_be16(stream);

		assert_in_range(bytes, 1, sizeof(text) - 1);
		assert_int_equal(rs_stream_get_bytes(stream, text, bytes), 0);
		if (strstr(text, row->says) == NULL)
			fail_msg("the source is told \"%s\", not \"%s\"", text, row->says);
	} else {
		assert_true(postcopy_script_hears(script, PS_SHUT(1)));
	}
	end_stays(script, row);
}

#define PLACE(command) command " is out of place here"
#define SUPPORTED(command) "(" command ") is not supported here"

static const struct row promised[] = {
	{ "LISTEN", BOTH, PS_LISTEN, PLACE("POSTCOPY_LISTEN") },
	{ "RUN", QEMU, PS_RUN, PLACE("POSTCOPY_RUN") },
	{ "RUN", NATIVE, PS_RUN, SUPPORTED("POSTCOPY_RUN") },
	{ "COMMIT", NATIVE, PEER_COMMIT, PLACE("COMMIT") },
	{ "COMMIT", QEMU, PEER_COMMIT, SUPPORTED("COMMIT") },
	{ "RECOVER", BOTH, "8:8 16:5257 16:10 z:10 ", SUPPORTED("RECOVER") },
	{ "CHANNEL", BOTH, "8:8 16:5258 16:10 z:10 ", SUPPORTED("CHANNEL") },
	{ "a promise again", BOTH, PS_ADVISE, PLACE("POSTCOPY_ADVISE") },
	{ "RESUME", BOTH, PS_RESUME, PLACE("POSTCOPY_RESUME") },
	{ "RECV_BITMAP", BOTH, PS_ASK_BITMAP, PLACE("RECV_BITMAP") },
	{ "a number that there is not", BOTH, "8:8 16:63 16:0 ", "command 99" },
	{ "a command of 4097 bytes", BOTH, "8:8 16:6 16:1001 ", "4097 bytes, and at most 4096" },
	{ "an empty package", BOTH, PS_PACKAGED "32:0 ", "does not say that the guest is to run" },
	{ "a package of 4 GiB", BOTH, PS_PACKAGED "32:ffffffff ", "the package: 4294967295 bytes" },
	{ "a package that runs at once", NATIVE, PS_PACKAGED "32:5 " PEER_CHECK, PLACE("CHECK") },
	{ "a package that runs at once", QEMU, PS_PACKAGED "32:5 " PS_RUN, PLACE("POSTCOPY_RUN") },
	{ "a package that listens twice", BOTH, PS_PACKAGED "32:a " PS_LISTEN PS_LISTEN,
	  PLACE("POSTCOPY_LISTEN") },
	{ "a package in a package", BOTH, PS_PACKAGED "32:9 " PS_PACKAGED "32:0 ",
	  PLACE("PACKAGED") },
	{ "a package that commits", NATIVE, PS_PACKAGED "32:a " PS_LISTEN PEER_COMMIT,
	  PLACE("COMMIT") },
	{ "a package that ends too early", BOTH, PS_PACKAGED "32:7 " PS_LISTEN "8:8 8:0 ", "" },
	{ "a package with pages", BOTH,
	  PS_PACKAGED "32:1d " PS_LISTEN "8:2 32:2 64:2 s:r 8:0 64:10 ",
	  "0x02 begins no record of a stream at this place" },
	{ "a discard beyond the end", BOTH, "8:8 16:6 16:14 8:0 s:r 8:0 64:1000 64:2000 ",
	  "region r: 8192 bytes at 0x1000 cannot be discarded" },
	{ "a discard of half a page", BOTH, "8:8 16:6 16:14 8:0 s:r 8:0 64:1000 64:800 ",
	  "region r: 2048 bytes at 0x1000 cannot be discarded" },
};

/* Of pages and commands, while pages come. */
static const struct row with_pages[] = {
	{ "COMMIT again", NATIVE, PEER_COMMIT, PLACE("COMMIT") },
	{ "CHECK again", NATIVE, PEER_CHECK, PLACE("CHECK") },
	{ "a package again", BOTH, PS_PACKAGED "32:0 ", PLACE("PACKAGED") },
	{ "LISTEN", BOTH, PS_LISTEN, PLACE("POSTCOPY_LISTEN") },
	{ "a discard", BOTH, "8:8 16:6 16:14 8:0 s:r 8:0 64:0 64:1000 ",
	  PLACE("POSTCOPY_RAM_DISCARD") },
	{ "a page of an unknown region", BOTH, "8:2 32:2 64:8 s:z ", "region z" },
	{ "a page behind the end", BOTH, "8:2 32:2 64:2008 s:r ", "region r" },
	{ "a page of no region", BOTH, "8:2 32:2 64:28 ", "" },
	{ "an end, and pages are missing", BOTH, PS_END, "region r: 2 of its 2 pages never came" },
};

static const struct row recoveries[] = {
	{ "an unknown region's bitmap", BOTH, "8:8 16:a 16:2 s:z ", "region z, which is unknown" },
	{ "a bitmap whose name ends outside", BOTH, "8:8 16:a 16:2 8:ff t:r ", "" },
	{ "a bitmap without a name", BOTH, "8:8 16:a 16:0 ", "" },
	{ "pages", BOTH, PS_PAGE_0, "0x02 begins no record of a stream at this place" },
	{ "LISTEN", BOTH, PS_LISTEN, PLACE("POSTCOPY_LISTEN") },
	{ "COMMIT", NATIVE, PEER_COMMIT, PLACE("COMMIT") },
	{ "PING", BOTH, PS_PING(1), PLACE("PING") },
	{ "a promise", BOTH, PS_ADVISE, PLACE("POSTCOPY_ADVISE") },
	{ "RESUME with a payload", BOTH, "8:8 16:9 16:1 8:0 ", "with 1 bytes instead of 0" },
	{ "a number that there is not", BOTH, "8:8 16:63 16:0 ", "command 99" },
};

static void destination_before_the_switch(void **unused)
{
	(void)unused;
	run_rows(promised, COUNT(promised), false, reach_promise, end_told);
}

/* It is ready, and nobody says COMMIT: it waits until it is told that the source has the guest. */
static void end_without_guest(struct postcopy_script *script, const struct row *row)
{
	struct rs_state *state = script->peer.state;

	postcopy_script_paused(script, 1, row->says);
	assert_int_equal(rs_migrate_resolve(state, RS_RESOLVE_RUN), -EINVAL);
	assert_int_equal(rs_migrate_resolve(state, RS_RESOLVE_DISCARD), 0);
	assert_true(rs_migrate_wait(state) < 0);
	assert_int_equal(rs_migrate_status(state), RS_STATUS_FAILED);
	assert_null(strstr(script->peer.vm.journal, "resume "));
}

static void destination_before_commit(void **unused)
{
	(void)unused;
	/* The first one is what is due. */
	for (size_t i = 1; i < COUNT(with_pages); i++)
		run_row(&with_pages[i], true, false, reach_switch, end_without_guest);
}

static void destination_in_postcopy(void **unused)
{
	(void)unused;
	run_rows(with_pages, COUNT(with_pages), false, reach_move, end_pauses);
}

static void destination_in_recovery(void **unused)
{
	(void)unused;
	run_rows(recoveries, COUNT(recoveries), false, reach_recovery, end_pauses_again);
}

/* ---- who is there -------------------------------------------------------------------------- */

static void another_migration_recovers(void **unused)
{
	struct postcopy_script script;

	(void)unused;
	postcopy_script_open(&script, true, false);
	reach_move(&script);
	scripted_peer_hang_up(&script.peer);
	postcopy_script_paused(&script, 1, "");
	script.peer.session[3] ^= 1;
	postcopy_script_reconnect(&script);
	script.peer.session[3] ^= 1;
	postcopy_script_await(&script, "16:5256 ");
	postcopy_script_paused(&script, 2, "this stream goes on with another migration");
	assert_int_equal(rs_error_get(script.peer.state, RS_ERROR_OF_MIGRATION, NULL), -EPERM);
	postcopy_script_finish(&script);
	postcopy_script_close(&script);
}

/* A page that is there already is not written again: the guest may have written it since. */
static void page_twice(void **unused)
{
	struct rs_stats stats = { .size = sizeof(stats) };

	(void)unused;
	for (int native = 0; native < 2; native++) {
		struct postcopy_script script;
		struct scripted_peer *peer = &script.peer;

		postcopy_script_open(&script, native != 0, false);
		reach_move(&script);
		postcopy_script_say(&script, PS_PAGE_1);
		/* It has been placed when that is answered. */
		postcopy_script_say(&script, PS_PING(9));
		postcopy_script_await(&script, PS_PONG(9));
		memset(peer->memory + 4096, 0x77, 4096);
		postcopy_script_say(&script, PS_PAGE_1 PS_PAGE_0 PS_END);
		postcopy_script_await(&script, PS_SHUT(0));
		assert_int_equal(rs_migrate_wait(peer->state), 0);
		assert_int_equal(peer->memory[4096], 0x77);
		assert_int_equal(peer->memory[0], 0);
		assert_int_equal(rs_stats_get(peer->state, &stats), 0);
		assert_int_equal(stats.postcopy_duplicates, 1);
		postcopy_script_close(&script);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(destination_before_the_switch),
		cmocka_unit_test(destination_before_commit),
		cmocka_unit_test(destination_in_postcopy),
		cmocka_unit_test(destination_in_recovery),
		cmocka_unit_test(another_migration_recovers),
		cmocka_unit_test(page_twice),
	};

	return cmocka_run_group_tests_name("postcopy_hostile", tests, open_watchdog, NULL);
}
