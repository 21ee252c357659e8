/* SPDX-License-Identifier: MIT */
/* The programs' own options, one row each: what getopt_long() and --help are made from. */
#ifndef EXAMPLES_OPTION_TABLE_H
#define EXAMPLES_OPTION_TABLE_H

#include "command/options.h"

enum option_id {
	OPTION_TO,
	OPTION_FROM,
	OPTION_MEMORY,
	OPTION_REGION,
	OPTION_PAGE_SIZE,
	OPTION_PREALLOC,
	OPTION_PATTERN,
	OPTION_POPULATE,
	OPTION_IMAGE,
	OPTION_WRITERS,
	OPTION_DIRTY_RATE,
	OPTION_WORKING_SET,
	OPTION_DIRTY_LOG,
	OPTION_MAX_MEMORY,
	OPTION_RUN_ON,
	OPTION_QEMU,
	OPTION_QEMU_MACHINE,
	OPTION_DEVICES,
	OPTION_SAVE,
	OPTION_EXTRACT,
	OPTION_ONLY_REGION,
	OPTION_KEEP_GOING,
	OPTION_RESUME,
	OPTION_VERIFY,
	OPTION_POSTCOPY,
	OPTION_POSTCOPY_AFTER,
	OPTION_POSTCOPY_IN,
	OPTION_POSTCOPY_OUT,
	OPTION_PREEMPT,
	OPTION_TOUCH,
	OPTION_RECOVER,
	OPTION_RECOVER_OUT,
	OPTION_ON_DOUBT,
	OPTION_JSON,
	OPTION_JSON_REPORT,
	OPTION_PROGRESS,
	OPTION_HELP,
	OPTION_VERSION,
	OPTION_COUNT,
};

struct option_row {
	const char *name;
	const char *value; /* what --help calls it; NULL for none */
	unsigned programs; /* enum program, ORed */
	const char *help;
};

extern const struct option_row option_table[OPTION_COUNT];

/* For instance "ramsync-send". */
const char *option_program_name(enum program program);

/* Print --help of one program to standard output. */
void option_help(enum program program);

#endif
