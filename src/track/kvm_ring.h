/* SPDX-License-Identifier: MIT */
/*
 * The dirty ring of one vCPU. An entry is KVM's until it says DIRTY; then it is ours until we say
 * RESET, after which KVM may take it again once KVM_RESET_DIRTY_RINGS has protected its page. Entries
 * are used in order, round and round; the first that is not DIRTY ends what there is.
 */
#ifndef RS_TRACK_KVM_RING_H
#define RS_TRACK_KVM_RING_H

#include <linux/kvm.h>
#include <stdint.h>

struct rs_kvm_ring {
	struct kvm_dirty_gfn *entries; /* shared with the kernel */
	uint32_t count;                /* a power of two */
	uint32_t next;                 /* to be looked at; wraps round by itself */
};

/* Take all entries that are there, and hand slot and page of each to take. Returns how many. No
 * more than the ring holds, even if a vCPU fills it meanwhile. */
uint32_t rs_kvm_ring_harvest(struct rs_kvm_ring *ring,
			     void (*take)(void *opaque, uint32_t slot, uint64_t page),
			     void *opaque);

#endif
