/* SPDX-License-Identifier: MIT */
/*
 * A VM's memory slots and its dirty log, as the two kinds of log share them.
 *
 * The lock guards everything below it. It is taken by the thread that saves (start, sync, clear,
 * stop), by whoever changes slots, and by vCPU threads whose ring is full; nobody who holds it calls
 * out, except to the sink of a sync and to KVM.
 */
#ifndef RS_TRACK_KVM_VM_H
#define RS_TRACK_KVM_VM_H

#include "track/kvm_calls.h"
#include "track/kvm_ring.h"

#include <ramsync/kvm.h>
#include <pthread.h>
#include <stdbool.h>

/* A region whose slots are logged while a migration runs. */
struct rs_kvm_region {
	struct rs_kvm *kvm;
	struct rs_region *region;
	bool logging;
	struct rs_kvm_region *next;
};

struct rs_kvm_memory_slot {
	struct rs_kvm_slot config;
	struct rs_kvm_region *owner;
	uint64_t pages;
	/* A bit a page: what KVM said last (bitmap), or what the rings said since the last sync (ring).
	 * NULL while the slot is not logged. */
	uint64_t *dirty;
};

struct rs_kvm {
	/* immutable */
	const struct rs_kvm_calls *calls;
	int vm_fd;
	enum rs_kvm_log log;
	bool manual; /* bitmap: reading and clearing are two things */
	uint32_t ring_entries;
	unsigned page_shift;

	pthread_mutex_t lock;
	bool gone;           /* rs_kvm_destroy() was called: it is only its regions that hold it */
	unsigned references; /* a region's each, and the embedder's */
	struct rs_kvm_region *regions;
	struct rs_kvm_memory_slot *slots; /* by number */
	size_t slot_count;
	struct rs_kvm_vcpu *vcpus;
	struct rs_error ring_error; /* the first thing that was wrong with a ring */
};

struct rs_kvm_vcpu {
	int fd;
	struct rs_kvm_ring ring;
	struct rs_kvm_vcpu *next;
};

/* rs_kvm_create() on another KVM. */
int rs_kvm_create_on(const struct rs_kvm_calls *calls, const struct rs_kvm_config *config,
		     struct rs_kvm **kvm, struct rs_error *error);

/* The slot of that number, or NULL; before, receives where it would be. Under the lock. */
struct rs_kvm_memory_slot *rs_kvm_find_slot(struct rs_kvm *kvm, uint32_t slot, size_t *place);

/* Tell KVM of a slot, or to log it from now on, or to forget it. Under the lock. 0 or a negative
 * errno with a text. */
int rs_kvm_slot_register(struct rs_kvm *kvm, const struct rs_kvm_memory_slot *slot, uint32_t flags,
			 struct rs_error *error);
int rs_kvm_slot_start(struct rs_kvm *kvm, struct rs_kvm_memory_slot *slot, struct rs_error *error);
int rs_kvm_slot_unregister(struct rs_kvm *kvm, const struct rs_kvm_memory_slot *slot,
			   struct rs_error *error);

/* Empty all rings into their slots, and have KVM protect what was in them. Under the lock. 0 or a
 * negative errno with a text. */
int rs_kvm_rings_harvest(struct rs_kvm *kvm, struct rs_error *error);

/* Take the slots of an owner, or of all if it is NULL, from KVM. Under the lock. */
void rs_kvm_drop_slots(struct rs_kvm *kvm, const struct rs_kvm_region *owner);

/* A reference less. */
void rs_kvm_put(struct rs_kvm *kvm);

/* The region goes, and with it its slots and the owner. */
void rs_kvm_release_region(void *owner, struct rs_region *region);

/* The dirty log of the VM's kind, for rs_region_add_dirty_log() with a struct rs_kvm_region. */
const struct rs_dirty_log_ops *rs_kvm_dirty_log(const struct rs_kvm *kvm);

#endif
