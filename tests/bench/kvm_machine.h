/* SPDX-License-Identifier: MIT */
/* A virtual machine under KVM (x86-64) with one vCPU, for benchmarks of dirty logs: its guest writes
 * to as many pages as it is told to, and halts. */
#ifndef RS_BENCH_KVM_MACHINE_H
#define RS_BENCH_KVM_MACHINE_H

#include "support/tracked_region.h"

#include <ramsync/kvm.h>

#define KVM_MACHINE_PAGE 4096ull

struct kvm_run;

struct kvm_machine {
	int kvm_fd, vm_fd, vcpu_fd, memory_fd;
	struct kvm_run *run;
	size_t run_bytes;
	uint8_t *low;    /* its code, which no log watches */
	uint8_t *memory; /* what it writes: the region */
	size_t bytes;
	struct tracked_region tracked;
	struct rs_kvm *kvm; /* NULL: the log is userfaultfd's */
};

enum kvm_machine_log {
	KVM_MACHINE_BITMAP = RS_KVM_LOG_BITMAP,
	KVM_MACHINE_RING = RS_KVM_LOG_RING,
	KVM_MACHINE_USERFAULTFD,
};

/* All of its memory is populated. Returns -1, with the reason, if there is no such log here; ends
 * the program if anything else fails. */
int kvm_machine_create(struct kvm_machine *machine, enum kvm_machine_log log, size_t bytes,
		       struct rs_error *error);

void kvm_machine_destroy(struct kvm_machine *machine);

/* Have the guest write to that many pages, spread evenly. Nanoseconds for each. */
double kvm_machine_write(struct kvm_machine *machine, size_t count);

#endif
