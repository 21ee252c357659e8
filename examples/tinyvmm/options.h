/* SPDX-License-Identifier: MIT */
/* tinyvmm's command line. */
#ifndef TINYVMM_OPTIONS_H
#define TINYVMM_OPTIONS_H

#include "tinyvmm/vm.h"

struct options {
	struct vm_config vm;
	const char *incoming; /* NULL: begin with a guest of our own */
	const char *control;  /* NULL: none */
	bool stay;            /* when the guest has gone */
	bool digest;
};

/* What comes after "run". Ends the program if that is nonsense, or a wish for help. */
void options_parse(struct options *options, int argc, char **argv);

/* Say how it is used, to where that belongs, and end the program with @code. */
__attribute__((noreturn)) void options_usage(enum exit_code code);

#endif
