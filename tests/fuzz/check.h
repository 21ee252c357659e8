/* SPDX-License-Identifier: MIT */
/* What a fuzz target finds out beside crashes. */
#ifndef RS_FUZZ_CHECK_H
#define RS_FUZZ_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK_THAT(condition, what)                                                                \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, what);        \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

#define CHECK(condition) CHECK_THAT(condition, #condition)

#endif
