/* SPDX-License-Identifier: MIT */
/*
 * KVM's dirty logs, ready-made: for a VMM whose guest memory is in KVM memory slots.
 *
 * Life cycle: rs_kvm_create() for the VM, before its vCPUs are created; rs_kvm_add_vcpu() for each
 * vCPU; rs_kvm_add_region() for each region; rs_kvm_add_slot() for each memory slot, which the
 * library registers with KVM from then on, so that it can turn the logging of the slot on and
 * off. Slots may come and go at any time, also while a migration runs. A region that is removed takes
 * its slots along, and rs_kvm_destroy() takes what is left, before or after rs_state_destroy().
 *
 * Two kinds of log. The *bitmap* has a bit for each page of a slot; where KVM lets us
 * (KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2), reading it and write-protecting pages again are two
 * things, and the second is done in chunks, just before a chunk is sent. The *ring* has an
 * entry for each page that a vCPU wrote; when a vCPU's ring is full its thread must have it
 * emptied (rs_kvm_ring_full()) before it runs on.
 *
 * KVM logs what vCPUs write, and nothing else: what the VMM itself writes to guest memory goes
 * through rs_dirty_mark().
 *
 * Threads: everything here may be called from any thread, unless it says otherwise.
 */
#ifndef RAMSYNC_KVM_H
#define RAMSYNC_KVM_H

#include <ramsync/region.h>

RS_BEGIN_DECLS

struct rs_kvm;

/**
 * enum rs_kvm_log - a kind of dirty log.
 * @RS_KVM_LOG_AUTO: the best that there is: the bitmap, which every KVM has.
 * @RS_KVM_LOG_BITMAP: KVM_GET_DIRTY_LOG.
 * @RS_KVM_LOG_RING: KVM_CAP_DIRTY_LOG_RING or KVM_CAP_DIRTY_LOG_RING_ACQ_REL, Linux 5.11 and later.
 * @RS_KVM_LOG_NONE: none: slots are registered and no more. For a VMM that has the same code
 *	whatever logs its regions; another log, userfaultfd for instance, sees what vCPUs write.
 */
enum rs_kvm_log {
	RS_KVM_LOG_AUTO,
	RS_KVM_LOG_BITMAP,
	RS_KVM_LOG_RING,
	RS_KVM_LOG_NONE,
};

/**
 * struct rs_kvm_config - what rs_kvm_create() is to know.
 * @size: sizeof(struct rs_kvm_config).
 * @vm_fd: descriptor of the VM (KVM_CREATE_VM). Stays the embedder's; must stay open until
 *	rs_kvm_destroy().
 * @log: which log, if any.
 * @ring_entries: entries of each vCPU's ring, a power of two; 0 means 65536, or as many as KVM
 *	has, if that is less.
 */
struct rs_kvm_config {
	size_t size;
	int vm_fd;
	enum rs_kvm_log log;
	uint32_t ring_entries;
};

/**
 * rs_kvm_create() - choose a VM's dirty log, and turn on what it needs.
 * @config: the VM.
 * @kvm: receives the object. Untouched on failure.
 * @error: receives the reason of a failure; may be NULL.
 *
 * Return: 0; -EOPNOTSUPP, with the name of the capability, if this KVM lacks the log that was
 *	asked for; -EINVAL; -ENOMEM; the errno of KVM_ENABLE_CAP.
 * Context: before the VM's first vCPU is created, for the ring.
 */
RS_API int rs_kvm_create(const struct rs_kvm_config *config, struct rs_kvm **kvm,
			 struct rs_error *error);

/**
 * rs_kvm_destroy() - take all slots that are left from KVM, and forget the VM and its vCPUs.
 * @kvm: the VM; NULL is allowed.
 *
 * A region of it that is still there cannot be migrated any more, unless another log watches it and
 * this VM had RS_KVM_LOG_NONE.
 */
RS_API void rs_kvm_destroy(struct rs_kvm *kvm);

/** rs_kvm_chosen_log() - which log was chosen. Return: any but RS_KVM_LOG_AUTO. */
RS_API enum rs_kvm_log rs_kvm_chosen_log(const struct rs_kvm *kvm);

/**
 * rs_kvm_add_vcpu() - tell of a vCPU.
 * @kvm: the VM.
 * @vcpu_fd: its descriptor. Must stay open until rs_kvm_remove_vcpu() or rs_kvm_destroy().
 * @error: receives the reason of a failure; may be NULL.
 *
 * For the ring, which is mapped here; with the bitmap there is nothing to do, and nothing is done.
 *
 * Return: 0; the errno of mmap(2) or -ENOMEM.
 */
RS_API int rs_kvm_add_vcpu(struct rs_kvm *kvm, int vcpu_fd, struct rs_error *error);

/** rs_kvm_remove_vcpu() - forget a vCPU that does not run any more. What it wrote is kept. */
RS_API void rs_kvm_remove_vcpu(struct rs_kvm *kvm, int vcpu_fd);

/**
 * rs_kvm_add_region() - have KVM's log report what is written in a region.
 * @kvm: the VM.
 * @region: the region; it has no slots yet.
 * @error: receives the reason of a failure; may be NULL.
 *
 * Return: 0; -EEXIST if it was added already; -EBUSY during a migration; -ENOMEM.
 */
RS_API int rs_kvm_add_region(struct rs_kvm *kvm, struct rs_region *region, struct rs_error *error);

/**
 * struct rs_kvm_slot - a memory slot: a piece of a region at a place in the guest.
 * @size: sizeof(struct rs_kvm_slot).
 * @slot: its number; in the upper 16 bits the address space, as KVM has it.
 * @flags: KVM_MEM_READONLY or 0; KVM_MEM_LOG_DIRTY_PAGES is the library's.
 * @guest_address: guest physical address, a multiple of the page size.
 * @region_offset: where the piece begins in the region, a multiple of the page size.
 * @bytes: its length, a multiple of the page size.
 */
struct rs_kvm_slot {
	size_t size;
	uint32_t slot;
	uint32_t flags;
	uint64_t guest_address;
	uint64_t region_offset;
	uint64_t bytes;
};

/**
 * rs_kvm_add_slot() - register a memory slot with KVM, and log it while a migration runs.
 * @kvm: the VM.
 * @region: one of rs_kvm_add_region(). Its host address is what the slot maps.
 * @slot: the slot; copied.
 * @error: receives the reason of a failure; may be NULL.
 *
 * During a migration the slot is logged from its first moment on.
 *
 * Return: 0; -EINVAL for a bad description; -EEXIST if the number is taken; -ENOMEM; the errno of
 *	KVM_SET_USER_MEMORY_REGION.
 */
RS_API int rs_kvm_add_slot(struct rs_kvm *kvm, struct rs_region *region,
			   const struct rs_kvm_slot *slot, struct rs_error *error);

/**
 * rs_kvm_remove_slot() - take a memory slot from KVM.
 * @kvm: the VM.
 * @slot: its number.
 * @error: receives the reason of a failure; may be NULL.
 *
 * KVM throws the slot's log away with it, and with it what was written between the last sync and
 * now. So while a migration runs all of the slot's pages are marked dirty.
 *
 * Return: 0; -ENOENT; the errno of KVM_SET_USER_MEMORY_REGION, and then the slot is still there.
 */
RS_API int rs_kvm_remove_slot(struct rs_kvm *kvm, uint32_t slot, struct rs_error *error);

/**
 * rs_kvm_ring_full() - empty the rings: after KVM_RUN ended with KVM_EXIT_DIRTY_RING_FULL, in the
 * vCPU's thread, before it runs again.
 * @kvm: the VM.
 *
 * Return: 0; the errno of KVM_RESET_DIRTY_RINGS; -EINVAL if there are no rings.
 */
RS_API int rs_kvm_ring_full(struct rs_kvm *kvm);

RS_END_DECLS
#endif
