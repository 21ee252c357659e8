/* SPDX-License-Identifier: MIT */
/* What is particular to postcopy: when it begins, how it goes on after a break, what the guest waited for. */
#ifndef TINYVMM_POSTCOPY_H
#define TINYVMM_POSTCOPY_H

#include "tinyvmm/migration.h"
#include "tinyvmm/options.h"

#include <stdio.h>

/* As the command line wants it. */
int postcopy_set_params(struct migration *migration, const struct options *options,
			struct rs_error *error);

/* In the migration's thread: something happened at the source, or at the destination. */
void postcopy_event_out(struct migration *migration, const struct rs_event *event);
void postcopy_event_in(struct migration *migration, const struct rs_event *event);

/* It is paused: connect to @address, or listen there. Returns at once. */
int postcopy_recover(struct migration *migration, const char *address, struct rs_error *error);

/* It is paused, and nobody will recover it. */
int postcopy_resolve(struct migration *migration, enum rs_resolution resolution,
		     struct rs_error *error);

/* For how long the guest waited for pages that were not here yet. */
void postcopy_print(const struct vm *vm, FILE *answer);

#endif
