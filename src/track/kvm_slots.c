/* SPDX-License-Identifier: MIT */
/* The regions of a VM, and the memory slots that they are in. */
#include "base/checked.h"
#include "base/error.h"
#include "base/versioned.h"
#include "track/kvm_vm.h"

#include <stdlib.h>
#include <string.h>

/* ---- the list of slots --------------------------------------------------------------------- */

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

void rs_kvm_drop_slots(struct rs_kvm *kvm, const struct rs_kvm_region *owner)
{
	for (size_t i = kvm->slot_count; i-- > 0;) {
		if (owner != NULL && kvm->slots[i].owner != owner)
			continue;
		/* Nobody is left to be told if it fails; the slot goes with the VM then. */
		rs_kvm_slot_unregister(kvm, &kvm->slots[i], NULL);
		free(kvm->slots[i].dirty);
		erase(kvm, i);
	}
}

/* ---- regions ------------------------------------------------------------------------------- */

static struct rs_kvm_region *find_region(struct rs_kvm *kvm, const struct rs_region *region)
{
	struct rs_kvm_region *owner = kvm->regions;

	while (owner != NULL && owner->region != region)
		owner = owner->next;
	return owner;
}

int rs_kvm_add_region(struct rs_kvm *kvm, struct rs_region *region, struct rs_error *error)
{
	struct rs_kvm_region *owner = calloc(1, sizeof(*owner));
	int result = -ENOMEM;

	if (owner == NULL)
		return rs_error_setf(error, result, "region %s: no memory", rs_region_name(region));
	*owner = (struct rs_kvm_region){ .kvm = kvm, .region = region };
	/* Into the list before it is a log, which may be asked and released at once. */
	pthread_mutex_lock(&kvm->lock);
	bool added = find_region(kvm, region) != NULL;

	if (!added) {
		owner->next = kvm->regions;
		kvm->regions = owner;
		kvm->references++;
	}
	pthread_mutex_unlock(&kvm->lock);
	if (added) {
		free(owner);
		return rs_error_setf(error, -EEXIST, "region %s was added already",
				     rs_region_name(region));
	}
	result = rs_region_add_dirty_log(region, rs_kvm_dirty_log(kvm), owner);
	if (result == 0)
		return 0;
	rs_kvm_release_region(owner, region);
	return rs_error_setf(error, result, "region %s: no dirty log can be added now: %s",
			     rs_region_name(region), rs_errno_text(result));
}

void rs_kvm_release_region(void *opaque, struct rs_region *region)
{
	struct rs_kvm_region *owner = opaque;
	struct rs_kvm *kvm = owner->kvm;

	(void)region;
	pthread_mutex_lock(&kvm->lock);
	rs_kvm_drop_slots(kvm, owner);
	struct rs_kvm_region **at = &kvm->regions;

	while (*at != owner)
		at = &(*at)->next;
	*at = owner->next;
	pthread_mutex_unlock(&kvm->lock);
	free(owner);
	rs_kvm_put(kvm);
}

/* ---- slots --------------------------------------------------------------------------------- */

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
