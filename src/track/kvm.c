/* SPDX-License-Identifier: MIT */
/* A VM's memory slots: their list, and what KVM is told of them. */
#include "base/checked.h"
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
	    (int)mine.log < RS_KVM_LOG_AUTO || mine.log > RS_KVM_LOG_RING)
		return rs_error_setf(error, -EINVAL,
				     "rs_kvm_config has fields or values unknown to this version");
	struct rs_kvm *made = calloc(1, sizeof(*made));

	if (made == NULL)
		return rs_error_setf(error, -ENOMEM, "no memory for a VM's dirty log");
	made->calls = calls;
	made->vm_fd = mine.vm_fd;
	/* Every KVM has the bitmap. */
	made->log = mine.log == RS_KVM_LOG_RING ? RS_KVM_LOG_RING : RS_KVM_LOG_BITMAP;
	made->page_shift = (unsigned)__builtin_ctzl((unsigned long)sysconf(_SC_PAGESIZE));
	int result = made->log == RS_KVM_LOG_RING ? enable_ring(made, mine.ring_entries, error)
						  : enable_manual(made, error);

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

void rs_kvm_destroy(struct rs_kvm *kvm)
{
	if (kvm == NULL)
		return;
	while (kvm->vcpus != NULL)
		rs_kvm_remove_vcpu(kvm, kvm->vcpus->fd);
	while (kvm->regions != NULL) {
		struct rs_kvm_region *region = kvm->regions;

		kvm->regions = region->next;
		free(region);
	}
	for (size_t i = 0; i < kvm->slot_count; i++)
		free(kvm->slots[i].dirty);
	free(kvm->slots);
	pthread_mutex_destroy(&kvm->lock);
	free(kvm);
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
	if (kvm->log != RS_KVM_LOG_RING)
		return -EINVAL;
	pthread_mutex_lock(&kvm->lock);
	int result = rs_kvm_rings_harvest(kvm, NULL);

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

/* ---- regions and slots --------------------------------------------------------------------- */

int rs_kvm_add_region(struct rs_kvm *kvm, struct rs_region *region)
{
	struct rs_kvm_region *owner = calloc(1, sizeof(*owner));

	if (owner == NULL)
		return -ENOMEM;
	*owner = (struct rs_kvm_region){ .kvm = kvm, .region = region };
	int result = rs_region_add_dirty_log(region, rs_kvm_dirty_log(kvm), owner);

	if (result != 0) {
		free(owner);
		return result;
	}
	pthread_mutex_lock(&kvm->lock);
	owner->next = kvm->regions;
	kvm->regions = owner;
	pthread_mutex_unlock(&kvm->lock);
	return 0;
}

struct rs_kvm_memory_slot *rs_kvm_find_slot(struct rs_kvm *kvm, uint32_t slot, size_t *place)
{
	size_t low = 0, high = kvm->slot_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (kvm->slots[middle].config.slot < slot)
			low = middle + 1;
		else
			high = middle;
	}
	if (place != NULL)
		*place = low;
	return low < kvm->slot_count && kvm->slots[low].config.slot == slot ? &kvm->slots[low]
									    : NULL;
}

static struct rs_kvm_region *find_region(struct rs_kvm *kvm, const struct rs_region *region)
{
	struct rs_kvm_region *owner = kvm->regions;

	while (owner != NULL && owner->region != region)
		owner = owner->next;
	return owner;
}

static int check_slot(const struct rs_kvm *kvm, const struct rs_region *region,
		      const struct rs_kvm_slot *slot, struct rs_error *error)
{
	uint64_t page = 1ull << kvm->page_shift;

	if (slot->bytes == 0 || !rs_is_aligned(slot->bytes | slot->guest_address, page) ||
	    !rs_is_aligned(slot->region_offset, page) ||
	    !rs_range_inside(slot->region_offset, slot->bytes, rs_region_max_bytes(region)))
		return rs_error_setf(error, -EINVAL,
				     "slot %u: %llu bytes at offset 0x%llx of region %s, at guest "
				     "address 0x%llx, are not whole pages inside it",
				     slot->slot, (unsigned long long)slot->bytes,
				     (unsigned long long)slot->region_offset,
				     rs_region_name(region),
				     (unsigned long long)slot->guest_address);
	if ((slot->flags & ~(uint32_t)KVM_MEM_READONLY) != 0)
		return rs_error_setf(error, -EINVAL, "slot %u: flags 0x%x", slot->slot,
				     slot->flags);
	return 0;
}

/* Make room at place and put the slot there. Under the lock. */
static int insert(struct rs_kvm *kvm, size_t place, const struct rs_kvm_memory_slot *slot)
{
	struct rs_kvm_memory_slot *grown =
	    realloc(kvm->slots, (kvm->slot_count + 1) * sizeof(*grown));

	if (grown == NULL)
		return -ENOMEM;
	kvm->slots = grown;
	memmove(grown + place + 1, grown + place, (kvm->slot_count - place) * sizeof(*grown));
	grown[place] = *slot;
	kvm->slot_count++;
	return 0;
}

static void erase(struct rs_kvm *kvm, size_t place)
{
	kvm->slot_count--;
	memmove(kvm->slots + place, kvm->slots + place + 1,
		(kvm->slot_count - place) * sizeof(*kvm->slots));
}

/* Register it with KVM, with its log if its region is being logged, and keep it. Under the lock. */
static int add(struct rs_kvm *kvm, size_t place, struct rs_kvm_memory_slot *slot,
	       struct rs_error *error)
{
	uint32_t number = slot->config.slot;
	int result = slot->owner->logging ? rs_kvm_slot_start(kvm, slot, error)
					  : rs_kvm_slot_register(kvm, slot, 0, error);

	if (result != 0)
		return result;
	result = insert(kvm, place, slot);
	if (result == 0)
		return 0;
	rs_kvm_slot_unregister(kvm, slot, NULL);
	free(slot->dirty);
	return rs_error_setf(error, result, "slot %u: no memory to keep it", number);
}

int rs_kvm_add_slot(struct rs_kvm *kvm, struct rs_region *region, const struct rs_kvm_slot *slot,
		    struct rs_error *error)
{
	struct rs_kvm_memory_slot made = { 0 };
	size_t place;
	int result;

	if (rs_versioned_copy(&made.config, sizeof(made.config), slot, slot->size) != 0)
		return rs_error_setf(error, -EINVAL,
				     "rs_kvm_slot of %zu bytes has fields unknown to this version",
				     slot->size);
	result = check_slot(kvm, region, &made.config, error);
	if (result != 0)
		return result;
	made.pages = made.config.bytes >> kvm->page_shift;
	pthread_mutex_lock(&kvm->lock);
	made.owner = find_region(kvm, region);
	if (made.owner == NULL)
		result = rs_error_setf(error, -EINVAL,
				       "slot %u: region %s was not added with rs_kvm_add_region()",
				       slot->slot, rs_region_name(region));
	else if (rs_kvm_find_slot(kvm, slot->slot, &place) != NULL)
		result = rs_error_setf(error, -EEXIST, "slot %u is there already", slot->slot);
	else
		result = add(kvm, place, &made, error);
	pthread_mutex_unlock(&kvm->lock);
	return result;
}

int rs_kvm_remove_slot(struct rs_kvm *kvm, uint32_t slot, struct rs_error *error)
{
	size_t place;
	int result;

	pthread_mutex_lock(&kvm->lock);
	struct rs_kvm_memory_slot *found = rs_kvm_find_slot(kvm, slot, &place);

	if (found == NULL)
		result = rs_error_setf(error, -ENOENT, "there is no slot %u", slot);
	else
		result = rs_kvm_slot_unregister(kvm, found, error);
	if (result == 0 && found != NULL) {
		/* KVM forgets the log with the slot, so all of it has to be taken for written. */
		rs_dirty_mark(found->owner->region, found->config.region_offset,
			      found->config.bytes);
		free(found->dirty);
		erase(kvm, place);
	}
	pthread_mutex_unlock(&kvm->lock);
	return result;
}
