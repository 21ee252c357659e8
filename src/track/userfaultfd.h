/* SPDX-License-Identifier: MIT */
/* Opening a userfaultfd with the features that a caller needs, and giving it memory. */
#ifndef RS_TRACK_USERFAULTFD_H
#define RS_TRACK_USERFAULTFD_H

#include "track/kernel_abi.h"

#include <ramsync/error.h>
#include <stdint.h>

/*
 * A userfaultfd with all of the features (UFFD_FEATURE_*), or a negative errno with a text:
 * -EOPNOTSUPP names the one that this kernel lacks. Falls back to one for faults of user
 * mode only, which an unprivileged process may have.
 */
int rs_userfaultfd_open(uint64_t features, struct rs_error *error);

/*
 * One that stops whoever touches a missing page, the kernel on behalf of a process (KVM, read(2))
 * included: without that right their accesses would fail. With those of the wanted features that
 * this kernel has. -EPERM if the process may not.
 */
int rs_userfaultfd_open_for_missing(uint64_t wanted, struct rs_error *error);

/* Register [start, start + bytes) in a mode (UFFDIO_REGISTER_MODE_*). 0 or a negative errno. */
int rs_userfaultfd_register(int userfaultfd, uintptr_t start, uint64_t bytes, uint64_t mode,
			    struct rs_error *error);

/* The same; *ioctls tells what can be done with the memory: bits 1 << _UFFDIO_*. */
int rs_userfaultfd_take(int userfaultfd, uintptr_t start, uint64_t bytes, uint64_t mode,
			uint64_t *ioctls, struct rs_error *error);

/* The counterpart; of memory that is not mapped any more, too. */
void rs_userfaultfd_unregister(int userfaultfd, uintptr_t start, uint64_t bytes);

#endif
