/* SPDX-License-Identifier: MIT */
/* How a guest begins that comes from nowhere else. */
#ifndef TINYVMM_BOOT_H
#define TINYVMM_BOOT_H

#include "tinyvmm/vm.h"

/* Put the payload into memory, and the vCPUs at its entry, in long mode. They are parked. */
int boot(struct vm *vm, struct rs_error *error);

#endif
