/* SPDX-License-Identifier: MIT */
/* What makes pages smaller on their way, from a seed. */
#ifndef RS_TESTS_RANDOM_ENCODERS_H
#define RS_TESTS_RANDOM_ENCODERS_H

#include "support/guest.h"
#include "support/test_random.h"

/* Compressed pages for the next migration, or none; each end has its own number of threads. */
void random_compress(struct test_random *random, struct guest *from, struct guest *to);

#endif
