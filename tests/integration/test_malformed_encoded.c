/* SPDX-License-Identifier: MIT */
/*
 * Odd and malformed encoded pages: XBZRLE deltas, compressed pages. There is no decoder for them yet,
 * so that all are refused by name. What QEMU says to each is here for the day when there is one.
 */
#include "integration/odd_streams.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define NO_XBZRLE -EOPNOTSUPP, "XBZRLE pages are not supported"
#define NO_XBZRLE_YET "there is no decoder yet"

/* Page 0 of a, which was 0x11 all over: a delta of that many bytes (hexadecimal). */
#define DELTA(bytes, delta) "qemu setup end u64:40 s:a u8:1 u16:" bytes " " delta " eos foot eof"

/* zrun and nzrun: the lengths of a part that is equal and of the one that is not. */
static void xbzrle(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "one byte", 0, DELTA("3", "h:0001aa"), QEMU_TAKES, NO_XBZRLE, NO_XBZRLE_YET },
		{ "two parts", 0, DELTA("7", "h:0501aa0702bbcc"), QEMU_TAKES, NO_XBZRLE,
		  NO_XBZRLE_YET },
		/* 0x1000 is 80 20 as a length. */
		{ "up to the last byte", 0, DELTA("4", "h:ff1f01aa"), QEMU_TAKES, NO_XBZRLE,
		  NO_XBZRLE_YET },
		{ "nothing", 0, DELTA("0", ""), QEMU_TAKES, NO_XBZRLE, NO_XBZRLE_YET },
		{ "another encoding", 0,
		  "qemu setup end u64:40 s:a u8:2 u16:3 h:0001aa eos foot eof", QEMU_REFUSES,
		  NO_XBZRLE, "" },
		{ "longer than a page", 0, DELTA("1001", "h:00fd1f fill:4094*aa"), QEMU_REFUSES,
		  NO_XBZRLE, "" },
		{ "one byte where zrun must start", 0, DELTA("1", "h:00"), QEMU_REFUSES, NO_XBZRLE,
		  "" },
		{ "one byte where a later zrun must start", 0, DELTA("4", "h:0001aa05"),
		  QEMU_REFUSES, NO_XBZRLE, "" },
		{ "nothing where nzrun must start", 0, DELTA("2", "h:8001"), QEMU_REFUSES,
		  NO_XBZRLE, "" },
		{ "one byte where nzrun must start", 0, DELTA("3", "h:800101"), QEMU_REFUSES,
		  NO_XBZRLE, "" },
		{ "a later zrun of 0", 0, DELTA("6", "h:0001aa0001bb"), QEMU_REFUSES, NO_XBZRLE,
		  "" },
		{ "an nzrun of 0", 0, DELTA("4", "h:05000501"), QEMU_REFUSES, NO_XBZRLE, "" },
		{ "an nzrun of 0 at the end", 0, DELTA("2", "h:0500"), QEMU_REFUSES, NO_XBZRLE,
		  "" },
		{ "a zrun beyond the page", 0, DELTA("4", "h:812001aa"), QEMU_REFUSES, NO_XBZRLE,
		  "" },
		{ "an nzrun that begins at the page's end", 0, DELTA("4", "h:802001aa"),
		  QEMU_REFUSES, NO_XBZRLE, "" },
		{ "an nzrun that crosses the page's end", 0, DELTA("5", "h:ff1f02aabb"),
		  QEMU_REFUSES, NO_XBZRLE, "" },
		{ "an nzrun that crosses the delta's end", 0, DELTA("4", "h:0003aabb"),
		  QEMU_REFUSES, NO_XBZRLE, "" },
		{ "a zrun's length of three bytes", 0, DELTA("5", "h:80800101aa"), QEMU_REFUSES,
		  NO_XBZRLE, "" },
		{ "an nzrun's length of three bytes", 0, DELTA("5", "h:00818000aa"), QEMU_REFUSES,
		  NO_XBZRLE, "" },
		{ "a zrun's length in two bytes without need", 0, DELTA("4", "h:850001aa"),
		  QEMU_TAKES, NO_XBZRLE, NO_XBZRLE_YET },
		{ "an nzrun's length in two bytes without need", 0, DELTA("4", "h:008100aa"),
		  QEMU_TAKES, NO_XBZRLE, NO_XBZRLE_YET },
		{ "outside its region", 0,
		  "qemu setup end u64:4040 s:a u8:1 u16:3 h:0001aa eos foot eof", QEMU_REFUSES,
		  NO_XBZRLE, "" },
		{ "cut off", 0, "qemu setup end u64:40 s:a u8:1 u16:3 h:00", QEMU_REFUSES,
		  NO_XBZRLE, "" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

#define NO_COMPRESS -EOPNOTSUPP, "compressed pages are not supported"
#define NO_COMPRESS_YET "nothing is decompressed yet"

#define COMPRESSED(bytes, data) "qemu setup end u64:100 s:a u32:" bytes " " data " eos foot eof"

/* A page of 0x5a: zlib's header and all but the end, and the end with its check sum. */
#define DEFLATED "h:7801edd081100000000321cff70799c7ae102a0c183060c0800103060c183060c080"
#define DEFLATED_END " h:81f78101834ba04c"

/* QEMU 9.1 and later have no such record any more. */
static void compressed(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "a page", ODD_QEMU_COMPRESS, COMPRESSED("2a", DEFLATED DEFLATED_END),
		  QEMU_TAKES_BEFORE(901), NO_COMPRESS, NO_COMPRESS_YET },
		{ "a page, without the capability", 0, COMPRESSED("2a", DEFLATED DEFLATED_END),
		  QEMU_REFUSES, NO_COMPRESS, "" },
		{ "nothing", ODD_QEMU_COMPRESS, COMPRESSED("0", ""), QEMU_REFUSES, NO_COMPRESS,
		  "" },
		/* 4110 is what zlib may need for a page of noise. */
		{ "longer than a page can get", ODD_QEMU_COMPRESS,
		  COMPRESSED("100f", DEFLATED DEFLATED_END " fill:4069*0"), QEMU_REFUSES,
		  NO_COMPRESS, "" },
		{ "no zlib", ODD_QEMU_COMPRESS, COMPRESSED("4", "u32:0"), QEMU_REFUSES, NO_COMPRESS,
		  "" },
		{ "another check sum", ODD_QEMU_COMPRESS,
		  COMPRESSED("2a", DEFLATED " h:81f78101834ba04d"), QEMU_REFUSES, NO_COMPRESS, "" },
		{ "the stream's end is missing", ODD_QEMU_COMPRESS,
		  COMPRESSED("2a", "h:7801ecd081100000000321cff70799c7ae102a0c183060c0800103060c18"
				   "3060c08081f781010000ffff"),
		  QEMU_REFUSES, NO_COMPRESS, "" },
		{ "4097 bytes", ODD_QEMU_COMPRESS, COMPRESSED("2a", DEFLATED " h:81fb81012400a0a6"),
		  QEMU_REFUSES, NO_COMPRESS, "" },
		{ "4095 bytes", ODD_QEMU_COMPRESS, COMPRESSED("2a", DEFLATED " h:81f38101e2f09ff2"),
		  QEMU_TAKES_BEFORE(901), NO_COMPRESS, NO_COMPRESS_YET },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(xbzrle),
		cmocka_unit_test(compressed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
