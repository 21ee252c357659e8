/* SPDX-License-Identifier: MIT */
/* What a migration asks of KVM's log: start, sync, clear, stop, for each region. */
#include "base/bitmap.h"
#include "base/checked.h"
#include "base/error.h"
#include "track/kvm_vm.h"

#include <stdlib.h>
#include <string.h>

/* KVM clears whole words, but for the last one of a slot. */
#define WORD_PAGES 64u

static size_t word_count(const struct rs_kvm_memory_slot *slot)
{
	return (size_t)rs_bitmap_word_count(slot->pages);
}

/* The owner's slot behind another, the first one behind NULL; NULL at the end. Under the lock. */
static struct rs_kvm_memory_slot *next_slot(const struct rs_kvm_region *owner,
					    struct rs_kvm_memory_slot *slot)
{
	const struct rs_kvm *kvm = owner->kvm;

	if (kvm->slot_count == 0)
		return NULL;
	struct rs_kvm_memory_slot *end = kvm->slots + kvm->slot_count;

	for (slot = slot == NULL ? kvm->slots : slot + 1; slot < end; slot++)
		if (slot->owner == owner)
			return slot;
	return NULL;
}

#define for_each_slot(slot, owner)                                                                 \
	for ((slot) = next_slot((owner), NULL); (slot) != NULL; (slot) = next_slot((owner), (slot)))

/* ---- slots --------------------------------------------------------------------------------- */

static int set_memory(struct rs_kvm *kvm, const struct rs_kvm_memory_slot *slot, uint32_t flags,
		      uint64_t bytes)
{
	const struct kvm_userspace_memory_region memory = {
		.slot = slot->config.slot,
		.flags = slot->config.flags | flags,
		.guest_phys_addr = slot->config.guest_address,
		.memory_size = bytes,
		.userspace_addr = (uint64_t)(uintptr_t)rs_region_host(slot->owner->region) +
				  slot->config.region_offset,
	};

	return kvm->calls->set_memory(kvm->vm_fd, &memory);
}

int rs_kvm_slot_register(struct rs_kvm *kvm, const struct rs_kvm_memory_slot *slot, uint32_t flags,
			 struct rs_error *error)
{
	int result = set_memory(kvm, slot, flags, slot->config.bytes);

	return result == 0 ? 0
			   : rs_error_setf(error, result, "KVM does not take slot %u%s: %s",
					   slot->config.slot, flags != 0 ? " with its log" : "",
					   rs_errno_text(result));
}

int rs_kvm_slot_unregister(struct rs_kvm *kvm, const struct rs_kvm_memory_slot *slot,
			   struct rs_error *error)
{
	int result = set_memory(kvm, slot, 0, 0);

	return result == 0 ? 0
			   : rs_error_setf(error, result, "KVM does not give up slot %u: %s",
					   slot->config.slot, rs_errno_text(result));
}

int rs_kvm_slot_start(struct rs_kvm *kvm, struct rs_kvm_memory_slot *slot, struct rs_error *error)
{
	slot->dirty = calloc(word_count(slot), sizeof(*slot->dirty));
	if (slot->dirty == NULL)
		return rs_error_setf(error, -ENOMEM, "no memory for the log of slot %u",
				     slot->config.slot);
	int result = rs_kvm_slot_register(kvm, slot, KVM_MEM_LOG_DIRTY_PAGES, error);

	if (result == 0)
		return 0;
	free(slot->dirty);
	slot->dirty = NULL;
	return result;
}

static void stop_slot(struct rs_kvm *kvm, struct rs_kvm_memory_slot *slot)
{
	if (slot->dirty == NULL)
		return;
	/* If it fails KVM goes on logging what nobody asks for: slower, but not wrong. */
	set_memory(kvm, slot, 0, slot->config.bytes);
	free(slot->dirty);
	slot->dirty = NULL;
}

static void stop_region(struct rs_kvm_region *owner)
{
	struct rs_kvm_memory_slot *slot;

	for_each_slot(slot, owner) stop_slot(owner->kvm, slot);
	owner->logging = false;
}

/* Nothing is known any more of what is written to the region's memory. Under the lock. */
static int check_there(const struct rs_kvm *kvm, struct rs_error *error)
{
	return kvm->gone ? rs_error_setf(error, -ENODEV, "its VM's log went with rs_kvm_destroy()")
			 : 0;
}

static int log_start(void *opaque, struct rs_region *region, void **cookie, struct rs_error *error)
{
	struct rs_kvm_region *owner = opaque;
	struct rs_kvm *kvm = owner->kvm;
	struct rs_kvm_memory_slot *slot;

	(void)region;
	*cookie = NULL;
	pthread_mutex_lock(&kvm->lock);
	int result = check_there(kvm, error);

	owner->logging = true;
	for_each_slot(slot, owner) if (result == 0) result = rs_kvm_slot_start(kvm, slot, error);
	if (result != 0)
		stop_region(owner);
	pthread_mutex_unlock(&kvm->lock);
	return result;
}

static void log_stop(void *opaque, struct rs_region *region, void *cookie)
{
	struct rs_kvm_region *owner = opaque;

	(void)region;
	(void)cookie;
	pthread_mutex_lock(&owner->kvm->lock);
	stop_region(owner);
	pthread_mutex_unlock(&owner->kvm->lock);
}

/* ---- sync ---------------------------------------------------------------------------------- */

static int sync_slot(struct rs_kvm *kvm, struct rs_kvm_memory_slot *slot,
		     struct rs_dirty_sink *sink, struct rs_error *error)
{
	bool ring = kvm->log == RS_KVM_LOG_RING;
	int result =
	    ring ? 0 : kvm->calls->get_dirty_log(kvm->vm_fd, slot->config.slot, slot->dirty);

	if (result != 0)
		return rs_error_setf(error, result, "KVM_GET_DIRTY_LOG of slot %u: %s",
				     slot->config.slot, rs_errno_text(result));
	rs_dirty_report_bitmap(sink, slot->config.region_offset, slot->dirty, slot->pages,
			       1ull << kvm->page_shift);
	if (ring)
		memset(slot->dirty, 0, word_count(slot) * sizeof(*slot->dirty));
	return 0;
}

static int log_sync(void *opaque, struct rs_region *region, void *cookie,
		    struct rs_dirty_sink *sink, struct rs_error *error)
{
	struct rs_kvm_region *owner = opaque;
	struct rs_kvm *kvm = owner->kvm;
	struct rs_kvm_memory_slot *slot;

	(void)region;
	(void)cookie;
	pthread_mutex_lock(&kvm->lock);
	int result = check_there(kvm, error);

	if (result == 0 && kvm->log == RS_KVM_LOG_RING)
		result = rs_kvm_rings_harvest(kvm, error);
	for_each_slot(slot, owner) if (result == 0) result = sync_slot(kvm, slot, sink, error);
	pthread_mutex_unlock(&kvm->lock);
	return result;
}

/* ---- clear --------------------------------------------------------------------------------- */

/*
 * Clear what the last sync reported of pages [first, end). KVM takes whole words, and clears just
 * the bits that are set in them: those of pages outside are taken out for the call, and what KVM
 * has cleared is forgotten, lest it be cleared again when it stands for a later write.
 */
static int clear_pages(struct rs_kvm *kvm, struct rs_kvm_memory_slot *slot, uint64_t first,
		       uint64_t end, struct rs_error *error)
{
	uint64_t word = first / WORD_PAGES, last = (end - 1) / WORD_PAGES;
	uint64_t before = slot->dirty[word] & ~(~0ull << first % WORD_PAGES);
	uint64_t behind =
	    end % WORD_PAGES != 0 ? slot->dirty[last] & (~0ull << end % WORD_PAGES) : 0;
	uint64_t stop = rs_min_u64((last + 1) * WORD_PAGES, slot->pages);
	const struct kvm_clear_dirty_log range = {
		.slot = slot->config.slot,
		.num_pages = (uint32_t)(stop - word * WORD_PAGES),
		.first_page = word * WORD_PAGES,
		.dirty_bitmap = slot->dirty + word,
	};

	slot->dirty[word] &= ~before;
	slot->dirty[last] &= ~behind;
	int result = kvm->calls->clear_dirty_log(kvm->vm_fd, &range);

	memset(slot->dirty + word, 0, (last - word + 1) * sizeof(*slot->dirty));
	slot->dirty[word] |= before;
	slot->dirty[last] |= behind;
	return result == 0 ? 0
			   : rs_error_setf(error, result, "KVM_CLEAR_DIRTY_LOG of slot %u: %s",
					   slot->config.slot, rs_errno_text(result));
}

static int clear_slot(struct rs_kvm *kvm, struct rs_kvm_memory_slot *slot, uint64_t offset,
		      uint64_t bytes, struct rs_error *error)
{
	uint64_t start = rs_max_u64(offset, slot->config.region_offset);
	uint64_t end = rs_min_u64(offset + bytes, slot->config.region_offset + slot->config.bytes);

	if (start >= end)
		return 0;
	return clear_pages(kvm, slot, (start - slot->config.region_offset) >> kvm->page_shift,
			   (end - slot->config.region_offset) >> kvm->page_shift, error);
}

static int log_clear(void *opaque, struct rs_region *region, void *cookie, uint64_t offset,
		     uint64_t bytes, struct rs_error *error)
{
	struct rs_kvm_region *owner = opaque;
	struct rs_kvm *kvm = owner->kvm;
	struct rs_kvm_memory_slot *slot;
	int result = 0;

	(void)region;
	(void)cookie;
	pthread_mutex_lock(&kvm->lock);
	for_each_slot(slot, owner) if (result == 0) result =
	    clear_slot(kvm, slot, offset, bytes, error);
	pthread_mutex_unlock(&kvm->lock);
	return result;
}

/* ---- no log -------------------------------------------------------------------------------- */

static int none_start(void *opaque, struct rs_region *region, void **cookie, struct rs_error *error)
{
	(void)opaque;
	(void)region;
	(void)error;
	*cookie = NULL;
	return 0;
}

static int none_sync(void *opaque, struct rs_region *region, void *cookie,
		     struct rs_dirty_sink *sink, struct rs_error *error)
{
	(void)opaque;
	(void)region;
	(void)cookie;
	(void)sink;
	(void)error;
	return 0;
}

static void none_stop(void *opaque, struct rs_region *region, void *cookie)
{
	(void)opaque;
	(void)region;
	(void)cookie;
}

const struct rs_dirty_log_ops *rs_kvm_dirty_log(const struct rs_kvm *kvm)
{
	static const struct rs_dirty_log_ops at_once = {
		.size = sizeof(at_once),
		.start = log_start,
		.sync = log_sync,
		.stop = log_stop,
		.release = rs_kvm_release_region,
	};
	static const struct rs_dirty_log_ops in_chunks = {
		.size = sizeof(in_chunks),
		.start = log_start,
		.sync = log_sync,
		.clear = log_clear,
		.stop = log_stop,
		.release = rs_kvm_release_region,
	};
	/* It is there to hear of the region's end. */
	static const struct rs_dirty_log_ops none = {
		.size = sizeof(none),
		.start = none_start,
		.sync = none_sync,
		.stop = none_stop,
		.release = rs_kvm_release_region,
	};

	if (kvm->log == RS_KVM_LOG_NONE)
		return &none;
	return kvm->manual ? &in_chunks : &at_once;
}
