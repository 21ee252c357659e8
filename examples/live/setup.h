/* SPDX-License-Identifier: MIT */
/* A guest as the command line wants it, before any migration. */
#ifndef EXAMPLES_SETUP_H
#define EXAMPLES_SETUP_H

#include "guest/guest.h"
#include "command/options.h"

/* A sender's guest: filled, its writers running. */
int setup_source(struct guest *guest, const struct options *options, struct rs_error *error);

/* A receiver's guest: memory, if any, and nothing in it. */
int setup_destination(struct guest *guest, const struct options *options, struct rs_error *error);

#endif
