/* SPDX-License-Identifier: MIT */
#include "support/fake_kvm.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#define PAGE 4096u

struct fake_kvm fake_kvm;

void fake_kvm_reset(void)
{
	memset(&fake_kvm, 0, sizeof(fake_kvm));
}

static uint64_t pages_of(const struct fake_kvm_slot *slot)
{
	return slot->memory.memory_size / PAGE;
}

static bool is_logged(const struct fake_kvm_slot *slot)
{
	return (slot->memory.flags & KVM_MEM_LOG_DIRTY_PAGES) != 0;
}

static int once(int *code)
{
	int result = *code;

	*code = 0;
	return result;
}

void fake_kvm_write(uint32_t slot, uint64_t page)
{
	assert_true(page < pages_of(&fake_kvm.slots[slot]));
	if (is_logged(&fake_kvm.slots[slot]))
		fake_kvm.slots[slot].dirty[page / 64] |= 1ull << page % 64;
}

bool fake_kvm_push(unsigned vcpu, uint32_t slot, uint64_t page)
{
	uint32_t place = fake_kvm.pushed[vcpu] % FAKE_KVM_RING_ENTRIES;
	struct kvm_dirty_gfn *entry = &fake_kvm.rings[vcpu][place];

	if (entry->flags != 0)
		return false;
	entry->slot = slot;
	entry->offset = page;
	__atomic_store_n(&entry->flags, KVM_DIRTY_GFN_F_DIRTY, __ATOMIC_RELEASE);
	fake_kvm.pushed[vcpu]++;
	return true;
}

uint64_t fake_kvm_dirty(uint32_t slot)
{
	uint64_t count = 0;

	for (unsigned i = 0; i < FAKE_KVM_WORDS; i++)
		count += (uint64_t)__builtin_popcountll(fake_kvm.slots[slot].dirty[i]);
	return count;
}

/* ---- the calls ----------------------------------------------------------------------------- */

static int check(int vm_fd, unsigned capability)
{
	(void)vm_fd;
	switch (capability) {
	case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
		return fake_kvm.manual;
	case KVM_CAP_DIRTY_LOG_RING:
		return fake_kvm.ring_bytes;
	case KVM_CAP_DIRTY_LOG_RING_ACQ_REL:
		return fake_kvm.ring_acq_rel_bytes;
	default:
		return 0;
	}
}

static int enable(int vm_fd, unsigned capability, uint64_t argument)
{
	(void)vm_fd;
	fake_kvm.enabled_capability = capability;
	if (capability == KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2)
		fake_kvm.manual_enabled = argument;
	else
		fake_kvm.ring_enabled = argument;
	return once(&fake_kvm.enable_code);
}

static int set_memory(int vm_fd, const struct kvm_userspace_memory_region *memory)
{
	(void)vm_fd;
	if (fake_kvm.set_memory_code != 0)
		return once(&fake_kvm.set_memory_code);
	assert_true(memory->slot < FAKE_KVM_SLOTS);
	struct fake_kvm_slot *slot = &fake_kvm.slots[memory->slot];
	bool was_logged = is_logged(slot);

	assert_true(memory->memory_size <= (uint64_t)FAKE_KVM_WORDS * 64 * PAGE);
	if (memory->memory_size == 0) {
		assert_true(slot->memory.memory_size > 0);
		memset(slot, 0, sizeof(*slot));
		return 0;
	}
	/* Of a slot that is there only the flags may change. */
	if (slot->memory.memory_size != 0) {
		assert_int_equal(slot->memory.memory_size, memory->memory_size);
		assert_int_equal(slot->memory.userspace_addr, memory->userspace_addr);
		assert_int_equal(slot->memory.guest_phys_addr, memory->guest_phys_addr);
	}
	slot->memory = *memory;
	if (was_logged == is_logged(slot))
		return 0;
	memset(slot->dirty, 0, sizeof(slot->dirty));
	memset(slot->reported, 0, sizeof(slot->reported));
	if (is_logged(slot) && fake_kvm.manual_enabled & KVM_DIRTY_LOG_INITIALLY_SET)
		for (uint64_t page = 0; page < pages_of(slot); page++)
			fake_kvm_write(memory->slot, page);
	return 0;
}

static int get_dirty_log(int vm_fd, uint32_t number, void *bitmap)
{
	struct fake_kvm_slot *slot = &fake_kvm.slots[number];
	size_t bytes = (pages_of(slot) + 63) / 64 * 8;

	(void)vm_fd;
	if (fake_kvm.get_code != 0)
		return once(&fake_kvm.get_code);
	assert_true(is_logged(slot));
	memcpy(bitmap, slot->dirty, bytes);
	if (fake_kvm.manual_enabled == 0)
		memset(slot->dirty, 0, sizeof(slot->dirty));
	else
		memcpy(slot->reported, slot->dirty, sizeof(slot->dirty));
	return 0;
}

static int clear_dirty_log(int vm_fd, const struct kvm_clear_dirty_log *range)
{
	struct fake_kvm_slot *slot = &fake_kvm.slots[range->slot];
	uint64_t end = range->first_page + range->num_pages;
	const uint64_t *bits = range->dirty_bitmap;

	(void)vm_fd;
	if (fake_kvm.clear_code != 0)
		return once(&fake_kvm.clear_code);
	fake_kvm.clears++;
	assert_true(fake_kvm.manual_enabled != 0 && is_logged(slot));
	assert_int_equal(range->first_page % 64, 0);
	assert_true(range->num_pages > 0 && end <= pages_of(slot));
	assert_true(range->num_pages % 64 == 0 || end == pages_of(slot));
	for (uint64_t word = range->first_page / 64; word < (end + 63) / 64; word++, bits++) {
		assert_int_equal(*bits & ~slot->reported[word], 0);
		slot->reported[word] &= ~*bits;
		slot->dirty[word] &= ~*bits;
	}
	return 0;
}

static int reset_rings(int vm_fd)
{
	(void)vm_fd;
	if (fake_kvm.reset_code != 0)
		return once(&fake_kvm.reset_code);
	fake_kvm.resets++;
	for (unsigned vcpu = 0; vcpu < FAKE_KVM_RINGS; vcpu++)
		for (unsigned i = 0; i < FAKE_KVM_RING_ENTRIES; i++)
			if (fake_kvm.rings[vcpu][i].flags & KVM_DIRTY_GFN_F_RESET)
				fake_kvm.rings[vcpu][i].flags = 0;
	return 0;
}

static int map_ring(int vcpu_fd, size_t bytes, void **ring)
{
	if (fake_kvm.map_code != 0)
		return once(&fake_kvm.map_code);
	assert_int_equal(bytes, sizeof(fake_kvm.rings[0]));
	assert_true(vcpu_fd >= 0 && vcpu_fd < (int)FAKE_KVM_RINGS);
	*ring = fake_kvm.rings[vcpu_fd];
	fake_kvm.maps++;
	return 0;
}

static void unmap_ring(void *ring, size_t bytes)
{
	(void)ring;
	assert_int_equal(bytes, sizeof(fake_kvm.rings[0]));
	fake_kvm.maps--;
}

const struct rs_kvm_calls fake_kvm_calls = {
	.check = check,
	.enable = enable,
	.set_memory = set_memory,
	.get_dirty_log = get_dirty_log,
	.clear_dirty_log = clear_dirty_log,
	.reset_rings = reset_rings,
	.map_ring = map_ring,
	.unmap_ring = unmap_ring,
};
