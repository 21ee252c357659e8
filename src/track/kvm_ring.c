/* SPDX-License-Identifier: MIT */
#include "track/kvm_ring.h"

uint32_t rs_kvm_ring_harvest(struct rs_kvm_ring *ring,
			     void (*take)(void *opaque, uint32_t slot, uint64_t page), void *opaque)
{
	uint32_t taken = 0;

	for (; taken < ring->count; taken++) {
		struct kvm_dirty_gfn *entry = &ring->entries[ring->next & (ring->count - 1)];

		/* Slot and page were written before the flag. */
		if (!(__atomic_load_n(&entry->flags, __ATOMIC_ACQUIRE) & KVM_DIRTY_GFN_F_DIRTY))
			break;
		take(opaque, entry->slot, entry->offset);
		/* They have been read before it is KVM's again. */
		__atomic_store_n(&entry->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
		ring->next++;
	}
	return taken;
}
