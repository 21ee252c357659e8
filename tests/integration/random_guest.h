/* SPDX-License-Identifier: MIT */
/* Guests of every kind, from a seed. */
#ifndef RS_TESTS_RANDOM_GUEST_H
#define RS_TESTS_RANDOM_GUEST_H

#include "support/guest.h"

/* A source and a destination that fit each other, of a few MiB at most. */
void random_guest_specs(struct test_random *random, bool userfaultfd, struct guest_spec *from,
			struct guest_spec *to);

#endif
