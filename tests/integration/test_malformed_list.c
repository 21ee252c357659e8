/* SPDX-License-Identifier: MIT */
/* Odd and malformed lists of regions. */
#include "integration/odd_streams.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* The list in a whole stream that would be well otherwise. */
#define LIST(list) "qemu start " list " eos foot end eos foot eof"

static void entries(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "unknown region", 0, LIST("u64:1004 s:c u64:1000"), QEMU_REFUSES, -EINVAL,
		  "region c of the stream is unknown here", "" },
		{ "announced", ODD_ANNOUNCED, LIST("u64:1004 s:c u64:1000 u64:2 s:c u8:0"),
		  NOT_FOR_QEMU, 0, "c0:0", "" },
		{ "announced and refused", ODD_ANNOUNCED, LIST("u64:3004 s:c u64:3000"),
		  NOT_FOR_QEMU, -E2BIG, "region c, 12288 bytes, was announced and refused", "" },
		{ "a region into which nothing can be loaded here", ODD_READONLY, LIST("list"),
		  QEMU_REFUSES, -EROFS, "region b is mapped read-only here", "" },
		{ "another length", 0, LIST("u64:3004 s:a u64:3000"), QEMU_REFUSES, -EINVAL,
		  "region a has 16384 bytes here and 12288 in the stream, and is not resizable",
		  "" },
		{ "shrinks", 0, LIST("u64:1004 s:b u64:1000 u64:2 s:b u8:0"), QEMU_TAKES, 0,
		  "b0:0 b1:11", "" },
		{ "grows", 0,
		  LIST("u64:4004 s:b u64:4000 pages-b u64:2022 u8:0 u64:3028 fill:4096*1"),
		  QEMU_TAKES, 0, "b1:11 b2:0 b3:1", "" },
		{ "grows too much", 0, LIST("u64:11004 s:b u64:11000"), QEMU_REFUSES, -EINVAL,
		  "region b has at most 16384 bytes here and 69632 in the stream", "" },
		{ "no bytes", 0, LIST("u64:4004 s:b u64:0 entry-a"), QEMU_TAKES, -EINVAL,
		  "b has 0 bytes", "QEMU goes on, and could do so for ever" },
		{ "no whole pages", 0, LIST("u64:5004 s:b u64:fff s:a u64:4001"), QEMU_REFUSES,
		  -EINVAL, "b has 4095 bytes where 20480 are left of the total, or they are not",
		  "" },
		{ "no whole pages, but as many", 0, LIST("u64:6004 s:a u64:3fff s:b u64:2001"),
		  QEMU_TAKES, -EINVAL, "a has 16383 bytes where 24576 are left of the total",
		  "QEMU rounds up; no writer sends parts of pages" },
		{ "no name", 0, LIST("u64:4004 s: u64:4000"), QEMU_REFUSES, -EINVAL,
		  "name is empty", "" },
		{ "a zero byte in a name", 0, LIST("u64:4004 s:a~ u64:4000"), QEMU_TAKES, -EINVAL,
		  "contains a zero byte", "two spellings of one name" },
		{ "page sizes, without ADVISE", 0,
		  LIST("u64:6004 s:a u64:4000 u64:1000 s:b u64:2000 u64:1000"), QEMU_REFUSES,
		  -EINVAL, "a region's name is empty", "" },
		{ "page sizes, and all are the host's", ODD_POSTCOPY,
		  "qemu u8:8 u16:3 u16:10 u64:1000 u64:1000 start u64:6004 s:a u64:4000 u64:1000 "
		  "s:b u64:2000 u64:1000 eos foot end eos foot eof",
		  QEMU_REFUSES, -EINVAL, "a region's name is empty", "" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

static void totals(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "right", 0, LIST("list pages-a pages-b"), QEMU_TAKES, 0, "a0:11 b0:11", "" },
		{ "of nothing", 0, LIST("u64:4"), QEMU_TAKES, 0, "", "" },
		{ "too small", 0, LIST("u64:5004 entry-a entry-b"), QEMU_REFUSES, -EINVAL,
		  "b has 8192 bytes where 4096 are left of the total", "" },
		{ "too small for the first", 0, LIST("u64:1004 entry-a"), QEMU_REFUSES, -EINVAL,
		  "a has 16384 bytes where 4096 are left", "" },
		{ "too large", 0, LIST("u64:7004 entry-a entry-b"), QEMU_REFUSES, -EINVAL,
		  "a region's name is empty", "" },
		{ "without end", 0, "qemu start u64:fffffffffffff004 entry-a entry-b entry-a",
		  QEMU_REFUSES, -EINVAL, "region a is listed twice", "" },
		{ "without end, as long as the announcements are taken", ODD_ANNOUNCED,
		  "qemu start u64:fffffffffffff004 s:c u64:1000 s:d u64:1000", NOT_FOR_QEMU, -E2BIG,
		  "region d, 4096 bytes, was announced and refused", "" },
		/* 4000 + 2000 + fffffffffffff000 = 5000: a sum that has wrapped round. */
		{ "reached by wrapping round", 0,
		  LIST("u64:5004 entry-a entry-b s:b u64:fffffffffffff000"), QEMU_REFUSES, -EINVAL,
		  "b has 8192 bytes where 4096 are left of the total", "" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

static void order(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "another", 0, LIST("u64:6004 entry-b entry-a pages-a pages-b"), QEMU_TAKES, 0, "",
		  "" },
		{ "only some", 0, LIST("u64:4004 entry-a pages-a"), QEMU_TAKES, 0, "b0:11", "" },
		{ "one twice", 0, LIST("u64:8004 entry-a entry-a"), QEMU_TAKES, -EINVAL,
		  "region a is listed twice", "no writer has two regions of one name" },
		{ "CONTINUE in its word", 0, LIST("u64:6024 entry-a entry-b pages-a pages-b"),
		  QEMU_TAKES, 0, "", "" },
		{ "again, in a later body", 0,
		  "qemu setup part list zero-a eos foot end eos foot eof", QEMU_TAKES, 0, "a0:0",
		  "" },
		{ "again, in the same body", 0, LIST("list pages-a pages-b list page-a"),
		  QEMU_TAKES, 0, "a0:5a", "" },
		{ "a later one resizes again", 0,
		  "qemu setup part u64:1004 s:b u64:1000 eos foot part u64:3004 s:b u64:3000 eos "
		  "foot end u64:2002 s:b u8:0 eos foot eof",
		  QEMU_TAKES, 0, "b1:11 b2:0", "" },
		{ "none at all", 0, "qemu start eos foot end eos foot eof", QEMU_TAKES, 0, "", "" },
		{ "cut off", 0, "qemu start u64:6004 entry-a s:b u32:0", QEMU_REFUSES, -ENODATA,
		  "the stream ended inside a body of RAM", "" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

/* With x-ignore-shared: an address in each entry. */
#define IGNORING(rest)                                                                             \
	"qemu u8:5 s:configuration/capabilities u32:1 u32:1 s:x-ignore-shared start u64:6004 "     \
	"s:a u64:4000 u64:0 s:i u64:2000 " rest " eos foot eof"

static void ignored_regions(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "well, and others may be anywhere", ODD_IGNORE_SHARED,
		  IGNORING("u64:1000 eos foot end pages-a zero-a"), QEMU_TAKES, 0, "a0:0 i0:11",
		  "" },
		{ "one more at the source, which does not say so", ODD_IGNORE_SHARED,
		  IGNORING("u64:1000 eos foot end"), QEMU_TAKES, 0, "a0:11 i0:11", "" },
		{ "elsewhere", ODD_IGNORE_SHARED, IGNORING("u64:2000 eos foot end"), QEMU_REFUSES,
		  -EINVAL,
		  "region i is ignored, and lies at guest address 0x1000 here and 0x2000 in the "
		  "stream",
		  "" },
		{ "with pages", ODD_IGNORE_SHARED, IGNORING("u64:1000 eos foot end u64:2 s:i u8:0"),
		  QEMU_REFUSES, -EINVAL, "region i, offset 0x0: a page of an ignored region", "" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries),
		cmocka_unit_test(totals),
		cmocka_unit_test(order),
		cmocka_unit_test(ignored_regions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
