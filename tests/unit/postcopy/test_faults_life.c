/* SPDX-License-Identifier: MIT */
/* Whose the memory is: taking it, refusals, giving it back. */
#include "base/clock.h"
#include "postcopy/blocktime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <cmocka.h>

#include "support/faulted_region.h"

static int probe(struct faulted *faulted, int userfaultfd)
{
	faulted->error = (struct rs_error){ 0 };
	return rs_faults_probe(&faulted->state, userfaultfd, &faulted->error);
}

static int create(struct faulted *faulted, int userfaultfd)
{
	const struct rs_fault_ops ops = { remember_request, faulted };

	faulted->error = (struct rs_error){ 0 };
	return rs_faults_create(&faulted->state, userfaultfd, &ops, &faulted->faults,
				&faulted->error);
}

#define ASSERT_TEXT(faulted, part)                                                                 \
	do {                                                                                       \
		if (strstr((faulted).error.text, part) == NULL)                                    \
			fail_msg("'%s' is not in '%s'", part, (faulted).error.text);               \
	} while (0)

/* ---- refusals -------------------------------------------------------------------------------- */

static void a_probe_leaves_nothing_behind(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for_each_kind(kind)
	{
		struct faulted faulted;

		faulted_init(&faulted, kind, units_of(kind, 16));
		for (unsigned i = 0; i < 3; i++)
			if (probe(&faulted, -1) != 0)
				fail_msg("%s: %s", kind->name, faulted.error.text);
		/* Nobody would answer. */
		assert_true(holds_zeros(&faulted, 1));
		faulted_fini(&faulted);
	}
}

static void memory_of_another_userfaultfd_is_refused(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for_each_kind(kind)
	{
		struct faulted faulted;
		int other = rs_userfaultfd_open(0, NULL);

		assert_true(other >= 0);
		faulted_init(&faulted, kind, units_of(kind, 16));
		/* The last unit only. */
		assert_int_equal(
		    rs_userfaultfd_register(
			other, (uintptr_t)faulted.host + (faulted.units - 1) * faulted.unit_bytes,
			faulted.unit_bytes, UFFDIO_REGISTER_MODE_MISSING, NULL),
		    0);
		assert_int_equal(probe(&faulted, -1), -EBUSY);
		ASSERT_TEXT(faulted, "region memory: another userfaultfd owns the memory");
		assert_int_equal(create(&faulted, -1), -EBUSY);
		ASSERT_TEXT(faulted, "region memory: another userfaultfd owns the memory");
		close(other);
		assert_int_equal(probe(&faulted, -1), 0);
		faulted_fini(&faulted);
	}
}

static void memory_of_a_wrong_kind_is_refused(void **state)
{
	struct faulted faulted;
	char path[] = "/tmp/ramsync-faults-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);

	(void)state;
	FAULTED_BEGIN();
	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(ftruncate(fd, (off_t)(16 * memory_page())), 0);
	faulted_init(&faulted, &kinds[0], 16);
	assert_ptr_equal(mmap(faulted.host, 16 * memory_page(), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_FIXED, fd, 0),
			 faulted.host);
	assert_int_equal(probe(&faulted, -1), -EINVAL);
	ASSERT_TEXT(faulted, "region memory: userfaultfd refuses memory of this kind");
	/* The list of regions does not matter to one that is not in it. */
	rs_bitmap_fini(&faulted.region->received);
	assert_int_equal(probe(&faulted, -1), -EINVAL);
	atomic_fetch_or(&faulted.region->flags, RS_REGION_IGNORED);
	assert_int_equal(probe(&faulted, -1), 0);
	faulted_fini(&faulted);
	close(fd);
}

static void pages_of_a_wrong_size_are_refused(void **state)
{
	struct faulted faulted;

	(void)state;
	FAULTED_BEGIN();
	faulted_init(&faulted, &kinds[0], 16);
	faulted.region->host_page_bytes = 64 * memory_page();
	assert_int_equal(probe(&faulted, -1), -EINVAL);
	ASSERT_TEXT(faulted, " bytes are not whole pages of ");
	faulted.region->host_page_bytes = memory_page();
	faulted_fini(&faulted);
	for_each_kind(kind)
	{
		if (!kind->is_huge)
			continue;
		faulted_init(&faulted, kind, 2);
		faulted.region->host_page_bytes = memory_page();
		assert_int_equal(probe(&faulted, -1), -EINVAL);
		ASSERT_TEXT(faulted, "region memory: its memory has huge pages");
		faulted.region->host_page_bytes = HUGE_BYTES;
		faulted_fini(&faulted);
	}
}

/* ---- a userfaultfd of the embedder's ----------------------------------------------------------- */

static int open_own(int flags)
{
	int own = (int)syscall(SYS_userfaultfd, O_CLOEXEC | flags);
	struct uffdio_api api = { .api = UFFD_API };

	assert_true(own >= 0);
	assert_int_equal(ioctl(own, UFFDIO_API, &api), 0);
	return own;
}

static void an_embedders_userfaultfd_serves(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for_each_kind(kind)
	{
		struct faulted faulted;
		struct toucher toucher;
		int own = open_own(O_NONBLOCK);

		faulted_init(&faulted, kind, units_of(kind, 16));
		assert_int_equal(probe(&faulted, own), 0);
		/* A second time: nothing of it was used up. */
		for (unsigned i = 0; i < 2; i++) {
			faulted_start_with(&faulted, own);
			toucher_start(&toucher, &faulted, 3 + 2 * i);
			assert_int_equal(wait_for_request(&faulted, i), 3 + 2 * i);
			place_and_check(&faulted, 3 + 2 * i, false);
			toucher_join(&toucher);
			rs_faults_destroy(faulted.faults);
			faulted.faults = NULL;
		}
		assert_true(holds_content(&faulted, 3));
		/* Nobody would answer. */
		assert_true(holds_zeros(&faulted, 4));
		assert_true(fcntl(own, F_GETFD) >= 0);
		faulted_fini(&faulted);
		close(own);
	}
}

static void one_that_cannot_be_used_is_refused(void **state)
{
	struct faulted faulted;
	int own;

	(void)state;
	FAULTED_BEGIN();
	own = open_own(0);
	faulted_init(&faulted, &kinds[0], 16);
	assert_int_equal(create(&faulted, own), -EINVAL);
	ASSERT_TEXT(faulted, "blocking");
	assert_true(fcntl(own, F_GETFD) >= 0);
	close(own);
	assert_int_equal(create(&faulted, 1 << 20), -EBADF);
	ASSERT_TEXT(faulted, "is not open");
	/* Never set up. */
	own = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	assert_true(own >= 0);
	assert_true(create(&faulted, own) < 0);
	ASSERT_TEXT(faulted, "region memory: ");
	close(own);
	faulted_fini(&faulted);
}

/* ---- the end ----------------------------------------------------------------------------------- */

static void who_waits_at_the_end_finds_zeros(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for_each_kind(kind)
	{
		struct faulted faulted;
		struct toucher touchers[3];

		faulted_init(&faulted, kind, units_of(kind, 16));
		faulted_start(&faulted);
		place_and_check(&faulted, 0, false);
		for (unsigned i = 0; i < 3; i++)
			toucher_start(&touchers[i], &faulted, 1 + 2 * i);
		wait_for_awaited(&faulted, 3);
		rs_faults_destroy(faulted.faults);
		faulted.faults = NULL;
		for (unsigned i = 0; i < 3; i++) {
			toucher_join(&touchers[i]);
			assert_true(holds_zeros(&faulted, 1 + 2 * i));
		}
		assert_true(holds_content(&faulted, 0));
		faulted_fini(&faulted);
	}
}

static void *remove_region(void *argument)
{
	assert_int_equal(rs_region_remove(argument), 0);
	return NULL;
}

/* The memory must stay until the faults are given up, which the failed session brings about. */
static void a_region_that_goes_waits_for_the_end(void **state)
{
	struct faulted faulted;
	pthread_t thread;

	(void)state;
	FAULTED_BEGIN();
	faulted_init(&faulted, &kinds[0], 16);
	faulted_start(&faulted);
	assert_int_equal(pthread_create(&thread, NULL, remove_region, faulted.region), 0);
	while (rs_session_code(&faulted.state) == 0)
		sched_yield();
	assert_int_equal(rs_session_code(&faulted.state), -ESTALE);
	/* It is ours still. */
	place_and_check(&faulted, 4, false);
	rs_bitmap_fini(&faulted.region->received);
	rs_faults_destroy(faulted.faults);
	assert_int_equal(pthread_join(thread, NULL), 0);
	/* With the session, the bitmaps would have gone in the load's end. */
	rs_session_close(&faulted.state);
	rs_regions_destroy(&faulted.state);
	rs_state_fini(&faulted.state);
	munmap(faulted.host, faulted.units * faulted.unit_bytes);
}

static void nothing_begins_in_a_session_that_has_failed(void **state)
{
	struct faulted faulted;

	(void)state;
	FAULTED_BEGIN();
	faulted_init(&faulted, &kinds[0], 16);
	rs_session_fail(&faulted.state, -ECANCELED, "enough");
	assert_int_equal(create(&faulted, -1), -ECANCELED);
	/* The memory is free again. */
	assert_true(holds_zeros(&faulted, 1));
	rs_session_close(&faulted.state);
	rs_session_open(&faulted.state);
	faulted_fini(&faulted);
}

static void a_state_without_regions_has_no_faults(void **state)
{
	const struct rs_fault_ops ops = { remember_request, NULL };
	struct rs_faults *faults = NULL;
	struct rs_state empty;

	(void)state;
	FAULTED_BEGIN();
	assert_int_equal(rs_state_init(&empty, (uint32_t)memory_page()), 0);
	rs_session_open(&empty);
	assert_int_equal(rs_faults_create(&empty, -1, &ops, &faults, NULL), 0);
	rs_faults_pause(faults);
	rs_faults_resume(faults);
	rs_faults_destroy(faults);
	rs_faults_destroy(NULL);
	rs_session_close(&empty);
	rs_state_fini(&empty);
}

/* ---- how long it took -------------------------------------------------------------------------- */

/* A vCPU that tells its thread before it touches anything. */
struct vcpu {
	struct faulted *faulted;
	uint64_t unit;
};

static void *run_vcpu(void *argument)
{
	const struct vcpu *vcpu = argument;
	struct faulted *faulted = vcpu->faulted;

	require(rs_blocktime_register(faulted->state.blocktime, 1, (pid_t)syscall(SYS_gettid)) == 0,
		"a vCPU can be registered");
	load_word(faulted->host + vcpu->unit * faulted->unit_bytes);
	return NULL;
}

static void the_time_of_a_vcpus_thread_is_measured(void **state)
{
	(void)state;
	FAULTED_BEGIN();
	for_each_kind(kind)
	{
		struct rs_blocktime_summary summary;
		struct toucher other;
		struct faulted faulted;
		pthread_t thread;

		faulted_init(&faulted, kind, units_of(kind, 16));
		assert_int_equal(rs_blocktime_create(&faulted.state.blocktime), 0);
		faulted_start(&faulted);
		struct vcpu vcpu = { &faulted, 3 };

		assert_int_equal(pthread_create(&thread, NULL, run_vcpu, &vcpu), 0);
		assert_int_equal(wait_for_request(&faulted, 0), 3);
		toucher_start(&other, &faulted, 7);
		assert_int_equal(wait_for_request(&faulted, 1), 7);
		uint64_t before = rs_clock_ns();

		while (rs_clock_ns() < before + RS_NS_PER_MS)
			sched_yield();
		place_and_check(&faulted, 3, false);
		assert_int_equal(pthread_join(thread, NULL), 0);
		uint64_t blocked_ns = rs_blocktime_of_vcpu(faulted.state.blocktime, 1);

		assert_true(blocked_ns >= RS_NS_PER_MS);
		place_and_check(&faulted, 7, false);
		toucher_join(&other);
		rs_blocktime_read(faulted.state.blocktime, &summary);
		assert_int_equal(summary.faults, 2);
		/* The only vCPU is all of them. */
		assert_int_equal(summary.all_blocked_ns, blocked_ns);
		assert_true(summary.latency_max_ns >= RS_NS_PER_MS);
		faulted_fini(&faulted);
		rs_blocktime_destroy(faulted.state.blocktime);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_probe_leaves_nothing_behind),
		cmocka_unit_test(memory_of_another_userfaultfd_is_refused),
		cmocka_unit_test(memory_of_a_wrong_kind_is_refused),
		cmocka_unit_test(pages_of_a_wrong_size_are_refused),
		cmocka_unit_test(an_embedders_userfaultfd_serves),
		cmocka_unit_test(one_that_cannot_be_used_is_refused),
		cmocka_unit_test(who_waits_at_the_end_finds_zeros),
		cmocka_unit_test(a_region_that_goes_waits_for_the_end),
		cmocka_unit_test(nothing_begins_in_a_session_that_has_failed),
		cmocka_unit_test(a_state_without_regions_has_no_faults),
		cmocka_unit_test(the_time_of_a_vcpus_thread_is_measured),
	};

	return cmocka_run_group_tests(tests, faulted_setup, huge_pages_teardown);
}
