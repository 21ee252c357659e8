/* SPDX-License-Identifier: MIT */
/* Start and stop of the userfaultfd log, and kernels and users that may less. */
#include "support/missing_call.h"
#include "track/pagemap.h"
#include "track/userfaultfd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "support/logged_memory.h"

/* ---- start and stop ------------------------------------------------------------------------ */

/* Of pages with data: neither protection nor its traces are left, and the data is. */
static void stop_leaves_nothing_behind(void **state)
{
	(void)state;
	SKIP_UNLESS_SUPPORTED();
	for (size_t k = 0; k < KINDS; k++) {
		static const struct rs_pagemap_query swapped = { .anyof = PAGE_IS_SWAPPED };
		struct memory memory = kinds[k].map(PAGES * host_page);
		uintptr_t position = (uintptr_t)memory.host;
		struct tracked_region tracked;
		struct page_region range;
		int pagemap = rs_pagemap_open();

		memset(memory.host, 3, memory.bytes / 2);
		track(&tracked, &memory);
		for (unsigned round = 0; round < 3; round++) {
			start(&tracked);
			write_page(&memory, round);
			write_page(&memory, 1500 + round);
			ASSERT_DIRTY(&tracked, kinds[k].name, (int)round, 1500 + (int)round);
			tracked_region_stop(&tracked);
			assert_int_equal(rs_pagemap_scan(pagemap, &swapped, &position,
							 position + memory.bytes, &range, 1),
					 0);
			position = (uintptr_t)memory.host;
			/* Nobody owns the memory: another userfaultfd may have it. */
			int other = rs_userfaultfd_open(0, NULL);

			assert_true(other >= 0);
			if (kinds[k].map == map_anonymous)
				assert_int_equal(
				    rs_userfaultfd_register(other, position, memory.bytes,
							    UFFDIO_REGISTER_MODE_MISSING, NULL),
				    0);
			close(other);
		}
		for (size_t i = 3 * host_page; i < memory.bytes / 2; i++)
			assert_int_equal(memory.host[i], 3);
		tracked_region_fini(&tracked);
		close(pagemap);
		unmap(&memory);
	}
}

/* A child inherits the descriptors, and keeps them when the parent has stopped. */
static void a_forked_child_holds_nothing_up(void **state)
{
	struct memory memory = map_anonymous(PAGES * host_page);
	struct tracked_region tracked;
	int pipes[2];
	char byte;

	(void)state;
	SKIP_UNLESS_SUPPORTED();
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	memset(memory.host, 1, memory.bytes / 2);
	track(&tracked, &memory);
	start(&tracked);
	pid_t child = fork();

	if (child == 0) {
		/* Until the parent closes its end. */
		close(pipes[1]);
		_exit((int)read(pipes[0], &byte, 1));
	}
	assert_true(child > 0);
	write_page(&memory, 7);
	sync_pages(&tracked);
	assert_true(rs_bitmap_test(&tracked.region->dirty, 7));
	tracked_region_stop(&tracked);
	start(&tracked);
	write_page(&memory, 8);
	sync_pages(&tracked);
	assert_true(rs_bitmap_test(&tracked.region->dirty, 8));
	finish(&tracked);
	close(pipes[1]);
	close(pipes[0]);
	assert_int_equal(waitpid(child, NULL, 0), child);
	unmap(&memory);
}

static void *touch(void *argument)
{
	return (void *)(uintptr_t) * (volatile unsigned char *)argument;
}

/* Memory of another userfaultfd is refused, and stays the other one's. */
static void another_userfaultfd_keeps_its_memory(void **state)
{
	struct memory memory = map_anonymous(PAGES * host_page);
	struct tracked_region tracked;
	pthread_t thread;

	(void)state;
	SKIP_UNLESS_SUPPORTED();
	int other = rs_userfaultfd_open(0, NULL);

	assert_true(other >= 0);
	assert_int_equal(rs_userfaultfd_register(other, (uintptr_t)memory.host, memory.bytes,
						 UFFDIO_REGISTER_MODE_MISSING, NULL),
			 0);
	track(&tracked, &memory);
	assert_int_equal(tracked_region_start(&tracked), -EBUSY);
	assert_non_null(strstr(tracked.error.text, "another userfaultfd"));
	finish(&tracked);
	/* A touch still goes to the other one, which answers. */
	assert_int_equal(pthread_create(&thread, NULL, touch, memory.host), 0);
	struct pollfd ready = { .fd = other, .events = POLLIN };
	struct uffdio_zeropage zero = {
		.range = { .start = (uintptr_t)memory.host, .len = host_page },
	};

	assert_int_equal(poll(&ready, 1, 60000), 1);
	assert_int_equal(ioctl(other, UFFDIO_ZEROPAGE, &zero), 0);
	pthread_join(thread, NULL);
	close(other);
	unmap(&memory);
}

static void memory_that_was_mapped_anew_is_an_error(void **state)
{
	struct memory memory = map_anonymous(PAGES * host_page);
	struct tracked_region tracked;

	(void)state;
	SKIP_UNLESS_SUPPORTED();
	memset(memory.host, 1, memory.bytes);
	track(&tracked, &memory);
	start(&tracked);
	assert_true(mmap(memory.host + 100 * host_page, 10 * host_page, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED);
	write_page(&memory, 105);
	assert_int_equal(tracked_region_sync(&tracked), -EPERM);
	assert_non_null(strstr(tracked.error.text, "mapped anew"));
	finish(&tracked);
	unmap(&memory);
}

static void memory_that_is_gone_can_be_stopped(void **state)
{
	struct memory memory = map_anonymous(PAGES * host_page);
	struct tracked_region tracked;

	(void)state;
	SKIP_UNLESS_SUPPORTED();
	track(&tracked, &memory);
	start(&tracked);
	unmap(&memory);
	finish(&tracked);
}

/* ---- kernels and users that may less ------------------------------------------------------- */

/* The probe and a start of the log say the same. */
static int try_to_start(int wanted, const char *text)
{
	struct memory memory = map_anonymous(PAGES * host_page);
	struct tracked_region tracked;
	struct rs_error error = { 0 };

	if (rs_dirty_log_userfaultfd_probe(&error) != wanted || strstr(error.text, text) == NULL) {
		print_message("probe: %d, %s\n", error.code, error.text);
		return 1;
	}

	track(&tracked, &memory);
	int result = tracked_region_start(&tracked);

	if (result != wanted || strstr(tracked.error.text, text) == NULL) {
		print_message("start: %d, %s\n", result, tracked.error.text);
		return 1;
	}
	finish(&tracked);
	unmap(&memory);
	return 0;
}

static int without_userfaultfd(void)
{
	if (!missing_call(SYS_userfaultfd, ENOSYS))
		return MISSING_CALL_NOT_POSSIBLE;
	return try_to_start(-EOPNOTSUPP, "lacks userfaultfd");
}

static int without_permission(void)
{
	if (!missing_call(SYS_userfaultfd, EPERM))
		return MISSING_CALL_NOT_POSSIBLE;
	return try_to_start(-EPERM, "userfaultfd cannot be opened");
}

static int without_pagemap_scan(void)
{
	if (!missing_ioctl(PAGEMAP_SCAN, ENOTTY))
		return MISSING_CALL_NOT_POSSIBLE;
	return try_to_start(-EOPNOTSUPP, "PAGEMAP_SCAN");
}

static void what_the_kernel_lacks_is_named(void **state)
{
	static int (*const children[])(void) = {
		without_userfaultfd,
		without_permission,
		without_pagemap_scan,
	};
	struct rs_error error = { 0 };

	(void)state;
	SKIP_UNLESS_SUPPORTED();
	for (size_t i = 0; i < sizeof(children) / sizeof(children[0]); i++) {
		int result = in_a_child(children[i]);

		if (result == MISSING_CALL_NOT_POSSIBLE) {
			print_message("system calls cannot be filtered here\n");
			skip();
		}
		assert_int_equal(result, 0);
	}
	assert_int_equal(rs_dirty_log_userfaultfd_probe(&error), 0);
	/* A feature of the far future. */
	assert_int_equal(rs_userfaultfd_open(1ull << 60, &error), -EOPNOTSUPP);
	assert_non_null(strstr(error.text, "0x1000000000000000"));
}

/* As nobody, who may have a userfaultfd for faults of user mode only. */
static int as_nobody(void)
{
	struct memory memory = map_anonymous(PAGES * host_page);
	struct tracked_region tracked;
	int pipes[2];

	if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0)
		return MISSING_CALL_NOT_POSSIBLE;
	/* A change of user makes /proc/self root's, unless: */
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0 || pipe2(pipes, O_CLOEXEC) != 0)
		return 1;
	track(&tracked, &memory);
	start(&tracked);
	write_page(&memory, 3);
	if (write(pipes[1], "abc", 3) != 3 || read(pipes[0], memory.host + 9 * host_page, 3) != 3)
		return 2;
	if (sync_pages(&tracked) != 2 || !rs_bitmap_test(&tracked.region->dirty, 3) ||
	    !rs_bitmap_test(&tracked.region->dirty, 9))
		return 3;
	/* Now with protection in the way of the kernel's write. */
	if (write(pipes[1], "abc", 3) != 3 || read(pipes[0], memory.host + 9 * host_page, 3) != 3)
		return 4;
	if (sync_pages(&tracked) != 1)
		return 5;
	finish(&tracked);
	return 0;
}

static void no_privilege_is_needed(void **state)
{
	(void)state;
	SKIP_UNLESS_SUPPORTED();
	int result = in_a_child(as_nobody);

	if (result == MISSING_CALL_NOT_POSSIBLE) {
		print_message("only root can become somebody else\n");
		skip();
	}
	assert_int_equal(result, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stop_leaves_nothing_behind),
		cmocka_unit_test(a_forked_child_holds_nothing_up),
		cmocka_unit_test(another_userfaultfd_keeps_its_memory),
		cmocka_unit_test(memory_that_was_mapped_anew_is_an_error),
		cmocka_unit_test(memory_that_is_gone_can_be_stopped),
		cmocka_unit_test(what_the_kernel_lacks_is_named),
		cmocka_unit_test(no_privilege_is_needed),
	};

	logged_memory_begin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
