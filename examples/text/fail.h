/* SPDX-License-Identifier: MIT */
/* Failures of the programs travel as the library's do: a negative errno and a sentence. */
#ifndef EXAMPLES_FAIL_H
#define EXAMPLES_FAIL_H

#include <ramsync/migrate.h>

/* Put code and sentence into @error, unless it holds one already. Returns @code. */
__attribute__((format(printf, 3, 4))) int fail(struct rs_error *error, int code, const char *format,
					       ...);

/* At the end of a call on @state: if it was refused, @error becomes what the library says of that.
 * Returns @code. */
int fail_call(struct rs_state *state, int code, struct rs_error *error);

/* At the end of a migration's callback: if it failed, and @error says why, then that is why the
 * migration fails. Returns @code. */
int fail_migration(struct rs_state *state, int code, const struct rs_error *error);

#endif
