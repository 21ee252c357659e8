/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "postcopy/blocktime.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { US = 1000, PAGE = 4096 };

static struct rs_blocktime *blocktime;
static uint64_t t0; /* of the present, as registering and reading look at the clock */

static int setup(void **state)
{
	(void)state;
	t0 = rs_clock_ns();
	return rs_blocktime_create(&blocktime);
}

static int teardown(void **state)
{
	(void)state;
	rs_blocktime_destroy(blocktime);
	return 0;
}

static void begin(pid_t thread_id, unsigned page, uint64_t at)
{
	rs_blocktime_begin(blocktime, thread_id, (uintptr_t)page * PAGE, t0 + at);
}

static void end(unsigned page, unsigned pages, uint64_t at)
{
	rs_blocktime_end(blocktime, (uintptr_t)page * PAGE, (uintptr_t)(page + pages) * PAGE,
			 t0 + at);
}

static struct rs_blocktime_summary summary(void)
{
	struct rs_blocktime_summary summary;

	rs_blocktime_read(blocktime, &summary);
	return summary;
}

static void a_wait_is_counted_when_its_page_comes(void **state)
{
	(void)state;
	begin(7, 3, 0);
	assert_int_equal(summary().faults, 0);
	end(4, 10, 10 * US);
	end(0, 3, 10 * US);
	assert_int_equal(summary().faults, 0);
	end(2, 2, 20 * US);
	assert_int_equal(summary().faults, 1);
	assert_int_equal(summary().latency_ns, 20 * US);
	end(3, 1, 30 * US);
	assert_int_equal(summary().faults, 1);
	begin(7, 5, 40 * US);
	end(5, 1, 45 * US);
	assert_int_equal(summary().faults, 2);
	assert_int_equal(summary().latency_ns, 25 * US);
	assert_int_equal(summary().latency_max_ns, 20 * US);
	/* Nobody was a vCPU. */
	assert_int_equal(summary().all_blocked_ns, 0);
}

static void latencies_are_counted_by_their_logarithm(void **state)
{
	static const struct {
		uint64_t ns;
		unsigned bucket;
	} cases[] = {
		{ 0, 0 },
		{ 1 * US, 0 },
		{ 2 * US - 1, 0 },
		{ 2 * US, 1 },
		{ 4 * US - 1, 1 },
		{ 4 * US, 2 },
		{ 1023 * US, 9 },
		{ 1024 * US, 10 },
		{ (1ull << 23) * US - 1, 22 },
		{ (1ull << 23) * US, 23 },
		{ (1ull << 24) * US, 23 },
		{ (1ull << 40) * US, 23 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rs_blocktime_reset(blocktime);
		begin(7, 3, 0);
		end(3, 1, cases[i].ns);
		assert_int_equal(summary().latency[cases[i].bucket], 1);
		assert_int_equal(summary().faults, 1);
	}
}

static void all_who_wait_for_a_page_are_counted(void **state)
{
	(void)state;
	begin(7, 3, 0);
	begin(8, 3, 1 * US);
	begin(9, 4, 2 * US);
	/* Of whom nothing is known is one. */
	begin(0, 3, 3 * US);
	begin(0, 3, 4 * US);
	begin(0, 6, 4 * US);
	end(3, 1, 10 * US);
	assert_int_equal(summary().faults, 3);
	assert_int_equal(summary().latency_ns, (10 + 9 + 7) * US);
	end(0, 100, 12 * US);
	assert_int_equal(summary().faults, 5);
	assert_int_equal(summary().latency_ns, (26 + 10 + 8) * US);
}

/* A signal, say, made the thread fault again. */
static void a_wait_that_is_told_twice_is_one(void **state)
{
	(void)state;
	begin(7, 3, 0);
	begin(7, 3, 5 * US);
	end(3, 1, 10 * US);
	assert_int_equal(summary().faults, 1);
	assert_int_equal(summary().latency_ns, 10 * US);
}

static void a_thread_waits_for_one_page_at_a_time(void **state)
{
	(void)state;
	assert_int_equal(rs_blocktime_register(blocktime, 0, 7), 0);
	begin(7, 3, 0);
	begin(7, 4, 5 * US);
	assert_int_equal(summary().faults, 1);
	end(3, 2, 9 * US);
	assert_int_equal(summary().faults, 2);
	assert_int_equal(summary().latency_max_ns, 5 * US);
	assert_int_equal(rs_blocktime_of_vcpu(blocktime, 0), 9 * US);
	assert_int_equal(summary().all_blocked_ns, 9 * US);
}

static void a_vcpu_is_known_by_its_thread(void **state)
{
	(void)state;
	assert_int_equal(rs_blocktime_register(blocktime, 2, 7), 0);
	assert_int_equal(rs_blocktime_register(blocktime, RS_BLOCKTIME_MAX_VCPUS - 1, 9), 0);
	begin(7, 3, 0);
	begin(8, 3, 0);
	end(3, 1, 10 * US);
	begin(9, 3, 20 * US);
	end(3, 1, 21 * US);
	assert_int_equal(rs_blocktime_of_vcpu(blocktime, 2), 10 * US);
	assert_int_equal(rs_blocktime_of_vcpu(blocktime, RS_BLOCKTIME_MAX_VCPUS - 1), 1 * US);
	assert_int_equal(rs_blocktime_of_vcpu(blocktime, 0), 0);
	assert_int_equal(rs_blocktime_of_vcpu(blocktime, RS_BLOCKTIME_MAX_VCPUS), 0);
	assert_int_equal(rs_blocktime_register(blocktime, RS_BLOCKTIME_MAX_VCPUS, 7), -EINVAL);
	/* Another thread, another time. */
	assert_int_equal(rs_blocktime_register(blocktime, 2, 8), 0);
	assert_int_equal(rs_blocktime_of_vcpu(blocktime, 2), 0);
	begin(7, 3, 30 * US);
	begin(8, 4, 30 * US);
	end(3, 1, 32 * US);
	end(4, 1, 33 * US);
	assert_int_equal(rs_blocktime_of_vcpu(blocktime, 2), 3 * US);
}

static void all_are_blocked_where_their_waits_meet(void **state)
{
	(void)state;
	for (unsigned vcpu = 0; vcpu < 3; vcpu++)
		assert_int_equal(rs_blocktime_register(blocktime, vcpu, (pid_t)(10 + vcpu)), 0);
	begin(10, 1, 0);
	begin(11, 2, 10 * US);
	begin(99, 2, 10 * US); /* nobody's */
	begin(12, 3, 20 * US);
	end(1, 1, 50 * US);
	assert_int_equal(summary().all_blocked_ns, 30 * US);
	begin(10, 4, 60 * US);
	end(2, 3, 65 * US);
	assert_int_equal(summary().all_blocked_ns, 35 * US);
	assert_int_equal(rs_blocktime_of_vcpu(blocktime, 0), (50 + 5) * US);
	assert_int_equal(rs_blocktime_of_vcpu(blocktime, 1), 55 * US);
	assert_int_equal(rs_blocktime_of_vcpu(blocktime, 2), 45 * US);
}

static void a_vcpu_that_is_forgotten_blocks_nobody(void **state)
{
	(void)state;
	assert_int_equal(rs_blocktime_register(blocktime, 0, 10), 0);
	assert_int_equal(rs_blocktime_register(blocktime, 1, 11), 0);
	begin(10, 1, 0);
	assert_int_equal(rs_blocktime_register(blocktime, 1, 0), 0);
	/* Now all are; and it goes on. */
	uint64_t first = summary().all_blocked_ns;

	assert_true(first > 0);
	assert_true(rs_blocktime_of_vcpu(blocktime, 0) >= first);
	assert_int_equal(rs_blocktime_register(blocktime, 0, 0), 0);
	uint64_t second = summary().all_blocked_ns;

	assert_true(second >= first);
	end(1, 1, RS_NS_PER_S);
	assert_int_equal(summary().all_blocked_ns, second);
	assert_int_equal(summary().faults, 1);
	assert_int_equal(rs_blocktime_of_vcpu(blocktime, 0), 0);
}

static void a_reset_keeps_the_vcpus(void **state)
{
	(void)state;
	assert_int_equal(rs_blocktime_register(blocktime, 0, 10), 0);
	begin(10, 1, 0);
	end(1, 1, 10 * US);
	begin(10, 2, 20 * US);
	rs_blocktime_reset(blocktime);
	assert_int_equal(summary().faults, 0);
	assert_int_equal(summary().latency[3], 0);
	assert_int_equal(summary().all_blocked_ns, 0);
	assert_int_equal(rs_blocktime_of_vcpu(blocktime, 0), 0);
	end(2, 1, 30 * US);
	assert_int_equal(summary().faults, 0);
	begin(10, 3, 40 * US);
	end(3, 1, 44 * US);
	assert_int_equal(rs_blocktime_of_vcpu(blocktime, 0), 4 * US);
	assert_int_equal(summary().all_blocked_ns, 4 * US);
}

/* Clocks are read by several threads, before the lock is taken. */
static void an_end_before_its_beginning_is_none(void **state)
{
	(void)state;
	assert_int_equal(rs_blocktime_register(blocktime, 0, 10), 0);
	begin(10, 1, 10 * US);
	end(1, 1, 9 * US);
	assert_int_equal(summary().latency_ns, 0);
	assert_int_equal(summary().latency[0], 1);
	assert_int_equal(rs_blocktime_of_vcpu(blocktime, 0), 0);
}

static void more_waits_than_can_be_kept_are_left_out(void **state)
{
	unsigned threads = 5000;

	(void)state;
	for (unsigned i = 0; i < threads; i++)
		begin((pid_t)(1 + i), i, 0);
	end(0, threads, 1 * US);
	assert_true(summary().faults >= RS_BLOCKTIME_MAX_VCPUS);
	assert_true(summary().faults < threads);
	begin(1, 1, 2 * US);
	end(1, 1, 3 * US);
	assert_true(summary().faults > RS_BLOCKTIME_MAX_VCPUS);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH(a_wait_is_counted_when_its_page_comes),
		WITH(latencies_are_counted_by_their_logarithm),
		WITH(all_who_wait_for_a_page_are_counted),
		WITH(a_wait_that_is_told_twice_is_one),
		WITH(a_thread_waits_for_one_page_at_a_time),
		WITH(a_vcpu_is_known_by_its_thread),
		WITH(all_are_blocked_where_their_waits_meet),
		WITH(a_vcpu_that_is_forgotten_blocks_nobody),
		WITH(a_reset_keeps_the_vcpus),
		WITH(an_end_before_its_beginning_is_none),
		WITH(more_waits_than_can_be_kept_are_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
