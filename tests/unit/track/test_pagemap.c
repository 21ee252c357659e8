/* SPDX-License-Identifier: MIT */
#include "track/pagemap.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "support/missing_call.h"
#include "support/test_memory.h"

enum { PAGES = 64 };

static size_t page;

static const struct rs_pagemap_query present = { .anyof = PAGE_IS_PRESENT };

static int open_or_skip(void)
{
	int pagemap = rs_pagemap_open();

	assert_true(pagemap >= 0);
	if (!rs_pagemap_can_scan(pagemap)) {
		print_message("this kernel lacks PAGEMAP_SCAN\n");
		close(pagemap);
		skip();
	}
	return pagemap;
}

static void ranges_are_found_in_portions(void **state)
{
	struct memory memory = map_anonymous(PAGES * page);
	uintptr_t start = (uintptr_t)memory.host, position = start, end = start + memory.bytes;
	int pagemap = open_or_skip();
	struct page_region ranges[2];

	(void)state;
	write_page(&memory, 3);
	write_page(&memory, 4);
	write_page(&memory, 20);
	write_page(&memory, 40);
	assert_int_equal(rs_pagemap_scan(pagemap, &present, &position, end, ranges, 2), 2);
	assert_true(ranges[0].start == start + 3 * page && ranges[0].end == start + 5 * page);
	assert_true(ranges[1].start == start + 20 * page && ranges[1].end == start + 21 * page);
	assert_true(position >= start + 21 * page && position <= start + 40 * page);
	assert_int_equal(rs_pagemap_scan(pagemap, &present, &position, end, ranges, 2), 1);
	assert_true(ranges[0].start == start + 40 * page);
	assert_true(position == end);
	close(pagemap);
	unmap(&memory);
}

static void an_empty_range_has_nothing(void **state)
{
	struct memory memory = map_anonymous(PAGES * page);
	uintptr_t position = (uintptr_t)memory.host;
	int pagemap = open_or_skip();
	struct page_region range;

	(void)state;
	assert_int_equal(rs_pagemap_scan(pagemap, &present, &position, position, &range, 1), 0);
	close(pagemap);
	unmap(&memory);
}

static void errors_come_back(void **state)
{
	static const struct rs_pagemap_query protect = {
		.flags = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
		.mask = PAGE_IS_WRITTEN,
	};
	struct memory memory = map_anonymous(PAGES * page);
	uintptr_t start = (uintptr_t)memory.host, position = start;
	int pagemap = open_or_skip();
	struct page_region range;

	(void)state;
	/* Not registered for it. */
	assert_int_equal(
	    rs_pagemap_scan(pagemap, &protect, &position, start + memory.bytes, &range, 1), -EPERM);
	assert_true(position == start);
	position = start + 1;
	assert_int_equal(rs_pagemap_scan(pagemap, &present, &position, start + memory.bytes, &range,
					 1),
			 -EINVAL);
	position = start;
	assert_int_equal(rs_pagemap_scan(-1, &present, &position, start + page, &range, 1), -EBADF);
	close(pagemap);
	unmap(&memory);
}

static int without_scan(void)
{
	if (!missing_ioctl(PAGEMAP_SCAN, ENOTTY))
		return MISSING_CALL_NOT_POSSIBLE;
	int pagemap = rs_pagemap_open();

	return pagemap >= 0 && !rs_pagemap_can_scan(pagemap) ? 0 : 1;
}

static void older_kernels_are_recognized(void **state)
{
	int result = in_a_child(without_scan);

	(void)state;
	if (result == MISSING_CALL_NOT_POSSIBLE) {
		print_message("system calls cannot be filtered here\n");
		skip();
	}
	assert_int_equal(result, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_are_found_in_portions),
		cmocka_unit_test(an_empty_range_has_nothing),
		cmocka_unit_test(errors_come_back),
		cmocka_unit_test(older_kernels_are_recognized),
	};

	page = memory_page();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
