/* SPDX-License-Identifier: MIT */
/*
 * A destination that says what it must not, in each phase of postcopy. It is refused, for a reason that says what
 * was wrong. Before the guest is handed over it stays at the source; afterwards the migration pauses, and goes on
 * with a destination that behaves.
 */
#include "postcopy_rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define NOT_DUE(type) "the destination says 0x" type ", which is not due now"
#define REQUEST(start, bytes, region) "16:3 16:e 64:" start " 32:" bytes " s:" region " "

/* Of no use at any time. */
static const struct row at_any_time[] = {
	{ "a number that there is not", BOTH, "16:63 16:0 ", "says 0x63, which is unknown" },
	{ "513 bytes", BOTH, "16:3 16:201 ", "513 bytes, and at most 512 are allowed" },
	{ "SHUT with a failure", BOTH, PS_SHUT(1), "the destination says that it failed" },
	{ "FAILED", NATIVE, PEER_FAILED, "the destination failed: full" },
	{ "SWITCHOVER_ACK", BOTH, "16:7 16:0 ", "says 0x7, which is unknown" },
	{ "ACCEPT", BOTH, "16:5253 16:0 ", "says 0x5253, which is unknown" },
};

/* Of use, but not before the package. */
static const struct row too_early[] = {
	{ "SHUT", BOTH, PS_SHUT(0), NOT_DUE("1") },
	{ "READY", BOTH, PEER_READY, NOT_DUE("5254") },
	{ "RUNNING", BOTH, PEER_RUNNING, NOT_DUE("5255") },
	{ "a request", BOTH, REQUEST("0", "1000", "r"), NOT_DUE("3") },
	{ "a request of no region", BOTH, "16:4 16:c 64:0 32:1000 ", NOT_DUE("4") },
	{ "a received bitmap", BOTH, PS_BITMAP(0), NOT_DUE("5") },
	{ "RESUME_ACK", BOTH, PS_ACK, NOT_DUE("6") },
	{ "PONG of three bytes", BOTH, "16:2 16:3 8:0 16:0 ", "0x2 with 3 bytes instead of 4" },
};

static const struct row requests[] = {
	{ "of no region", BOTH, "16:4 16:c 64:0 32:1000 ", "at offset 0x0 were asked for, of no" },
	{ "of an unknown region", BOTH, REQUEST("0", "1000", "z"), "region z" },
	{ "in the middle of a page", BOTH, REQUEST("800", "1000", "r"),
	  "4096 bytes at offset 0x800 of region r were asked for, which has other host pages" },
	{ "of half a page", BOTH, REQUEST("0", "800", "r"),
	  "2048 bytes at offset 0x0 of region r were asked for" },
	{ "of nothing", BOTH, REQUEST("0", "0", "r"),
	  "0 bytes at offset 0x0 of region r were asked for" },
	{ "behind the end", BOTH, REQUEST("2000", "1000", "r"),
	  "4096 bytes at offset 0x2000 of region r were asked for, which is shorter" },
	{ "beyond the end", BOTH, REQUEST("1000", "2000", "r"), "offset 0x1000 of region r" },
	{ "that wraps around", BOTH, REQUEST("fffffffffffff000", "2000", "r"),
	  "0xfffffffffffff000" },
	{ "of 2 GiB", BOTH, REQUEST("0", "80000000", "r"), "2147483648 bytes" },
	{ "that goes on from one of no region", BOTH, "16:3 16:d 64:0 32:1000 s: ", "" },
	{ "of four bytes", BOTH, "16:3 16:4 32:0 ", "4 bytes" },
	{ "whose name ends outside", BOTH, "16:3 16:e 64:0 32:1000 8:ff t:r ", "" },
	{ "with a byte too much", BOTH, "16:4 16:d 64:0 32:1000 8:0 ", "13 bytes" },
};

static const struct row while_switching[] = {
	{ "RUNNING before COMMIT", NATIVE, PEER_RUNNING, NOT_DUE("5255") },
	{ "SHUT", NATIVE, PS_SHUT(0), NOT_DUE("1") },
	{ "a received bitmap", NATIVE, PS_BITMAP(0), NOT_DUE("5") },
	{ "RESUME_ACK", NATIVE, PS_ACK, NOT_DUE("6") },
	{ "READY with a payload", NATIVE, "16:5254 16:1 8:0 ", "with 1 bytes instead of 0" },
};

static const struct row once_moved[] = {
	{ "READY again", BOTH, PEER_READY, NOT_DUE("5254") },
	{ "RUNNING again", BOTH, PEER_RUNNING, NOT_DUE("5255") },
	{ "a received bitmap", BOTH, PS_BITMAP(0), NOT_DUE("5") },
	{ "RESUME_ACK", BOTH, PS_ACK, NOT_DUE("6") },
	{ "SHUT of eight bytes", BOTH, "16:1 16:8 64:0 ", "" },
};

static const struct row bitmaps[] = {
	{ "another region's", BOTH, "16:5 16:2 s:z 64:8 z:8 64:123456789abcdef ",
	  "the received bitmap of region z came where that of r is due" },
	{ "too long", BOTH, "16:5 16:2 s:r 64:10 z:10 64:123456789abcdef ", "region r" },
	{ "empty", BOTH, "16:5 16:2 s:r 64:0 64:123456789abcdef ", "region r" },
	{ "of one byte", BOTH, "16:5 16:2 s:r 64:1 8:0 64:123456789abcdef ", "region r" },
	{ "as long as can be", BOTH, "16:5 16:2 s:r 64:ffffffffffffffff ", "region r" },
	{ "without its end mark", BOTH, "16:5 16:2 s:r 64:8 z:8 64:123456789abcdee ", "region r" },
	{ "whose name ends outside", BOTH, "16:5 16:2 8:ff t:r ", "" },
	{ "without a name", BOTH, "16:5 16:0 ", "" },
	{ "RESUME_ACK in its place", BOTH, PS_ACK, NOT_DUE("6") },
	{ "a request in its place", BOTH, REQUEST("0", "1000", "r"), NOT_DUE("3") },
	{ "READY in its place", BOTH, PEER_READY, NOT_DUE("5254") },
	{ "SHUT in its place", BOTH, PS_SHUT(0), NOT_DUE("1") },
};

static const struct row resumptions[] = {
	{ "RESUME_ACK 0", BOTH, "16:6 16:4 32:0 ", "answers 0 where it is to go on" },
	{ "RESUME_ACK of three bytes", BOTH, "16:6 16:3 8:0 16:1 ", "3 bytes instead of 4" },
	{ "the bitmap again", BOTH, PS_BITMAP(3), NOT_DUE("5") },
	{ "READY", BOTH, PEER_READY, NOT_DUE("5254") },
	{ "SHUT", BOTH, PS_SHUT(0), NOT_DUE("1") },
	{ "RESUME_ACK, and the bitmap again", BOTH, PS_ACK PS_BITMAP(3), NOT_DUE("5") },
	{ "RESUME_ACK, and again", BOTH, PS_ACK PS_ACK, NOT_DUE("6") },
};

static void source_before_the_switch(void **unused)
{
	(void)unused;
	run_rows(at_any_time, COUNT(at_any_time), true, reach_promise, end_stays);
	run_rows(too_early, COUNT(too_early), true, reach_promise, end_stays);
	run_rows(at_any_time, COUNT(at_any_time), true, reach_arrival, end_stays);
	run_rows(too_early, COUNT(too_early), true, reach_arrival, end_stays);
}

/* A native source has its guest until it is told READY. */
static void native_only(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		run_row(&rows[i], true, true, reach_switch, end_stays);
}

static void source_at_the_switch(void **unused)
{
	(void)unused;
	native_only(at_any_time, COUNT(at_any_time));
	native_only(requests, COUNT(requests));
	native_only(while_switching, COUNT(while_switching));
}

static void source_in_postcopy(void **unused)
{
	(void)unused;
	run_rows(at_any_time, COUNT(at_any_time), true, reach_move, end_pauses);
	run_rows(requests, COUNT(requests), true, reach_move, end_pauses);
	run_rows(once_moved, COUNT(once_moved), true, reach_move, end_pauses);
}

static void source_in_recovery(void **unused)
{
	(void)unused;
	run_rows(at_any_time, COUNT(at_any_time), true, reach_recovery, end_pauses_again);
	run_rows(bitmaps, COUNT(bitmaps), true, reach_recovery, end_pauses_again);
	run_rows(at_any_time, COUNT(at_any_time), true, reach_resumption, end_pauses_again);
	run_rows(resumptions, COUNT(resumptions), true, reach_resumption, end_pauses_again);
}

/* The source has handed its guest over, and does not know whether it runs. */
static void reach_commit(struct postcopy_script *script)
{
	reach_switch(script);
	postcopy_script_say(script, PEER_READY);
	postcopy_script_await(script, PEER_COMMIT);
}

static const struct row failure = { "FAILED", NATIVE, PEER_FAILED, "the destination failed: full" };

static void reach_recovery_without_word(struct postcopy_script *script)
{
	reach_commit(script);
	scripted_peer_hang_up(&script->peer);
	postcopy_script_paused(script, 1, "");
	postcopy_script_reconnect(script);
	postcopy_script_await(script, PS_ASK_BITMAP);
}

static void reach_resumption_without_word(struct postcopy_script *script)
{
	reach_recovery_without_word(script);
	postcopy_script_say(script, PS_BITMAP(0));
	postcopy_script_await(script, PS_RESUME);
	postcopy_script_say(script, PS_ACK);
	postcopy_script_await(script, "32:55555555");
}

/* The guest is the source's again if its destination says that it does not run; not if another one does. */
static void a_guest_that_cannot_run(void **unused)
{
	(void)unused;
	run_row(&failure, true, true, reach_commit, end_stays);
	run_row(&failure, true, true, reach_recovery_without_word, end_pauses_again);
	run_row(&failure, true, true, reach_resumption_without_word, end_stays);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(source_before_the_switch), cmocka_unit_test(source_at_the_switch),
		cmocka_unit_test(source_in_postcopy),       cmocka_unit_test(source_in_recovery),
		cmocka_unit_test(a_guest_that_cannot_run),
	};

	return cmocka_run_group_tests_name("postcopy_answers", tests, open_watchdog, NULL);
}
