/* SPDX-License-Identifier: MIT */
/* Can written pages be found with rs_dirty_log_userfaultfd on this machine? */
#ifndef EXAMPLES_PROBE_H
#define EXAMPLES_PROBE_H

#include <ramsync/error.h>
#include <stdbool.h>

/* Start the log on a little private and a little shared memory. @error says why it did not. */
bool probe_userfaultfd(struct rs_error *error);

#endif
