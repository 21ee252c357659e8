/* SPDX-License-Identifier: MIT */
/*
 * Command lines. The programs' own options are one table; the library's parameters become options
 * by themselves, so a new one needs no line here. Wrong options end the program with a message that
 * names the option.
 */
#ifndef EXAMPLES_OPTIONS_H
#define EXAMPLES_OPTIONS_H

#include "guest/memory.h"

#define OPTIONS_REGIONS_MAX 64u
#define OPTIONS_PARAMS_MAX 64u
#define OPTIONS_RESUMES_MAX 16u

/* Exit codes of all programs, as --help lists them. */
enum exit_code {
	EXIT_HANDED_OVER = 0,
	EXIT_FAILED = 1,
	EXIT_CORRUPT = 2,
	EXIT_CANCELLED = 3,
	EXIT_IN_DOUBT = 4,
	EXIT_PAUSED = 5,
	EXIT_BAD_USAGE = 64,
};

enum program {
	PROGRAM_SEND = 1 << 0,
	PROGRAM_RECV = 1 << 1,
	PROGRAM_INSPECT = 1 << 2,
	PROGRAM_CONVERT = 1 << 3,
};

enum dirty_log {
	DIRTY_LOG_AUTO,
	DIRTY_LOG_USERFAULTFD,
	DIRTY_LOG_MARKS,
	DIRTY_LOG_NONE,
};

enum on_doubt {
	ON_DOUBT_RECONNECT,
	ON_DOUBT_RUN,
	ON_DOUBT_DISCARD,
	ON_DOUBT_EXIT,
};

struct region_option {
	const char *name; /* not terminated */
	int name_length;
	enum memory_kind kind;
	uint64_t bytes;
};

struct param_option {
	const struct rs_param_info *info;
	const char *value; /* NULL: not on the command line */
};

struct options {
	enum program program;
	const char *program_name;
	const char *address; /* --to or --from */
	const char *input;   /* the words that are no options */
	const char *output;
	uint64_t memory_bytes; /* 0 without --memory */
	struct region_option region[OPTIONS_REGIONS_MAX];
	unsigned regions;
	uint32_t page_bytes;
	uint64_t populate_bytes; /* UINT64_MAX for all */
	enum pattern pattern;
	const char *image;
	unsigned writers;
	uint64_t dirty_rate;
	uint64_t working_set_bytes; /* 0 for the default */
	enum dirty_log dirty_log;
	uint64_t max_memory_bytes;
	double run_on_seconds;
	enum on_doubt on_doubt;
	uint64_t postcopy_after; /* rounds */
	const char *recover;     /* an address, or NULL */
	uint64_t touch_rate;
	const char *devices; /* where device state goes; NULL for nowhere */
	const char *save;    /* the directory for regions, or NULL */
	const char *only_region;
	const char
	    *resume[OPTIONS_RESUMES_MAX]; /* recordings that go on where the one before broke */
	unsigned resumes;
	struct param_option param[OPTIONS_PARAMS_MAX]; /* all that the library has */
	unsigned params;
	bool qemu;
	bool postcopy;
	bool preempt;
	bool keep_going;
	bool prealloc;
	bool verify;
	bool json;
	bool progress;
};

/*
 * Read the command line, before anything is opened. Ends the program after --help, --version and
 * anything wrong.
 */
void options_parse(struct options *options, enum program program, int argc, char **argv);

/* A state with pages of so many bytes, 0 for the default. Ends the program if that is no size. */
struct rs_state *options_create_state(const struct options *options, uint32_t page_bytes);

/* Set what the command line says of the library's parameters. */
void options_set_params(const struct options *options, struct rs_state *state);

#endif
