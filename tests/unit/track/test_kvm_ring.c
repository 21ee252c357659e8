/* SPDX-License-Identifier: MIT */
#include "track/kvm_ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define COUNT 8u

static struct kvm_dirty_gfn entries[COUNT];
static uint64_t seen[64];
static size_t seen_count;

static void take(void *opaque, uint32_t slot, uint64_t page)
{
	(void)opaque;
	seen[seen_count++] = (uint64_t)slot << 32 | page;
}

static int setup(void **state)
{
	(void)state;
	memset(entries, 0, sizeof(entries));
	seen_count = 0;
	return 0;
}

static void push(uint32_t place, uint32_t slot, uint64_t page)
{
	entries[place] = (struct kvm_dirty_gfn){ KVM_DIRTY_GFN_F_DIRTY, slot, page };
}

static void in_order_until_the_first_that_is_not_dirty(void **state)
{
	struct rs_kvm_ring ring = { .entries = entries, .count = COUNT };

	(void)state;
	assert_int_equal(rs_kvm_ring_harvest(&ring, take, NULL), 0);
	push(0, 1, 10);
	push(1, 2, 20);
	/* A gap: what is behind it is not there yet. */
	push(3, 3, 30);
	assert_int_equal(rs_kvm_ring_harvest(&ring, take, NULL), 2);
	assert_int_equal(seen[0], 1ull << 32 | 10);
	assert_int_equal(seen[1], 2ull << 32 | 20);
	assert_int_equal(entries[0].flags, KVM_DIRTY_GFN_F_RESET);
	assert_int_equal(entries[1].flags, KVM_DIRTY_GFN_F_RESET);
	assert_int_equal(entries[3].flags, KVM_DIRTY_GFN_F_DIRTY);
	push(2, 4, 40);
	assert_int_equal(rs_kvm_ring_harvest(&ring, take, NULL), 2);
	assert_int_equal(seen[2], 4ull << 32 | 40);
	assert_int_equal(seen[3], 3ull << 32 | 30);
}

/* Entries that were taken are not taken again before KVM has used them again. */
static void round_and_round(void **state)
{
	struct rs_kvm_ring ring = { .entries = entries, .count = COUNT, .next = UINT32_MAX - 3 };
	uint32_t place = ring.next;

	(void)state;
	for (unsigned round = 0; round < 10; round++) {
		seen_count = 0;
		for (unsigned i = 0; i < 5; i++)
			push((place + i) % COUNT, round, i);
		assert_int_equal(rs_kvm_ring_harvest(&ring, take, NULL), 5);
		for (unsigned i = 0; i < 5; i++)
			assert_int_equal(seen[i], (uint64_t)round << 32 | i);
		assert_int_equal(rs_kvm_ring_harvest(&ring, take, NULL), 0);
		place += 5;
	}
}

static void a_full_ring(void **state)
{
	struct rs_kvm_ring ring = { .entries = entries, .count = COUNT, .next = 3 };

	(void)state;
	for (unsigned i = 0; i < COUNT; i++)
		push(i, 0, i);
	assert_int_equal(rs_kvm_ring_harvest(&ring, take, NULL), COUNT);
	assert_int_equal(seen[0], 3);
	assert_int_equal(seen[COUNT - 1], 2);
	for (unsigned i = 0; i < COUNT; i++)
		assert_int_equal(entries[i].flags, KVM_DIRTY_GFN_F_RESET);
}

/* A vCPU that fills it as fast as it is emptied does not keep the harvest for ever. */
static void refill(void *opaque, uint32_t slot, uint64_t page)
{
	struct rs_kvm_ring *ring = opaque;

	take(NULL, slot, page);
	push((ring->next + COUNT - 1) % COUNT, 9, 9);
}

static void filled_meanwhile(void **state)
{
	struct rs_kvm_ring ring = { .entries = entries, .count = COUNT };

	(void)state;
	for (unsigned i = 0; i < COUNT; i++)
		push(i, 0, i);
	assert_int_equal(rs_kvm_ring_harvest(&ring, refill, &ring), COUNT);
}

/* Other flags mean nothing. */
static void flags(void **state)
{
	struct rs_kvm_ring ring = { .entries = entries, .count = COUNT };

	(void)state;
	push(0, 1, 1);
	entries[0].flags |= 0x80;
	push(1, 1, 2);
	entries[1].flags = KVM_DIRTY_GFN_F_RESET;
	assert_int_equal(rs_kvm_ring_harvest(&ring, take, NULL), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		TEST(in_order_until_the_first_that_is_not_dirty),
		TEST(round_and_round),
		TEST(a_full_ring),
		TEST(filled_meanwhile),
		TEST(flags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
