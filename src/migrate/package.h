/* SPDX-License-Identifier: MIT */
/* The package of postcopy: LISTEN, the device state, and what is to become of the guest then, in one piece. */
#ifndef RS_MIGRATE_PACKAGE_H
#define RS_MIGRATE_PACKAGE_H

#include "migrate/incoming.h"

/* Read so many bytes of it from in's stream, and do what they say. 0 or the session's error. */
int rs_package_load(struct rs_incoming *in, uint32_t bytes);

#endif
