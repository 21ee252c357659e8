/* SPDX-License-Identifier: MIT */
#include "postcopy_rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define WATCHDOG_SECONDS 240

void run_row(const struct row *row, bool native, bool source, phase *reach, ending *end)
{
	struct postcopy_script script;

	print_message("%s, %s\n", native ? "native" : "qemu", row->what);
	postcopy_script_open(&script, native, source);
	reach(&script);
	postcopy_script_say(&script, row->text);
	end(&script, row);
	postcopy_script_close(&script);
}

void run_rows(const struct row *rows, size_t count, bool source, phase *reach, ending *end)
{
	for (size_t i = 0; i < count; i++) {
		if (rows[i].forms & QEMU)
			run_row(&rows[i], false, source, reach, end);
		if (rows[i].forms & NATIVE)
			run_row(&rows[i], true, source, reach, end);
	}
}

/* ---- phases -------------------------------------------------------------------------------- */

void reach_promise(struct postcopy_script *script)
{
	postcopy_script_begin(script);
}

void reach_arrival(struct postcopy_script *script)
{
	reach_promise(script);
	postcopy_script_arrive(script);
}

void reach_switch(struct postcopy_script *script)
{
	if (script->source)
		reach_arrival(script);
	else
		reach_promise(script);
	postcopy_script_switch(script);
}

void reach_move(struct postcopy_script *script)
{
	reach_switch(script);
	postcopy_script_move(script);
}

void reach_recovery(struct postcopy_script *script)
{
	reach_move(script);
	scripted_peer_hang_up(&script->peer);
	postcopy_script_paused(script, 1, "");
	postcopy_script_reconnect(script);
	if (script->source)
		postcopy_script_await(script, PS_ASK_BITMAP);
}

void reach_resumption(struct postcopy_script *script)
{
	reach_recovery(script);
	postcopy_script_say(script, PS_BITMAP(0));
	postcopy_script_await(script, PS_RESUME);
}

/* ---- endings ------------------------------------------------------------------------------- */

/* Nothing more is said, though not at once. */
static void check_hung_up(struct postcopy_script *script)
{
	while (rs_stream_error(script->peer.peer, NULL) == 0)
		rs_stream_get_u8(script->peer.peer);
}

void end_stays(struct postcopy_script *script, const struct row *row)
{
	struct rs_state *state = script->peer.state;
	const char *journal = script->peer.vm.journal;
	int result = rs_migrate_wait(state);
	struct rs_error error;

	assert_true(result < 0);
	assert_int_equal(rs_error_get(state, RS_ERROR_OF_MIGRATION, &error), result);
	if (strstr(error.text, row->says) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", error.text, row->says);
	assert_int_equal(rs_migrate_status(state), RS_STATUS_FAILED);
	assert_int_equal(strstr(journal, "stop ") != NULL, strstr(journal, "go-on ") != NULL);
	assert_null(strstr(journal, "resume "));
}

void end_pauses(struct postcopy_script *script, const struct row *row)
{
	postcopy_script_paused(script, 1, row->says);
	check_hung_up(script);
	postcopy_script_finish(script);
}

void end_pauses_again(struct postcopy_script *script, const struct row *row)
{
	postcopy_script_paused(script, 2, row->says);
	check_hung_up(script);
	postcopy_script_finish(script);
}

int open_watchdog(void **unused)
{
	(void)unused;
	alarm(WATCHDOG_SECONDS);
	return 0;
}
