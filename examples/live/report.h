/* SPDX-License-Identifier: MIT */
/* What the programs tell: the progress while it lasts, and the result at the end. */
#ifndef EXAMPLES_REPORT_H
#define EXAMPLES_REPORT_H

#include "guest/guest.h"
#include "command/options.h"

struct result {
	enum exit_code code;
	struct rs_error error; /* of what failed, if anything did */
	double began;          /* the migration, in seconds of CLOCK_MONOTONIC, */
	double ended;          /* as this program saw it */
	double cpu_seconds;    /* user and system time of all threads meanwhile */
	bool has_digest;
	uint64_t digest;
};

/* The word for a result, for instance "completed". */
const char *report_result_name(enum exit_code code);

/* One progress line on standard error; @last ends it. */
void report_progress(const struct options *options, const struct rs_state *state, bool last);

/* The result: what failed on standard error, the rest on standard output, as text or JSON. */
void report_result(const struct options *options, const struct guest *guest,
		   const struct result *result);

#endif
