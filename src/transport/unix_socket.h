/* SPDX-License-Identifier: MIT */
/* Local sockets by path, in O_NONBLOCK mode. */
#ifndef RS_TRANSPORT_UNIX_SOCKET_H
#define RS_TRANSPORT_UNIX_SOCKET_H

#include "transport/address.h"
#include "transport/deadline.h"

#include <stdint.h>
#include <sys/types.h>

/* Which file a listening socket made at its path. */
struct rs_unix_file {
	dev_t device;
	ino_t inode;
};

/* A connected socket, or a negative errno with *error set. */
int rs_unix_connect(const struct rs_address *address, const struct rs_deadline *deadline,
		    struct rs_error *error);

/* A listening socket, or a negative errno with *error set. A socket at the path is replaced, a
 * file of any other kind is left alone and is an error. */
int rs_unix_listen(const struct rs_address *address, struct rs_unix_file *file,
		   struct rs_error *error);

/* Remove the path, if it is still the file that was made: somebody may have replaced it since. */
void rs_unix_unlink(const char *path, const struct rs_unix_file *file);

#endif
