/* SPDX-License-Identifier: MIT */
/* A VM: which dirty log it has, and its vCPUs. */
#include "base/checked.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/versioned.h"
#include "track/kvm_vm.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RING_ENTRIES 65536u

/* ---- which log ----------------------------------------------------------------------------- */

/* Reading the log and clearing it apart, and whether all is dirty at first. Older KVMs lack it. */
static int enable_manual(struct rs_kvm *kvm, struct rs_error *error)
{
	const unsigned cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2;
	int offered = kvm->calls->check(kvm->vm_fd, cap);
	uint64_t wanted = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET;

	kvm->manual = offered > 0 && (offered & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE) != 0;
	if (!kvm->manual)
		return 0;
	int result = kvm->calls->enable(kvm->vm_fd, cap, wanted & (uint64_t)offered);

	return result == 0
		   ? 0
		   : rs_error_setf(error, result,
				   "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 cannot be enabled: %s",
				   rs_errno_text(result));
}

/* The capability with the ordering of entries that we rely on, under either of its names. */
static int enable_ring(struct rs_kvm *kvm, uint32_t entries, struct rs_error *error)
{
	unsigned cap = KVM_CAP_DIRTY_LOG_RING_ACQ_REL;
	int most = kvm->calls->check(kvm->vm_fd, cap);

	if (most <= 0) {
		cap = KVM_CAP_DIRTY_LOG_RING;
		most = kvm->calls->check(kvm->vm_fd, cap);
	}
	if (most <= 0)
		return rs_error_setf(error, -EOPNOTSUPP, "this KVM has no KVM_CAP_DIRTY_LOG_RING");
	/* KVM counts bytes. */
	uint64_t limit = (uint64_t)most / sizeof(struct kvm_dirty_gfn);

	if (entries == 0)
		entries = (uint32_t)rs_min_u64(RING_ENTRIES, limit);
	if ((entries & (entries - 1)) != 0 || entries > limit)
		return rs_error_setf(error, -EINVAL,
				     "a ring of %u entries: a power of two up to %llu is possible",
				     entries, (unsigned long long)limit);
	int result = kvm->calls->enable(kvm->vm_fd, cap, entries * sizeof(struct kvm_dirty_gfn));

	kvm->ring_entries = entries;
	return result == 0
		   ? 0
		   : rs_error_setf(error, result,
				   "KVM_CAP_DIRTY_LOG_RING cannot be enabled, which must be "
				   "done before there are vCPUs: %s",
				   rs_errno_text(result));
}

int rs_kvm_create_on(const struct rs_kvm_calls *calls, const struct rs_kvm_config *config,
		     struct rs_kvm **kvm, struct rs_error *error)
{
	struct rs_kvm_config mine = { 0 };

	if (rs_versioned_copy(&mine, sizeof(mine), config, config->size) != 0 ||
	    (int)mine.log < RS_KVM_LOG_AUTO || mine.log > RS_KVM_LOG_NONE)
		return rs_error_setf(error, -EINVAL,
				     "rs_kvm_config has fields or values unknown to this version");
	struct rs_kvm *made = calloc(1, sizeof(*made));

	if (made == NULL)
		return rs_error_setf(error, -ENOMEM, "no memory for a VM's dirty log");
	made->calls = calls;
	made->vm_fd = mine.vm_fd;
	made->references = 1;
	/* Every KVM has the bitmap. */
	made->log = mine.log == RS_KVM_LOG_AUTO ? RS_KVM_LOG_BITMAP : mine.log;
	made->page_shift = (unsigned)__builtin_ctzl((unsigned long)sysconf(_SC_PAGESIZE));
	int result = 0;

	if (made->log == RS_KVM_LOG_RING)
		result = enable_ring(made, mine.ring_entries, error);
	else if (made->log == RS_KVM_LOG_BITMAP)
		result = enable_manual(made, error);
	if (result != 0) {
		free(made);
		return result;
	}
	pthread_mutex_init(&made->lock, NULL);
	*kvm = made;
	return 0;
}

int rs_kvm_create(const struct rs_kvm_config *config, struct rs_kvm **kvm, struct rs_error *error)
{
	return rs_kvm_create_on(&rs_kvm_kernel, config, kvm, error);
}

enum rs_kvm_log rs_kvm_chosen_log(const struct rs_kvm *kvm)
{
	return kvm->log;
}

/* ---- vCPUs and their rings ----------------------------------------------------------------- */

int rs_kvm_add_vcpu(struct rs_kvm *kvm, int vcpu_fd, struct rs_error *error)
{
	size_t bytes = kvm->ring_entries * sizeof(struct kvm_dirty_gfn);
	void *entries = NULL;

	if (kvm->log != RS_KVM_LOG_RING)
		return 0;
	struct rs_kvm_vcpu *vcpu = calloc(1, sizeof(*vcpu));
	int result = vcpu == NULL ? -ENOMEM : kvm->calls->map_ring(vcpu_fd, bytes, &entries);

	if (result != 0) {
		free(vcpu);
		return rs_error_setf(error, result, "the dirty ring of a vCPU cannot be mapped: %s",
				     rs_errno_text(result));
	}
	vcpu->fd = vcpu_fd;
	vcpu->ring = (struct rs_kvm_ring){ .entries = entries, .count = kvm->ring_entries };
	pthread_mutex_lock(&kvm->lock);
	vcpu->next = kvm->vcpus;
	kvm->vcpus = vcpu;
	pthread_mutex_unlock(&kvm->lock);
	return 0;
}

static void take_entry(void *opaque, uint32_t slot_number, uint64_t page)
{
	struct rs_kvm *kvm = opaque;
	const struct rs_kvm_memory_slot *slot = rs_kvm_find_slot(kvm, slot_number, NULL);

	/* A slot that was removed, or is not logged any more: what was in it is marked already. */
	if (slot == NULL || slot->dirty == NULL)
		return;
	if (page >= slot->pages)
		rs_error_setf(
		    &kvm->ring_error, -EIO,
		    "an entry of a dirty ring is for page %llu of slot %u, which has %llu",
		    (unsigned long long)page, slot_number, (unsigned long long)slot->pages);
	else
		slot->dirty[page / 64] |= 1ull << page % 64;
}

int rs_kvm_rings_harvest(struct rs_kvm *kvm, struct rs_error *error)
{
	uint64_t taken = 0;

	for (struct rs_kvm_vcpu *vcpu = kvm->vcpus; vcpu != NULL; vcpu = vcpu->next)
		taken += rs_kvm_ring_harvest(&vcpu->ring, take_entry, kvm);
	/* Protects the pages again: only what is read from them after this is sure to be followed by
	 * a new entry if they are written. */
	int result = taken > 0 ? kvm->calls->reset_rings(kvm->vm_fd) : 0;

	if (result != 0)
		return rs_error_setf(error, result, "KVM_RESET_DIRTY_RINGS: %s",
				     rs_errno_text(result));
	if (kvm->ring_error.code != 0)
		return rs_error_setf(error, kvm->ring_error.code, "%s", kvm->ring_error.text);
	return 0;
}

int rs_kvm_ring_full(struct rs_kvm *kvm)
{
	uint64_t since = rs_clock_ns();

	if (kvm->log != RS_KVM_LOG_RING)
		return -EINVAL;
	pthread_mutex_lock(&kvm->lock);
	int result = rs_kvm_rings_harvest(kvm, NULL);

	/* Whose entries they were cannot be said of the time; all regions are one guest's. */
	if (kvm->regions != NULL)
		rs_dirty_report_stall(kvm->regions->region, rs_clock_ns() - since);
	pthread_mutex_unlock(&kvm->lock);
	return result;
}

void rs_kvm_remove_vcpu(struct rs_kvm *kvm, int vcpu_fd)
{
	pthread_mutex_lock(&kvm->lock);
	for (struct rs_kvm_vcpu **at = &kvm->vcpus; *at != NULL; at = &(*at)->next) {
		struct rs_kvm_vcpu *vcpu = *at;

		if (vcpu->fd != vcpu_fd)
			continue;
		/* What it wrote last. KVM forgets the ring with the vCPU, so nothing has to be reset. */
		rs_kvm_ring_harvest(&vcpu->ring, take_entry, kvm);
		*at = vcpu->next;
		kvm->calls->unmap_ring(vcpu->ring.entries,
				       vcpu->ring.count * sizeof(struct kvm_dirty_gfn));
		free(vcpu);
		break;
	}
	pthread_mutex_unlock(&kvm->lock);
}

/* ---- the end ------------------------------------------------------------------------------- */

void rs_kvm_put(struct rs_kvm *kvm)
{
	pthread_mutex_lock(&kvm->lock);
	bool last = --kvm->references == 0;

	pthread_mutex_unlock(&kvm->lock);
	if (!last)
		return;
	free(kvm->slots);
	pthread_mutex_destroy(&kvm->lock);
	free(kvm);
}

void rs_kvm_destroy(struct rs_kvm *kvm)
{
	if (kvm == NULL)
		return;
	while (kvm->vcpus != NULL)
		rs_kvm_remove_vcpu(kvm, kvm->vcpus->fd);
	pthread_mutex_lock(&kvm->lock);
	rs_kvm_drop_slots(kvm, NULL);
	kvm->gone = true;
	pthread_mutex_unlock(&kvm->lock);
	rs_kvm_put(kvm);
}
