/* SPDX-License-Identifier: MIT */
/* Odd and malformed encoded pages: XBZRLE deltas, compressed pages. */
#include "integration/odd_streams.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define DELTA_WORD "qemu setup end u64:40 s:a "
#define END " eos foot eof"

/* Page 0 of a, which was 0x11 all over: a delta of that many bytes (hexadecimal). */
#define DELTA(bytes, delta) DELTA_WORD "u8:1 u16:" bytes " " delta END

#define BAD_DELTA QEMU_REFUSES, -EINVAL, "region a, offset 0x0: a malformed XBZRLE delta", ""

/* A delta is pairs of lengths: of a part that is equal (zrun), and of one that is not (nzrun). */
static void good_deltas(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "one byte", 0, DELTA("3", "h:0001aa"), QEMU_TAKES, 0, "a0:11,0=aa a1:11", "" },
		{ "two parts", 0, DELTA("7", "h:0501aa0702bbcc"), QEMU_TAKES, 0,
		  "a0:11,5=aa,d=bbcc a1:11", "" },
		/* 0xfff is ff 1f as a length. */
		{ "up to the last byte", 0, DELTA("4", "h:ff1f01aa"), QEMU_TAKES, 0,
		  "a0:11,fff=aa a1:11", "" },
		{ "nothing", 0, DELTA("0", ""), QEMU_TAKES, 0, "a0:11 a1:11", "" },
		{ "as long as a page", 0, DELTA("1000", "h:00fd1f fill:4093*aa"), QEMU_TAKES, 0,
		  "a0:aa,ffd=111111 a1:11", "" },
		{ "a zrun's length in two bytes without need", 0, DELTA("4", "h:850001aa"),
		  QEMU_TAKES, 0, "a0:11,5=aa", "" },
		{ "an nzrun's length in two bytes without need", 0, DELTA("4", "h:008100aa"),
		  QEMU_TAKES, 0, "a0:11,0=aa", "" },
		{ "deltas to what deltas left", 0,
		  DELTA("3", "h:0001aa u64:60 u8:1 u16:4 h:0102bbcc u64:60 u8:1 u16:3 h:0201dd"),
		  QEMU_TAKES, 0, "a0:11,0=aabbdd a1:11", "" },
		{ "to a page of zeros", 0,
		  "qemu setup part zero-a eos foot end u64:60 u8:1 u16:3 h:0301aa" END, QEMU_TAKES,
		  0, "a0:0,3=aa a1:11", "" },
		{ "a page again after a delta", 0, DELTA("3", "h:0001aa page-a"), QEMU_TAKES, 0,
		  "a0:5a", "" },
		{ "zeros again after a delta", 0, DELTA("3", "h:0001aa zero-a"), QEMU_TAKES, 0,
		  "a0:0 a1:11", "" },
		{ "in another region", 0,
		  "qemu setup end u64:1040 s:b u8:1 u16:3 h:0201aa u64:40 s:a u8:1 u16:3 "
		  "h:0201bb" END,
		  QEMU_TAKES, 0, "a0:11,2=bb b0:11 b1:11,2=aa", "" },
		{ "to a page that never came", ODD_LAX_TAKES,
		  "qemu start list u64:1008 s:a fill:4096*22 u64:2028 fill:4096*22 u64:60 u8:1 "
		  "u16:4 h:0402aabb u64:3028 fill:4096*22 pages-b eos foot end eos foot eof",
		  QEMU_TAKES, -EINVAL,
		  "region a, offset 0x0: an XBZRLE delta to a page that never came | "
		  "a0:11,4=aabb a1:22 a3:22",
		  "what it leaves depends on what lay there before; no writer does that" },
		/* The same page of the other region has come. */
		{ "to a page that came elsewhere", ODD_LAX_TAKES,
		  "qemu start list pages-b u64:1040 s:a u8:1 u16:3 h:0001aa eos foot end "
		  "u64:8 s:a fill:4096*22 u64:2028 fill:4096*22 u64:3028 fill:4096*22" END,
		  QEMU_TAKES, -EINVAL,
		  "region a, offset 0x1000: an XBZRLE delta to a page that never came | "
		  "a0:22 a1:11,0=aa a2:22",
		  "as above" },
		{ "of nothing, to a page that never came", ODD_LAX_TAKES,
		  "qemu start list u64:40 s:a u8:1 u16:0 pages-b eos foot end "
		  "u64:1008 s:a fill:4096*22 u64:2028 fill:4096*22 u64:3028 fill:4096*22" END,
		  QEMU_TAKES, -EINVAL,
		  "region a, offset 0x0: an XBZRLE delta to a page that never came | a0:11 a1:22",
		  "as above" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

static void bad_deltas(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "one byte where zrun must start", 0, DELTA("1", "h:00"), BAD_DELTA },
		{ "one byte where a later zrun must start", 0, DELTA("4", "h:0001aa05"),
		  BAD_DELTA },
		{ "nothing where nzrun must start", 0, DELTA("2", "h:8001"), BAD_DELTA },
		{ "one byte where nzrun must start", 0, DELTA("3", "h:800101"), BAD_DELTA },
		{ "a later zrun of 0", 0, DELTA("6", "h:0001aa0001bb"), BAD_DELTA },
		{ "an nzrun of 0", 0, DELTA("4", "h:05000501"), BAD_DELTA },
		{ "an nzrun of 0 at the end", 0, DELTA("2", "h:0500"), BAD_DELTA },
		{ "a zrun beyond the page", 0, DELTA("4", "h:812001aa"), BAD_DELTA },
		/* 0x1000 is 80 20 as a length. */
		{ "an nzrun that begins at the page's end", 0, DELTA("4", "h:802001aa"),
		  BAD_DELTA },
		{ "an nzrun that crosses the page's end", 0, DELTA("5", "h:ff1f02aabb"),
		  BAD_DELTA },
		{ "an nzrun that crosses the delta's end", 0, DELTA("4", "h:0003aabb"), BAD_DELTA },
		{ "a zrun's length of three bytes", 0, DELTA("5", "h:80800101aa"), BAD_DELTA },
		{ "an nzrun's length of three bytes", 0, DELTA("5", "h:00818000aa"), BAD_DELTA },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

static void bad_records_of_deltas(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "another encoding", 0, DELTA_WORD "u8:2 u16:3 h:0001aa" END, QEMU_REFUSES,
		  -EINVAL, "record 0x40: an XBZRLE page of the unknown encoding 2", "" },
		{ "no encoding", 0, DELTA_WORD "u8:0 u16:3 h:0001aa" END, QEMU_REFUSES, -EINVAL,
		  "record 0x40: an XBZRLE page of the unknown encoding 0", "" },
		{ "longer than a page", 0, DELTA("1001", "h:00fd1f fill:4094*aa"), QEMU_REFUSES,
		  -EINVAL, "record 0x40: a delta of 4097 bytes is longer than a page", "" },
		{ "outside its region", 0, "qemu setup end u64:4040 s:a u8:1 u16:3 h:0001aa" END,
		  QEMU_REFUSES, -EINVAL, "region a, offset 0x4000: 4096 bytes there lie outside",
		  "" },
		{ "of an unknown region", 0, "qemu setup end u64:40 s:x u8:1 u16:3 h:0001aa" END,
		  QEMU_REFUSES, -EINVAL, "record at offset 0x0: region x is unknown here", "" },
		{ "cut off", 0, DELTA_WORD "u8:1 u16:3 h:00", QEMU_REFUSES, -ENODATA,
		  "the stream ended after", "" },
		{ "cut off in its length", 0, DELTA_WORD "u8:1 u8:0", QEMU_REFUSES, -ENODATA,
		  "the stream ended inside a body of RAM", "" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

#define COMPRESSED(bytes, data) "qemu setup end u64:100 s:a u32:" bytes " " data END

/* A page of 0x5a: zlib's header and all but the end, and the end with its check sum. */
#define DEFLATED "h:7801edd081100000000321cff70799c7ae102a0c183060c0800103060c183060c080"
#define DEFLATED_END " h:81f78101834ba04c"
#define DEFLATED_PAGE "u32:2a " DEFLATED DEFLATED_END

#define BAD_PAGE QEMU_REFUSES, -EINVAL, "region a, offset 0x0: a malformed compressed page", ""
#define BAD_LENGTH QEMU_REFUSES, -EINVAL, "record 0x100: a compressed page of ", ""

/* QEMU 9.1 and later have no such record any more. */
static void compressed(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "a page", ODD_COMPRESS, COMPRESSED("2a", DEFLATED DEFLATED_END),
		  QEMU_TAKES_BEFORE(901), 0, "a0:5a a1:11", "" },
		{ "a page, without the capability", 0, COMPRESSED("2a", DEFLATED DEFLATED_END),
		  QEMU_REFUSES, -EOPNOTSUPP,
		  "record 0x100: a compressed page, but the parameter compress is off", "" },
		{ "pages of both regions", ODD_COMPRESS,
		  "qemu setup part u64:1100 s:b " DEFLATED_PAGE " u64:120 " DEFLATED_PAGE
		  " u64:3100 s:a " DEFLATED_PAGE " eos foot end" END,
		  QEMU_TAKES_BEFORE(901), 0, "a0:11 a2:11 a3:5a b0:5a b1:5a", "" },
		{ "zeros, and then a delta to them, in later bodies", ODD_COMPRESS,
		  "qemu setup part u64:100 s:a " DEFLATED_PAGE
		  " eos foot part zero-a eos foot end u64:60 u8:1 u16:3 h:0101bb" END,
		  QEMU_TAKES_BEFORE(901), 0, "a0:0,1=bb a1:11", "" },
		{ "a delta in a later body", ODD_COMPRESS,
		  "qemu setup part u64:100 s:a " DEFLATED_PAGE
		  " eos foot end u64:60 u8:1 u16:3 h:0101bb" END,
		  QEMU_TAKES_BEFORE(901), 0, "a0:5a,1=bb a1:11", "" },
		{ "nothing", ODD_COMPRESS, COMPRESSED("0", ""), BAD_LENGTH },
		/* 4110 is what zlib may need for a page of noise. */
		{ "longer than a page can get", ODD_COMPRESS,
		  COMPRESSED("100f", DEFLATED DEFLATED_END " fill:4069*0"), BAD_LENGTH },
		{ "no zlib", ODD_COMPRESS, COMPRESSED("4", "u32:0"), BAD_PAGE },
		{ "another check sum", ODD_COMPRESS,
		  COMPRESSED("2a", DEFLATED " h:81f78101834ba04d"), BAD_PAGE },
		{ "the stream's end is missing", ODD_COMPRESS,
		  COMPRESSED("2a", "h:7801ecd081100000000321cff70799c7ae102a0c183060c0800103060c18"
				   "3060c08081f781010000ffff"),
		  BAD_PAGE },
		{ "4097 bytes", ODD_COMPRESS, COMPRESSED("2a", DEFLATED " h:81fb81012400a0a6"),
		  BAD_PAGE },
		{ "4095 bytes", ODD_COMPRESS | ODD_LAX_TAKES,
		  COMPRESSED("2a", DEFLATED " h:81f38101e2f09ff2"), QEMU_TAKES_BEFORE(901), -EINVAL,
		  "region a, offset 0x0: a compressed page of 4095 bytes | a0:5a,fff=11 a1:11",
		  "what it leaves depends on what lay there before; no writer does that" },
		{ "outside its region", ODD_COMPRESS,
		  "qemu setup end u64:4100 s:a " DEFLATED_PAGE END, QEMU_REFUSES, -EINVAL,
		  "region a, offset 0x4000: 4096 bytes there lie outside", "" },
		{ "cut off", ODD_COMPRESS, "qemu setup end u64:100 s:a u32:2a " DEFLATED,
		  QEMU_REFUSES, -ENODATA, "the stream ended", "" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_deltas),
		cmocka_unit_test(bad_deltas),
		cmocka_unit_test(bad_records_of_deltas),
		cmocka_unit_test(compressed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
