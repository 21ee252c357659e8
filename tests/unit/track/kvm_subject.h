/* SPDX-License-Identifier: MIT */
/* A VM on a KVM that the test plays, and a region of its memory. */
#ifndef RS_TESTS_KVM_SUBJECT_H
#define RS_TESTS_KVM_SUBJECT_H

#include "support/fake_kvm.h"
#include "support/plain_region.h"
#include "support/tracked_region.h"
#include "track/kvm_vm.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#define PAGE 4096ull
#define PAGES 1000u
#define MANUAL (KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET)
#define RING_BYTES ((int)(FAKE_KVM_RING_ENTRIES * sizeof(struct kvm_dirty_gfn)))

static struct tracked_region tracked;
static struct rs_kvm *kvm;
static struct rs_error error;
static uint8_t *memory;

static inline int setup(void **state)
{
	(void)state;
	fake_kvm_reset();
	memset(&error, 0, sizeof(error));
	memory = plain_memory_map(PAGES * PAGE);
	const struct rs_region_config config = { .host = memory, .used_bytes = PAGES * PAGE };

	assert_int_equal(tracked_region_init(&tracked, (uint32_t)PAGE, config), 0);
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	tracked_region_fini(&tracked);
	rs_kvm_destroy(kvm);
	kvm = NULL;
	plain_memory_unmap(memory, PAGES * PAGE);
	assert_int_equal(fake_kvm.maps, 0);
	return 0;
}

static inline int create(enum rs_kvm_log log, uint32_t ring_entries)
{
	const struct rs_kvm_config config = { .size = sizeof(config),
					      .log = log,
					      .ring_entries = ring_entries };

	memset(&error, 0, sizeof(error));
	return rs_kvm_create_on(&fake_kvm_calls, &config, &kvm, &error);
}

static inline void open_bitmap(int manual)
{
	fake_kvm.manual = manual;
	assert_int_equal(create(RS_KVM_LOG_AUTO, 0), 0);
	assert_int_equal(rs_kvm_add_region(kvm, tracked.region, NULL), 0);
}

static inline void open_ring(void)
{
	fake_kvm.ring_bytes = RING_BYTES;
	assert_int_equal(create(RS_KVM_LOG_RING, 0), 0);
	assert_int_equal(rs_kvm_add_region(kvm, tracked.region, NULL), 0);
	for (int vcpu = 0; vcpu < (int)FAKE_KVM_RINGS; vcpu++)
		assert_int_equal(rs_kvm_add_vcpu(kvm, vcpu, &error), 0);
}

static inline int add_slot(uint32_t slot, uint64_t page, uint64_t pages)
{
	const struct rs_kvm_slot config = {
		.size = sizeof(config),
		.slot = slot,
		.guest_address = 0x100000 + page * PAGE,
		.region_offset = page * PAGE,
		.bytes = pages * PAGE,
	};

	memset(&error, 0, sizeof(error));
	return rs_kvm_add_slot(kvm, tracked.region, &config, &error);
}

static inline bool is_dirty(uint64_t page)
{
	return rs_bitmap_test(&tracked.region->dirty, page);
}

static inline void check_dirty(const uint64_t *pages, size_t count)
{
	assert_int_equal(tracked_region_sync(&tracked), 0);
	assert_int_equal(rs_bitmap_count(&tracked.region->dirty), count);
	for (size_t i = 0; i < count; i++)
		assert_true(is_dirty(pages[i]));
}

/* As the cursor does before pages are read. */
static inline void clear(uint64_t first, uint64_t count)
{
	tracked.state.dirty_pages -= rs_bitmap_clear_range(&tracked.region->dirty, first, count);
	assert_int_equal(rs_dirty_logs_clear(tracked.region, first, count), 0);
}

/* Everything is clean, also what KVM took for dirty at first. */
static inline void start(void)
{
	assert_int_equal(tracked_region_start(&tracked), 0);
	assert_int_equal(tracked_region_sync(&tracked), 0);
	clear(0, PAGES);
	assert_int_equal(tracked_region_sync(&tracked), 0);
	assert_int_equal(rs_bitmap_count(&tracked.region->dirty), 0);
}

#endif
