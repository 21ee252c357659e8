/* SPDX-License-Identifier: MIT */
/* Odd and malformed page records: nothing outside a region is ever written. */
#include "integration/odd_streams.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* A list and all pages, then the records in a body of their own. */
#define QEMU(records) "qemu setup end " records " eos foot eof"
#define NATIVE(records) "native setup end " records " eos foot eof"

/* The flags of a word, one by one and together. */
static void flags(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "none", 0, QEMU("u64:1000"), QEMU_REFUSES, -EINVAL,
		  "flags 0x0 are not a legal combination", "" },
		{ "FULL", 0, QEMU("u64:1"), QEMU_REFUSES, -EINVAL,
		  "flags 0x1 are not a legal combination", "" },
		{ "ZERO", 0, QEMU("u64:1002 s:a u8:0"), QEMU_TAKES, 0, "a0:11 a1:0 a2:11", "" },
		{ "PAGE", 0, QEMU("u64:1008 s:a fill:4096*5a"), QEMU_TAKES, 0, "a0:11 a1:5a a2:11",
		  "" },
		{ "EOS, and nothing else in the body", 0,
		  "qemu setup part eos foot end eos foot eof", QEMU_TAKES, 0, "a0:11", "" },
		{ "EOS with an address", 0, "qemu setup end u64:123000010 foot eof", QEMU_TAKES, 0,
		  "", "" },
		{ "EOS and CONTINUE", 0, "qemu setup end u64:30 foot eof", QEMU_TAKES, 0, "", "" },
		{ "CONTINUE alone", 0, QEMU("u64:20"), QEMU_REFUSES, -EINVAL, "flags 0x0 are not",
		  "" },
		{ "HOOK", 0, QEMU("u64:80"), QEMU_REFUSES, -EOPNOTSUPP,
		  "RDMA hooks are not supported", "" },
		{ "bit 10", 0, QEMU("u64:400"), QEMU_REFUSES, -EINVAL, "flags 0x400 are not", "" },
		{ "bit 11", 0, QEMU("u64:800"), QEMU_REFUSES, -EINVAL, "flags 0x800 are not", "" },
		{ "ZERO and PAGE", 0, QEMU("u64:a s:a u8:0 fill:4096*5a"), QEMU_REFUSES, -EINVAL,
		  "flags 0xa are not", "" },
		{ "PAGE and XBZRLE", 0, QEMU("u64:48 s:a u8:1 u16:0"), QEMU_REFUSES, -EINVAL,
		  "flags 0x48 are not", "" },
		{ "PAGE and EOS", 0, QEMU("u64:18 s:a fill:4096*5a"), QEMU_REFUSES, -EINVAL,
		  "flags 0x18 are not", "" },
		{ "EOS and MEM_SIZE", 0, QEMU("u64:14"), QEMU_REFUSES, -EINVAL,
		  "flags 0x14 are not", "" },
		{ "a run of zeros in QEMU's form", 0, QEMU("u64:6 s:a u64:1000"), QEMU_REFUSES,
		  -EINVAL, "flags 0x6 are not a legal combination", "" },
		{ "a run of pages in QEMU's form", 0, QEMU("u64:c s:a u64:1000 fill:4096*1"),
		  QEMU_REFUSES, -EINVAL, "flags 0xc are not a legal combination", "" },
		{ "a run without the feature", 0,
		  "native-plain setup end u64:6 s:a u64:1000 eos foot eof", NOT_FOR_QEMU, -EINVAL,
		  "flags 0x6 are not a legal combination", "" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

/* MULTIFD_FLUSH, from 8.1 on; 8.1.0 writes it without channels, too. */
static void flushes(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "before EOS", 0,
		  "qemu start list pages-a pages-b u64:200 eos foot end u64:200 eos foot eof",
		  QEMU_TAKES_FROM(801), 0, "", "" },
		{ "amid pages", 0, QEMU("zero-a u64:200 u64:1022 u8:0 u64:200 page-a"),
		  QEMU_TAKES_FROM(801), 0, "a0:5a a1:0", "" },
		{ "with CONTINUE", 0, QEMU("u64:220"), QEMU_TAKES_FROM(801), 0, "", "" },
		{ "and ZERO in one word", 0, QEMU("u64:202 s:a u8:0"), QEMU_REFUSES, -EINVAL,
		  "flags 0x202 are not", "" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

static void names(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "unknown", 0, QEMU("u64:1002 s:c u8:0"), QEMU_REFUSES, -EINVAL,
		  "record at offset 0x1000: region c is unknown here", "" },
		{ "unknown, and as long as can be", 0, QEMU("u64:2 n:255*c u8:0"), QEMU_REFUSES,
		  -EINVAL, "cccccccccc is unknown here", "" },
		{ "empty", 0, QEMU("u64:2 s: u8:0"), QEMU_REFUSES, -EINVAL,
		  "a region's name is empty", "" },
		{ "a zero byte", 0, QEMU("u64:2 s:a~ u8:0"), QEMU_TAKES, -EINVAL,
		  "contains a zero byte", "two spellings of one name" },
		{ "another that begins like it", 0, QEMU("u64:2 s:aa u8:0"), QEMU_REFUSES, -EINVAL,
		  "region aa is unknown", "" },
		{ "CONTINUE with nothing before", 0,
		  "qemu start list eos foot end u64:1022 u8:0 eos foot eof", QEMU_REFUSES, -EINVAL,
		  "goes on in the region of the one before, and there was none", "" },
		{ "a list names no region to go on in", 0,
		  "qemu start list u64:22 u8:0 eos foot end eos foot eof", QEMU_REFUSES, -EINVAL,
		  "and there was none", "" },
		{ "CONTINUE within a body", 0, QEMU("zero-a u64:1022 u8:0"), QEMU_TAKES, 0,
		  "a0:0 a1:0 a2:11", "" },
		{ "CONTINUE across bodies", 0,
		  "qemu setup part zero-a eos foot part u64:1022 u8:0 eos foot "
		  "end u64:2028 fill:4096*1 eos foot eof",
		  QEMU_TAKES, 0, "a0:0 a1:0 a2:1 a3:11", "" },
		{ "CONTINUE behind another list", 0, QEMU("page-a list u64:1022 u8:0"), QEMU_TAKES,
		  0, "a0:5a a1:0 b1:11", "" },
		{ "the name each time", 0, QEMU("zero-a zero-a page-a"), QEMU_TAKES, 0, "a0:5a",
		  "" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

static void offsets(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "the last page", 0, QEMU("u64:3008 s:a fill:4096*1"), QEMU_TAKES, 0, "a2:11 a3:1",
		  "" },
		{ "a page at the end", 0, QEMU("u64:4008 s:a fill:4096*1"), QEMU_REFUSES, -EINVAL,
		  "region a, offset 0x4000: 4096 bytes there lie outside its 16384 bytes", "" },
		{ "zero at the end", 0, QEMU("u64:4002 s:a u8:0"), QEMU_REFUSES, -EINVAL,
		  "lie outside", "" },
		{ "far out", 0, QEMU("u64:fffffffffffff008 s:a fill:4096*1"), QEMU_REFUSES, -EINVAL,
		  "offset 0xfffffffffffff000: 4096 bytes there lie outside", "" },
		{ "behind what is used, before what there is room for", 0,
		  QEMU("u64:2008 s:b fill:4096*1"), QEMU_REFUSES, -EINVAL,
		  "lie outside its 8192 bytes", "" },
		{ "behind what the list made of it", 0,
		  "qemu start u64:5004 entry-a s:b u64:1000 eos foot end u64:1008 s:b "
		  "fill:4096*1 eos foot eof",
		  QEMU_REFUSES, -EINVAL,
		  "region b, offset 0x1000: 4096 bytes there lie outside its 4096", "" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

static void runs(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "all zeros", 0, NATIVE("u64:6 s:a u64:4000"), NOT_FOR_QEMU, 0, "a0:0 a3:0 b0:11",
		  "" },
		{ "zero of another kind", 0, NATIVE("u64:1002 s:a u8:5"), NOT_FOR_QEMU, -EINVAL,
		  "region a, offset 0x1000: a zero page with the fill 0x05", "" },
		{ "that crosses the end", 0, NATIVE("u64:1006 s:a u64:4000"), NOT_FOR_QEMU, -EINVAL,
		  "offset 0x1000: 16384 bytes there lie outside its 16384 bytes", "" },
		{ "content that crosses the end", 0, NATIVE("u64:300c s:a u64:2000 fill:8192*1"),
		  NOT_FOR_QEMU, -EINVAL, "offset 0x3000: 8192 bytes there lie outside", "" },
		{ "offset and length wrap round", 0, NATIVE("u64:1006 s:a u64:fffffffffffff000"),
		  NOT_FOR_QEMU, -EINVAL, "18446744073709547520 bytes there lie outside", "" },
		{ "no whole pages", 0, NATIVE("u64:6 s:a u64:1001"), NOT_FOR_QEMU, -EINVAL,
		  "a run of 4097 bytes is not whole pages", "" },
		{ "less than a page", 0, NATIVE("u64:c s:a u64:400 fill:1024*1"), NOT_FOR_QEMU,
		  -EINVAL, "a run of 1024 bytes is not whole pages", "" },
		{ "nothing", 0, NATIVE("u64:6 s:a u64:0"), NOT_FOR_QEMU, -EINVAL,
		  "a run of 0 bytes is not whole pages", "" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

static void content(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "pages in any order, and again: the last one counts", 0,
		  QEMU("u64:3002 s:a u8:0 page-a u64:2 s:b u8:0 zero-a page-a"), QEMU_TAKES, 0,
		  "a0:5a a1:11 a3:0 b0:0 b1:11", "" },
		{ "zero of another kind", ODD_LAX_TAKES, QEMU("u64:1002 s:a u8:5"),
		  QEMU_TAKES_BEFORE(900), -EINVAL,
		  "region a, offset 0x1000: a zero page with the fill 0x05 | a0:11 a1:5 a2:11",
		  "QEMU before 9.0 fills the page; no writer ever sent that" },
		{ "a page before the list", 0, "qemu start zero-a list eos foot end eos foot eof",
		  QEMU_TAKES, -EINVAL, "a page of a region that was not listed",
		  "QEMU trusts its own lengths; a writer begins with the list" },
		{ "a page of a region that the list lacks", 0,
		  "qemu start u64:4004 entry-a eos foot end u64:2 s:b u8:0 eos foot eof",
		  QEMU_TAKES, -EINVAL,
		  "region b, offset 0x0: a page of a region that was not listed",
		  "QEMU trusts its own lengths; a writer lists all that it sends" },
		{ "pages that never came", ODD_LAX_TAKES,
		  "qemu start list pages-b eos foot part zero-a eos foot end eos foot eof",
		  QEMU_TAKES, -ENODATA,
		  "region a: 3 of its 4 pages never came, the first at offset 0x1000 | a0:0",
		  "they may have gone over other connections, of which nothing tells" },
		{ "no pages at all", ODD_LAX_TAKES, "qemu start list eos foot end eos foot eof",
		  QEMU_TAKES, -ENODATA, "4 of its 4 pages never came | ", "as above" },
		{ "a page that is cut off", 0, "qemu setup end u64:8 s:a fill:4095*1", QEMU_REFUSES,
		  -ENODATA, "ended", "" },
		{ "a body that is cut off", 0, "qemu setup end zero-a u32:0", QEMU_REFUSES,
		  -ENODATA, "the stream ended inside a body of RAM", "" },
		/* The footer is taken for a word, with the mark of the end behind it. */
		{ "no EOS", 0, "qemu setup end zero-a foot eof fill:64*0", QEMU_REFUSES, -EINVAL,
		  "record 0x7e00000002000000: the flags 0x0 are not", "" },
		{ "EOS twice", 0, "qemu setup end eos eos foot eof", QEMU_REFUSES, -EINVAL,
		  "0x00 stands where its footer should", "" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags),   cmocka_unit_test(flushes), cmocka_unit_test(names),
		cmocka_unit_test(offsets), cmocka_unit_test(runs),    cmocka_unit_test(content),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
