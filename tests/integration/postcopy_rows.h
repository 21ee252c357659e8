/* SPDX-License-Identifier: MIT */
/* Tables of what a hostile peer says in postcopy: how far things are then, and what becomes of it. */
#ifndef RS_TESTS_POSTCOPY_ROWS_H
#define RS_TESTS_POSTCOPY_ROWS_H

#include "postcopy_script.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

enum form {
	QEMU = 1,
	NATIVE = 2,
	BOTH = 3,
};

struct row {
	const char *what;
	unsigned forms;
	const char *text; /* that the peer says */
	const char *says; /* a part of the reason that is given */
};

/* How far it is. */
typedef void phase(struct postcopy_script *script);

phase reach_promise;
phase reach_arrival; /* source */
phase reach_switch;
phase reach_move;
phase reach_recovery;   /* both ends have lost their connection, and got another one */
phase reach_resumption; /* source */

/* What becomes of it. */
typedef void ending(struct postcopy_script *script, const struct row *row);

ending end_stays; /* with a failure of which the text tells, and the guest is the source's */
ending end_pauses;
ending end_pauses_again;

void run_row(const struct row *row, bool native, bool source, phase *reach, ending *end);
void run_rows(const struct row *rows, size_t count, bool source, phase *reach, ending *end);

/* Nothing may wait for ever. For cmocka_run_group_tests(). */
int open_watchdog(void **unused);

#endif
