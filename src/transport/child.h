/* SPDX-License-Identifier: MIT */
/* A command at one end of a pipe. */
#ifndef RS_TRANSPORT_CHILD_H
#define RS_TRANSPORT_CHILD_H

#include <ramsync/error.h>
#include <stdbool.h>
#include <sys/types.h>

struct rs_child {
	pid_t pid;
	bool we_read; /* its standard output, else we write its standard input */
	char *command;
};

/* Run a command by /bin/sh. *fd receives our end of the pipe, in O_NONBLOCK mode. 0 or a negative
 * errno with *error set. */
int rs_child_start(const char *command, bool we_read, struct rs_child **child, int *fd,
		   struct rs_error *error);

/* Wait for it, five seconds and then with force, and free it. Our end must be closed before.
 * 0; -EIO if it failed, -ECHILD if somebody else took its status, with *error set. */
int rs_child_finish(struct rs_child *child, struct rs_error *error);

#endif
