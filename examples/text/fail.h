/* SPDX-License-Identifier: MIT */
/* Failures of the programs travel as the library's do: a negative errno and a sentence. */
#ifndef EXAMPLES_FAIL_H
#define EXAMPLES_FAIL_H

#include <ramsync/error.h>

/* Put code and sentence into @error, unless it holds one already. Returns @code. */
__attribute__((format(printf, 3, 4))) int fail(struct rs_error *error, int code, const char *format,
					       ...);

#endif
