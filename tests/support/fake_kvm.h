/* SPDX-License-Identifier: MIT */
/*
 * A KVM with one VM, in memory: slots with dirty logs, and rings that the test fills. It holds its
 * callers to the kernel's rules: CLEAR takes whole words up to the slot's end, and only bits that
 * the last GET returned and that were not cleared since.
 */
#ifndef RS_TESTS_FAKE_KVM_H
#define RS_TESTS_FAKE_KVM_H

#include "track/kvm_calls.h"

#include <stdbool.h>

#define FAKE_KVM_SLOTS 8u
#define FAKE_KVM_WORDS 64u /* 4096 pages each */
#define FAKE_KVM_RINGS 2u
#define FAKE_KVM_RING_ENTRIES 64u

struct fake_kvm_slot {
	struct kvm_userspace_memory_region memory; /* memory_size 0: there is none */
	uint64_t dirty[FAKE_KVM_WORDS];
	uint64_t reported[FAKE_KVM_WORDS]; /* by the last GET, not cleared since */
};

struct fake_kvm {
	/* what KVM_CHECK_EXTENSION says */
	int manual;
	int ring_bytes;
	int ring_acq_rel_bytes;
	/* what calls return instead of working, each once */
	int enable_code, set_memory_code, get_code, clear_code, reset_code, map_code;

	struct fake_kvm_slot slots[FAKE_KVM_SLOTS]; /* by number */
	uint64_t manual_enabled;                    /* argument */
	uint64_t ring_enabled;                      /* argument: bytes */
	unsigned enabled_capability;
	struct kvm_dirty_gfn rings[FAKE_KVM_RINGS][FAKE_KVM_RING_ENTRIES];
	uint32_t pushed[FAKE_KVM_RINGS]; /* entries so far */
	unsigned resets, maps, clears;
};

/* The one that fake_kvm_calls work on. */
extern struct fake_kvm fake_kvm;
extern const struct rs_kvm_calls fake_kvm_calls;

void fake_kvm_reset(void);

/* A vCPU writes a page of a slot: into its log if it is logged. Into a ring of that vCPU (its
 * descriptor) if one is mapped; false if that is full. */
void fake_kvm_write(uint32_t slot, uint64_t page);
bool fake_kvm_push(unsigned vcpu, uint32_t slot, uint64_t page);

/* Pages that are dirty in a slot. */
uint64_t fake_kvm_dirty(uint32_t slot);

#endif
