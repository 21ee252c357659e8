/* SPDX-License-Identifier: MIT */
/*
 * The control socket, and its client. A client sends one line, gets an answer of any number of
 * lines, the last of which is "ok" or "error: " and a sentence, and the connection is closed.
 */
#ifndef TINYVMM_CONTROL_H
#define TINYVMM_CONTROL_H

#include "tinyvmm/migration.h"

struct control {
	struct vm *vm;
	struct migration *migration;
	const char *path;
	int listen_fd; /* -1: there is none */
	bool quit;     /* somebody wants it */
};

/* Listen at @path; a socket that is there already is replaced. */
int control_open(struct control *control, const char *path, struct rs_error *error);
void control_close(struct control *control);

/* Serve a client that waits. */
void control_serve(struct control *control);

/* Be a client. Returns the exit code. */
int control_call(const char *path, int words, char **word);

#endif
