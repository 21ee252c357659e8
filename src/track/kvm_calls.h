/* SPDX-License-Identifier: MIT */
/* What is asked of KVM, as a table, so that tests can play KVM. All return 0 or a negative errno,
 * but for check, which returns what KVM_CHECK_EXTENSION says (0 or less: it is not there). */
#ifndef RS_TRACK_KVM_CALLS_H
#define RS_TRACK_KVM_CALLS_H

#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>

struct rs_kvm_calls {
	int (*check)(int vm_fd, unsigned capability);
	int (*enable)(int vm_fd, unsigned capability, uint64_t argument);
	int (*set_memory)(int vm_fd, const struct kvm_userspace_memory_region *memory);
	int (*get_dirty_log)(int vm_fd, uint32_t slot, void *bitmap);
	int (*clear_dirty_log)(int vm_fd, const struct kvm_clear_dirty_log *range);
	int (*reset_rings)(int vm_fd);
	/* Of a vCPU, after its ring; unmap is its end. */
	int (*map_ring)(int vcpu_fd, size_t bytes, void **ring);
	void (*unmap_ring)(void *ring, size_t bytes);
};

/* The kernel's. */
extern const struct rs_kvm_calls rs_kvm_kernel;

#endif
