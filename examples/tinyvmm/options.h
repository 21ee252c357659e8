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
	bool postcopy;
	unsigned postcopy_after; /* so many passes */
	bool preempt;
	const char *max_postcopy_bandwidth; /* NULL: as it is */
};

/* Ends the program if they make no sense, or ask for help. */
void options_parse(struct options *options, int argc, char **argv);

#endif
