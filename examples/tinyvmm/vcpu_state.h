/* SPDX-License-Identifier: MIT */
/* What a vCPU knows, as device state: a section for each of KVM's structures. */
#ifndef TINYVMM_VCPU_STATE_H
#define TINYVMM_VCPU_STATE_H

#include "tinyvmm/vm.h"

/* Find out which MSRs travel: those that KVM lists, and has on a vCPU that never ran. */
int vcpu_state_init(struct vm *vm, struct rs_error *error);

/* Write the sections of a parked vCPU. */
int vcpu_state_save(struct vcpu *vcpu, struct rs_device_writer *writer);

/* Take a section, in the order in which they were written. -ENOENT if it is none of these. */
int vcpu_state_load(struct vm *vm, const struct rs_device_section *section, struct rs_stream *body);

#endif
