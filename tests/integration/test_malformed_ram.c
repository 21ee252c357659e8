/* SPDX-License-Identifier: MIT */
/* Odd and malformed bodies of RAM: nothing outside a region is ever written. */
#include "integration/odd_streams.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define RUN(rows) odd_streams_run(rows, sizeof(rows) / sizeof((rows)[0]))

/* A list, then the records in a body of their own. */
#define QEMU(records) "qemu setup end " records " eos foot eof"
#define NATIVE(records) "native setup end " records " eos foot eof"

static void flags(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "none", 0, QEMU("u64:1000"), -EINVAL, "flags 0x0 are not a legal combination",
		  "" },
		{ "FULL", 0, QEMU("u64:1"), -EINVAL, "flags 0x1 are not a legal combination", "" },
		{ "ZERO and PAGE", 0, QEMU("u64:a s:a"), -EINVAL, "flags 0xa are not", "" },
		{ "PAGE and XBZRLE", 0, QEMU("u64:48 s:a"), -EINVAL, "flags 0x48 are not", "" },
		{ "PAGE and EOS", 0, QEMU("u64:18 s:a"), -EINVAL, "flags 0x18 are not", "" },
		{ "EOS and MEM_SIZE", 0, QEMU("u64:14"), -EINVAL, "flags 0x14 are not", "" },
		{ "CONTINUE alone", 0, QEMU("u64:20"), -EINVAL, "flags 0x0 are not", "" },
		{ "bit 10", 0, QEMU("u64:400"), -EINVAL, "flags 0x400 are not", "" },
		{ "FLUSH and ZERO", 0, QEMU("u64:202 s:a"), -EINVAL, "flags 0x202 are not", "" },
		{ "FLUSH", 0, QEMU("zero-a u64:200 zero-a u64:200"), 0, "", "" },
		{ "FLUSH and CONTINUE", 0, QEMU("u64:220"), 0, "", "" },
		{ "XBZRLE", 0, QEMU("u64:40 s:a u8:1 u16:0"), -EOPNOTSUPP,
		  "XBZRLE pages are not supported", "they come later" },
		{ "COMPRESS_PAGE", 0, QEMU("u64:100 s:a u32:0"), -EOPNOTSUPP,
		  "compressed pages are not supported", "they come later" },
		{ "HOOK", 0, QEMU("u64:80"), -EOPNOTSUPP, "RDMA hooks are not supported", "" },
		{ "EOS with an address", 0, "qemu setup end u64:123000010 foot eof", 0, "", "" },
		{ "EOS and CONTINUE", 0, "qemu setup end u64:30 foot eof", 0, "", "" },
		{ "a run of zeros in QEMU's form", 0, QEMU("u64:6 s:a u64:1000"), -EINVAL,
		  "flags 0x6 are not a legal combination", "" },
		{ "a run of pages in QEMU's form", 0, QEMU("u64:c s:a u64:1000 fill:4096*1"),
		  -EINVAL, "flags 0xc are not a legal combination", "" },
		{ "a run without the feature", 0,
		  "native-plain setup end u64:6 s:a u64:1000 eos foot eof", -EINVAL,
		  "flags 0x6 are not a legal combination", "" },
	};
	(void)unused;
	RUN(rows);
}

static void names(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "unknown", 0, QEMU("u64:1002 s:c u8:0"), -EINVAL,
		  "record at offset 0x1000: region c is unknown here", "" },
		{ "unknown, and as long as can be", 0, QEMU("u64:2 n:255*c u8:0"), -EINVAL,
		  "cccccccccc is unknown here", "" },
		{ "empty", 0, QEMU("u64:2 s: u8:0"), -EINVAL, "a region's name is empty", "" },
		{ "a zero byte", 0, QEMU("u64:2 s:a~ u8:0"), -EINVAL, "contains a zero byte",
		  "QEMU compares up to the zero byte and takes it for a" },
		{ "the beginning of one", 0, "qemu setup end u64:2 s:aa u8:0 eos foot eof", -EINVAL,
		  "region aa is unknown", "" },
		{ "CONTINUE with nothing before", 0, QEMU("u64:1022 u8:0"), -EINVAL,
		  "goes on in the region of the one before, and there was none", "" },
		{ "a list names no region to go on in", 0, "qemu start list u64:22 u8:0 eos foot",
		  -EINVAL, "and there was none", "" },
		{ "CONTINUE within a body", 0, QEMU("zero-a u64:1022 u8:0"), 0, "", "" },
		{ "CONTINUE across bodies", 0,
		  "qemu setup part zero-a eos foot part u64:1022 u8:0 eos foot "
		  "end u64:2028 fill:4096*1 eos foot eof",
		  0, "", "" },
		{ "the name each time", 0, QEMU("zero-a zero-a page-a"), 0, "", "" },
	};
	(void)unused;
	RUN(rows);
}

static void offsets(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "the last page", 0, QEMU("u64:3008 s:a fill:4096*1"), 0, "", "" },
		{ "a page at the end", 0, QEMU("u64:4008 s:a fill:4096*1"), -EINVAL,
		  "region a, offset 0x4000: 4096 bytes there lie outside its 16384 bytes", "" },
		{ "zero at the end", 0, QEMU("u64:4002 s:a u8:0"), -EINVAL, "lie outside", "" },
		{ "far out", 0, QEMU("u64:fffffffffffff008 s:a fill:4096*1"), -EINVAL,
		  "offset 0xfffffffffffff000: 4096 bytes there lie outside", "" },
		{ "behind what is used, before what there is room for", 0,
		  QEMU("u64:2008 s:b fill:4096*1"), -EINVAL, "lie outside its 8192 bytes", "" },
		{ "behind what the list made of it", 0,
		  "qemu start u64:5004 entry-a s:b u64:1000 eos foot end u64:1008 s:b "
		  "fill:4096*1 eos foot eof",
		  -EINVAL, "region b, offset 0x1000: 4096 bytes there lie outside its 4096", "" },
		{ "a run of all", 0, NATIVE("u64:6 s:a u64:4000"), 0, "", "" },
		{ "a run that crosses the end", 0, NATIVE("u64:1006 s:a u64:4000"), -EINVAL,
		  "offset 0x1000: 16384 bytes there lie outside its 16384 bytes", "" },
		{ "content that crosses the end", 0, NATIVE("u64:300c s:a u64:2000 fill:8192*1"),
		  -EINVAL, "offset 0x3000: 8192 bytes there lie outside", "" },
		{ "offset and length wrap round", 0, NATIVE("u64:1006 s:a u64:fffffffffffff000"),
		  -EINVAL, "18446744073709547520 bytes there lie outside", "" },
		{ "a run that is no whole pages", 0, NATIVE("u64:6 s:a u64:1001"), -EINVAL,
		  "a run of 4097 bytes is not whole pages", "" },
		{ "a run of less than a page", 0, NATIVE("u64:c s:a u64:400 fill:1024*1"), -EINVAL,
		  "a run of 1024 bytes is not whole pages", "" },
		{ "a run of nothing", 0, NATIVE("u64:6 s:a u64:0"), -EINVAL,
		  "a run of 0 bytes is not whole pages", "" },
	};
	(void)unused;
	RUN(rows);
}

static void content(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "pages in any order, and again", 0,
		  QEMU("u64:3002 s:a u8:0 page-a u64:2 s:b u8:0 zero-a page-a"), 0, "", "" },
		{ "zero of another kind", 0, QEMU("u64:1002 s:a u8:5"), -EINVAL,
		  "region a, offset 0x1000: a zero page with the fill 0x05",
		  "7.2 fills the page; no writer ever sent that, and 9.0 refuses it" },
		{ "a page that is cut off", 0, "qemu setup end u64:8 s:a fill:4095*1", -ENODATA,
		  "ended", "" },
		{ "a body that is cut off", 0, "qemu setup end zero-a u32:0", -ENODATA,
		  "the stream ended inside a body of RAM", "" },
		{ "a page before the list", 0, "qemu start zero-a list eos foot end eos foot eof",
		  -EINVAL, "a page of a region that was not listed",
		  "QEMU trusts its own lengths; a writer begins with the list" },
		{ "a page of a region that the list lacks", 0,
		  "qemu start u64:4004 entry-a eos foot end u64:2 s:b u8:0 eos foot eof", -EINVAL,
		  "region b, offset 0x0: a page of a region that was not listed",
		  "QEMU trusts its own lengths; a writer lists all that it sends" },
	};
	(void)unused;
	RUN(rows);
}

/* The list in a whole stream that would be well otherwise. */
#define LIST(list) "qemu start " list " eos foot end eos foot eof"

static void lists(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "in another order", 0, LIST("u64:6004 entry-b entry-a"), 0, "", "" },
		{ "again, in a later body", 0,
		  "qemu setup part list zero-a eos foot end eos foot eof", 0, "", "" },
		{ "only some of them", 0, LIST("u64:4004 entry-a"), 0, "", "" },
		{ "empty", 0, LIST("u64:4"), 0, "", "" },
		{ "unknown region", 0, LIST("u64:1004 s:c u64:1000"), -EINVAL,
		  "region c of the stream is unknown here", "" },
		{ "announced", ODD_ANNOUNCED, LIST("u64:1004 s:c u64:1000 u64:2 s:c u8:0"), 0, "",
		  "" },
		{ "announced and refused", ODD_ANNOUNCED, LIST("u64:3004 s:c u64:3000"), -E2BIG,
		  "region c, 12288 bytes, was announced and refused", "" },
		{ "another length", 0, LIST("u64:3004 s:a u64:3000"), -EINVAL,
		  "region a has 16384 bytes here and 12288 in the stream, and is not resizable",
		  "" },
		{ "shrinks", 0, LIST("u64:1004 s:b u64:1000 u64:2 s:b u8:0"), 0, "", "" },
		{ "grows", 0, LIST("u64:4004 s:b u64:4000 u64:3008 s:b fill:4096*1"), 0, "", "" },
		{ "grows too much", 0, LIST("u64:5004 s:b u64:5000"), -EINVAL,
		  "region b has at most 16384 bytes here and 20480 in the stream", "" },
		{ "an entry of no bytes", 0, LIST("u64:4004 s:b u64:0 entry-a"), -EINVAL,
		  "b has 0 bytes", "QEMU goes on, and could do so for ever" },
		{ "an entry that is no whole pages", 0, LIST("u64:4004 s:b u64:1001 entry-a"),
		  -EINVAL, "b has 4097 bytes where 16384 are left of the total, or they are not",
		  "" },
		{ "more than the total", 0, LIST("u64:5004 entry-a entry-b"), -EINVAL,
		  "b has 8192 bytes where 4096 are left of the total",
		  "QEMU's counter wraps round and the list never ends" },
		{ "the first one is more than the total", 0, LIST("u64:1004 entry-a"), -EINVAL,
		  "a has 16384 bytes where 4096 are left", "as above" },
		{ "less than the total", 0, "qemu start u64:7004 entry-a entry-b eos", -EINVAL,
		  "a region's name is empty", "" },
		{ "without end", 0, "qemu start u64:fffffffffffff004 entry-a entry-b entry-a",
		  -EINVAL, "region a is listed twice", "QEMU reads on until the stream ends" },
		{ "as long as the announcements are taken", ODD_ANNOUNCED,
		  "qemu start u64:fffffffffffff004 s:c u64:1000 s:d u64:1000", -E2BIG,
		  "region d, 4096 bytes, was announced and refused", "" },
		{ "twice", 0, LIST("u64:8004 entry-a entry-a"), -EINVAL, "region a is listed twice",
		  "no writer has two regions of one name" },
		{ "no name", 0, LIST("u64:4004 s: u64:4000"), -EINVAL, "name is empty", "" },
		{ "a zero byte in a name", 0, LIST("u64:4004 s:a~ u64:4000"), -EINVAL,
		  "contains a zero byte", "" },
		{ "cut off", 0, "qemu start u64:6004 entry-a s:b u32:0", -ENODATA,
		  "the stream ended inside a body of RAM", "" },
		{ "a region that cannot be written", ODD_READONLY, LIST("list"), -EROFS,
		  "region b is mapped read-only here", "" },
	};
	(void)unused;
	RUN(rows);
}

/* With x-ignore-shared: an address in each entry. */
#define IGNORING(rest)                                                                             \
	"qemu u8:5 s:configuration/capabilities u32:1 u32:1 s:x-ignore-shared start u64:6004 "     \
	"s:a u64:4000 u64:0 s:i u64:2000 " rest " eos foot eof"

static void ignored_regions(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "well", ODD_IGNORE_SHARED, IGNORING("u64:1000 eos foot end zero-a"), 0, "", "" },
		{ "elsewhere", ODD_IGNORE_SHARED, IGNORING("u64:2000 eos foot end"), -EINVAL,
		  "region i is ignored, and lies at guest address 0x1000 here and 0x2000 in the "
		  "stream",
		  "" },
		{ "with pages", ODD_IGNORE_SHARED, IGNORING("u64:1000 eos foot end u64:2 s:i u8:0"),
		  -EINVAL, "region i, offset 0x0: a page of an ignored region", "" },
	};
	(void)unused;
	RUN(rows);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags),   cmocka_unit_test(names),
		cmocka_unit_test(offsets), cmocka_unit_test(content),
		cmocka_unit_test(lists),   cmocka_unit_test(ignored_regions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
