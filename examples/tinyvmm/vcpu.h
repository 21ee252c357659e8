/* SPDX-License-Identifier: MIT */
/* A vCPU and its thread. */
#ifndef TINYVMM_VCPU_H
#define TINYVMM_VCPU_H

#include "tinyvmm/vm.h"

/* Before the first vCPU: the signal that has a thread leave the guest. */
void vcpu_init_signal(void);

/* Make vCPU @number, and a thread for it that is parked. */
int vcpu_create(struct vm *vm, unsigned number, struct rs_error *error);

/* The VM has ended: wait for the thread. Later, give everything back. */
void vcpu_join(struct vcpu *vcpu);
void vcpu_destroy(struct vcpu *vcpu);

/* Have it leave the guest soon. The VM's lock is held. */
void vcpu_kick_locked(struct vcpu *vcpu);

#endif
