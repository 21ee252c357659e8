/* SPDX-License-Identifier: MIT */
/* Odd and malformed commands, in QEMU's form of the stream. */
#include "integration/odd_streams.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define RETURN_PATH "u8:8 u16:1 u16:0 "
#define SWITCHOVER "u8:8 u16:b u16:0 "
#define ADVISE "u8:8 u16:3 u16:10 u64:1000 u64:1000 "

static void return_path(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "and a PING", ODD_TWO_WAY, "qemu " RETURN_PATH "u8:8 u16:2 u16:4 u32:7 ram eof",
		  QEMU_TAKES, 0, "a0:0", "" },
		{ "on a one-way stream", ODD_LAX_TAKES, "qemu " RETURN_PATH "ram eof", QEMU_TAKES,
		  -EINVAL, "opens a return path, and the stream is one-way | a0:0",
		  "the source waits for answers, and can get none" },
		{ "on a one-way stream, and a PING", ODD_LAX_TAKES,
		  "qemu " RETURN_PATH "u8:8 u16:2 u16:4 u32:7 ram eof", QEMU_TAKES, -EINVAL,
		  "opens a return path, and the stream is one-way | a0:0", "as above" },
		{ "on a one-way stream, and a PING of three bytes", 0,
		  "qemu " RETURN_PATH "u8:8 u16:2 u16:3 fill:3*0 ram eof", QEMU_REFUSES, -EINVAL,
		  "", "" },
		{ "twice", ODD_TWO_WAY, "qemu " RETURN_PATH RETURN_PATH "ram eof", QEMU_TAKES,
		  -EINVAL, "opens a return path twice",
		  "QEMU complains and goes on; no writer does that" },
		{ "with a payload", ODD_TWO_WAY, "qemu u8:8 u16:1 u16:1 u8:0 ram eof", QEMU_REFUSES,
		  -EINVAL, "OPEN_RETURN_PATH with 1 bytes", "" },
		{ "PING without it", ODD_TWO_WAY, "qemu u8:8 u16:2 u16:4 u32:7 ram eof",
		  QEMU_REFUSES, -EINVAL, "PING without a return path", "" },
		{ "PING of three bytes", ODD_TWO_WAY,
		  "qemu " RETURN_PATH "u8:8 u16:2 u16:3 fill:3*0 ram eof", QEMU_REFUSES, -EINVAL,
		  "PING with 3 bytes", "" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

/* From 10.0 on, wherever a record may stand. */
static void switchover_start(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "before the end of RAM", 0, "qemu setup " SWITCHOVER "end eos foot eof",
		  QEMU_TAKES_FROM(1000), 0, "", "" },
		{ "before RAM, and behind", 0, "qemu " SWITCHOVER "ram " SWITCHOVER "eof",
		  QEMU_TAKES_FROM(1000), 0, "a0:0", "" },
		{ "with a payload", 0, "qemu setup u8:8 u16:b u16:1 u8:0 end eos foot eof",
		  QEMU_REFUSES, -EINVAL, "SWITCHOVER_START with 1 bytes", "" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

#define NOTHING_TO_RECOVER "QEMU complains and goes on; outside postcopy no writer does that"

/* Before postcopy begins, or without it. */
static void promises(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "ADVISE, and then it does not come to it", ODD_POSTCOPY, "qemu " ADVISE "ram eof",
		  QEMU_TAKES, 0, "a0:0 a1:11", "" },
		{ "ADVISE, and it is off", 0, "qemu " ADVISE "ram eof", QEMU_REFUSES, -EOPNOTSUPP,
		  "postcopy-ram is off", "" },
		{ "ADVISE of other pages", ODD_POSTCOPY | ODD_LAX_MEMORY,
		  "qemu u8:8 u16:3 u16:10 u64:200000 u64:1000 ram eof", QEMU_REFUSES, -EINVAL,
		  "the sizes of host pages are 0x200000 there and 0x1000 here, all ORed | a0:0",
		  "" },
		{ "ADVISE of other target pages", ODD_POSTCOPY,
		  "qemu u8:8 u16:3 u16:10 u64:1000 u64:2000 ram eof", QEMU_REFUSES, -EINVAL,
		  "pages of 8192 bytes there and 4096 here", "" },
		{ "ADVISE of 8 bytes", ODD_POSTCOPY, "qemu u8:8 u16:3 u16:8 u64:1000 ram eof",
		  QEMU_REFUSES, -EINVAL, "8 bytes", "" },
		{ "ADVISE twice", ODD_POSTCOPY, "qemu " ADVISE ADVISE "ram eof", QEMU_REFUSES,
		  -EPROTO, "POSTCOPY_ADVISE is out of place", "" },
		{ "ADVISE behind the list", ODD_POSTCOPY, "qemu setup " ADVISE "end eos foot eof",
		  QEMU_TAKES, -EPROTO, "POSTCOPY_ADVISE is out of place",
		  "what came is lost again in QEMU; no writer does that" },
		{ "LISTEN without ADVISE", 0, "qemu u8:8 u16:4 u16:0 ram eof", QEMU_REFUSES,
		  -EPROTO, "out of place", "" },
		{ "RUN without LISTEN", 0, "qemu u8:8 u16:5 u16:0 ram eof", QEMU_REFUSES, -EPROTO,
		  "out of place", "" },
		{ "DISCARD without ADVISE", 0,
		  "qemu setup u8:8 u16:6 u16:14 u8:0 s:a u8:0 u64:0 u64:1000 end eos foot eof",
		  QEMU_REFUSES, -EPROTO, "out of place", "" },
		{ "RESUME without anything to recover", 0, "qemu u8:8 u16:9 u16:0 ram eof",
		  QEMU_TAKES, -EPROTO, "out of place", NOTHING_TO_RECOVER },
		{ "RECV_BITMAP without anything to recover", 0,
		  "qemu setup u8:8 u16:a u16:2 s:a end eos foot eof", QEMU_TAKES, -EPROTO,
		  "out of place", NOTHING_TO_RECOVER },
		{ "RECV_BITMAP of an unknown region", 0,
		  "qemu setup u8:8 u16:a u16:2 s:z end eos foot eof", QEMU_REFUSES, -EPROTO,
		  "out of place", "" },
		{ "PACKAGED, with an end mark inside", 0, "qemu u8:8 u16:7 u16:4 u32:1 eof ram eof",
		  QEMU_TAKES, -EPROTO, "out of place",
		  "QEMU reads it as if it stood in the stream; no writer does that" },
		{ "PACKAGED, and empty", 0, "qemu u8:8 u16:7 u16:4 u32:0 ram eof", QEMU_REFUSES,
		  -EPROTO, "out of place", "" },
		{ "PACKAGED, and more than follows", 0,
		  "qemu u8:8 u16:7 u16:4 u32:ffffffff ram eof", QEMU_REFUSES, -EPROTO,
		  "out of place", "" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

/* A source that promises postcopy and has sent all once; what it then discards; what moves the guest. */
#define BEGIN "qemu " RETURN_PATH ADVISE "setup "
#define DISCARD "u8:8 u16:6 "
#define DISCARD_A DISCARD "u16:14 u8:0 s:a u8:0 "
#define PACKAGED "u8:8 u16:7 u16:4 "
#define LISTEN "u8:8 u16:4 u16:0 "
#define RUN "u8:8 u16:5 u16:0 "
#define MOVE PACKAGED "u32:a " LISTEN RUN
#define REST "end eos foot eof"
#define IN_POSTCOPY ODD_POSTCOPY | ODD_TWO_WAY

/* Not for QEMU from LISTEN on, if it is to take it: one of its threads loads the package, another the pages, and
 * which is first decides. */
static void discards(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "well", IN_POSTCOPY,
		  BEGIN DISCARD_A "u64:0 u64:1000 " MOVE "part page-a eos foot " REST, NOT_FOR_QEMU,
		  0, "a0:5a a1:11", "" },
		{ "of two ranges", IN_POSTCOPY,
		  BEGIN DISCARD "u16:24 u8:0 s:a u8:0 u64:0 u64:1000 u64:2000 u64:2000 " MOVE
				"part page-a u64:2022 u8:0 u64:3022 u8:0 eos foot " REST,
		  NOT_FOR_QEMU, 0, "a0:5a a1:11 a2:0 a3:0", "" },
		{ "twice the same", IN_POSTCOPY,
		  BEGIN DISCARD_A "u64:0 u64:1000 " DISCARD_A "u64:0 u64:1000 " MOVE
				  "part page-a eos foot " REST,
		  NOT_FOR_QEMU, 0, "a0:5a", "" },
		{ "of nothing", IN_POSTCOPY, BEGIN DISCARD_A "u64:0 u64:0 " MOVE REST, QEMU_REFUSES,
		  -EINVAL, "region a", "" },
		{ "of no range", IN_POSTCOPY, BEGIN DISCARD "u16:4 u8:0 s:a u8:0 " MOVE REST,
		  QEMU_REFUSES, -EINVAL, "POSTCOPY_RAM_DISCARD", "" },
		{ "of half a range", IN_POSTCOPY,
		  BEGIN DISCARD "u16:1c u8:0 s:a u8:0 u64:0 u64:1000 u64:2000 " MOVE REST,
		  QEMU_REFUSES, -EINVAL, "POSTCOPY_RAM_DISCARD", "" },
		{ "of an unknown region", IN_POSTCOPY,
		  BEGIN DISCARD "u16:14 u8:0 s:z u8:0 u64:0 u64:1000 " MOVE REST, QEMU_REFUSES,
		  -EINVAL, "region z is unknown here", "" },
		{ "version 1", IN_POSTCOPY,
		  BEGIN DISCARD "u16:14 u8:1 s:a u8:0 u64:0 u64:1000 " MOVE REST, QEMU_REFUSES,
		  -EINVAL, "version 1", "" },
		{ "no zero byte behind the name", IN_POSTCOPY,
		  BEGIN DISCARD "u16:14 u8:0 s:a u8:1 u64:0 u64:1000 " MOVE REST, QEMU_REFUSES,
		  -EINVAL, "POSTCOPY_RAM_DISCARD", "" },
		{ "a name that ends outside", IN_POSTCOPY,
		  BEGIN DISCARD "u16:14 u8:0 u8:ff t:a u8:0 u64:0 u64:1000 " MOVE REST,
		  QEMU_REFUSES, -EINVAL, "POSTCOPY_RAM_DISCARD", "" },
		{ "in the middle of a page", IN_POSTCOPY,
		  BEGIN DISCARD_A "u64:800 u64:1000 " MOVE REST, QEMU_REFUSES, -EINVAL,
		  "region a: 4096 bytes at 0x800 cannot be discarded", "" },
		{ "of half a page", IN_POSTCOPY, BEGIN DISCARD_A "u64:0 u64:800 " MOVE REST,
		  QEMU_REFUSES, -EINVAL, "region a: 2048 bytes at 0x0 cannot be discarded", "" },
		{ "beyond the end", IN_POSTCOPY, BEGIN DISCARD_A "u64:3000 u64:2000 " MOVE REST,
		  QEMU_REFUSES, -EINVAL, "region a: 8192 bytes at 0x3000 cannot be discarded", "" },
		{ "that wraps around", IN_POSTCOPY,
		  BEGIN DISCARD_A "u64:fffffffffffff000 u64:2000 " MOVE REST, QEMU_REFUSES, -EINVAL,
		  "0x2000 bytes at offset 0xfffffffffffff000 have no end", "" },
		{ "before the list", IN_POSTCOPY,
		  "qemu " RETURN_PATH ADVISE DISCARD_A "u64:0 u64:1000 ram eof", QEMU_REFUSES,
		  -EPROTO, "POSTCOPY_RAM_DISCARD is out of place", "" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

static void packages(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "well, and nothing is left", IN_POSTCOPY, BEGIN MOVE REST, NOT_FOR_QEMU, 0,
		  "a0:11", "" },
		{ "with PINGs", IN_POSTCOPY,
		  BEGIN PACKAGED "u32:13 " LISTEN "u8:8 u16:2 u16:4 u32:3 " RUN
				 "u8:8 u16:2 u16:4 u32:4 " REST,
		  NOT_FOR_QEMU, 0, "a0:11", "" },
		{ "with a device", IN_POSTCOPY | ODD_NO_DEVICES, BEGIN PACKAGED "u32:1 eof " REST,
		  NOT_FOR_QEMU, -EINVAL, "0x00 begins no record of a stream at this place", "" },
		{ "empty", IN_POSTCOPY, BEGIN PACKAGED "u32:0 " REST, QEMU_REFUSES, -EINVAL,
		  "the package does not say that the guest is to run", "" },
		{ "of 3 bytes for its length", IN_POSTCOPY,
		  BEGIN "u8:8 u16:7 u16:3 fill:3*0 " LISTEN RUN REST, NOT_FOR_QEMU, -EINVAL,
		  "PACKAGED with 3 bytes instead of 4", "" },
		{ "more than follows", IN_POSTCOPY, BEGIN PACKAGED "u32:1000 " LISTEN RUN,
		  NOT_FOR_QEMU, -ENODATA, "ended", "" },
		{ "as much as can be", IN_POSTCOPY, BEGIN PACKAGED "u32:ffffffff " LISTEN RUN,
		  NOT_FOR_QEMU, -E2BIG, "the package: 4294967295 bytes are more than", "" },
		{ "the same, and so much is allowed", IN_POSTCOPY | ODD_HUGE_DEVICES,
		  BEGIN PACKAGED "u32:ffffffff " LISTEN RUN, NOT_FOR_QEMU, -ENODATA, "ended", "" },
		{ "cut off inside a command", IN_POSTCOPY,
		  BEGIN PACKAGED "u32:7 " LISTEN "u8:8 u8:0", NOT_FOR_QEMU, -ENODATA, "ended", "" },
		{ "without LISTEN", IN_POSTCOPY, BEGIN PACKAGED "u32:5 " RUN REST, NOT_FOR_QEMU,
		  -EPROTO, "POSTCOPY_RUN is out of place", "" },
		{ "LISTEN twice", IN_POSTCOPY, BEGIN PACKAGED "u32:f " LISTEN LISTEN RUN REST,
		  NOT_FOR_QEMU, -EPROTO, "POSTCOPY_LISTEN is out of place", "" },
		{ "without RUN", IN_POSTCOPY, BEGIN PACKAGED "u32:5 " LISTEN REST, NOT_FOR_QEMU,
		  -ENODATA, "ended", "" },
		{ "one in another", IN_POSTCOPY,
		  BEGIN PACKAGED "u32:13 " PACKAGED "u32:a " LISTEN RUN REST, NOT_FOR_QEMU, -EPROTO,
		  "PACKAGED is out of place", "" },
		{ "with pages", IN_POSTCOPY,
		  BEGIN PACKAGED
		  "u32:3c part u64:22 s:a u8:0 eos foot end eos foot " LISTEN RUN REST,
		  NOT_FOR_QEMU, -EINVAL, "0x02 begins no record of a stream at this place", "" },
		{ "with a promise", IN_POSTCOPY, BEGIN PACKAGED "u32:1f " LISTEN ADVISE RUN REST,
		  NOT_FOR_QEMU, -EPROTO, "POSTCOPY_ADVISE is out of place", "" },
		{ "with a discard", IN_POSTCOPY,
		  BEGIN PACKAGED "u32:23 " LISTEN DISCARD_A "u64:0 u64:1000 " RUN REST,
		  NOT_FOR_QEMU, -EPROTO, "POSTCOPY_RAM_DISCARD is out of place", "" },
		{ "with a recovery", IN_POSTCOPY,
		  BEGIN PACKAGED "u32:f " LISTEN "u8:8 u16:9 u16:0 " RUN REST, NOT_FOR_QEMU,
		  -EPROTO, "POSTCOPY_RESUME is out of place", "" },
		{ "with an unknown command", IN_POSTCOPY,
		  BEGIN PACKAGED "u32:f " LISTEN "u8:8 u16:63 u16:0 " RUN REST, NOT_FOR_QEMU,
		  -EOPNOTSUPP, "command 99", "" },
		{ "without a promise", IN_POSTCOPY, "qemu " RETURN_PATH "setup " MOVE REST,
		  QEMU_REFUSES, -EPROTO, "PACKAGED is out of place", "" },
		{ "before the list", IN_POSTCOPY, "qemu " RETURN_PATH ADVISE MOVE "ram eof",
		  QEMU_REFUSES, -EPROTO, "PACKAGED is out of place", "" },
		{ "of the native form", IN_POSTCOPY, BEGIN PACKAGED "u32:a " LISTEN "check " REST,
		  NOT_FOR_QEMU, -EOPNOTSUPP, "command 21076", "" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

/* The guest may run: what goes wrong pauses the migration, at both ends. */
#define MOVED BEGIN DISCARD_A "u64:0 u64:1000 " MOVE
#define PAGE_0 "part page-a eos foot "

static void pages(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "of zeros", IN_POSTCOPY, MOVED "part zero-a eos foot " REST, NOT_FOR_QEMU, 0,
		  "a0:0 a1:11", "" },
		{ "in the end", IN_POSTCOPY, MOVED "end page-a eos foot eof", NOT_FOR_QEMU, 0,
		  "a0:5a", "" },
		{ "and PINGs", IN_POSTCOPY, MOVED "u8:8 u16:2 u16:4 u32:4 " PAGE_0 REST,
		  NOT_FOR_QEMU, 0, "a0:5a", "" },
		{ "that are not all", IN_POSTCOPY, MOVED REST, NOT_FOR_QEMU, ODD_PAUSES,
		  "region a: 1 of its 4 pages never came, the first at offset 0x0", "" },
		{ "and no end mark", IN_POSTCOPY, MOVED PAGE_0 "end eos foot", QEMU_REFUSES,
		  ODD_PAUSES, "ended", "" },
		{ "cut off in one", IN_POSTCOPY, MOVED "part u64:8 s:a fill:99*5a", QEMU_REFUSES,
		  ODD_PAUSES, "ended", "" },
		{ "of an unknown region", IN_POSTCOPY,
		  MOVED "part u64:8 s:z fill:4096*5a eos foot " REST, QEMU_REFUSES, ODD_PAUSES,
		  "region z", "" },
		{ "beyond the end", IN_POSTCOPY,
		  MOVED "part u64:4008 s:a fill:4096*5a eos foot " REST, QEMU_REFUSES, ODD_PAUSES,
		  "region a", "" },
		{ "far beyond the end", IN_POSTCOPY,
		  MOVED "part u64:fffffffffffff008 s:a fill:4096*5a eos foot " REST, QEMU_REFUSES,
		  ODD_PAUSES, "region a", "" },
		{ "of no region", IN_POSTCOPY, MOVED "part u64:28 fill:4096*5a eos foot " REST,
		  QEMU_REFUSES, ODD_PAUSES, "region", "" },
		{ "as a delta", IN_POSTCOPY,
		  MOVED "part u64:40 s:a u8:1 u16:3 h:00015a eos foot " REST, QEMU_REFUSES,
		  ODD_PAUSES, "XBZRLE", "" },
		{ "and a list", IN_POSTCOPY, MOVED "part list eos foot " REST, QEMU_REFUSES,
		  ODD_PAUSES, "a list of regions in postcopy", "" },
		{ "and a flag that there is not", IN_POSTCOPY, MOVED "part u64:400 eos foot " REST,
		  QEMU_REFUSES, ODD_PAUSES, "0x400", "" },
		{ "and another start of RAM", IN_POSTCOPY, MOVED "setup " REST, QEMU_REFUSES,
		  ODD_PAUSES, "0x01 begins no record of a stream at this place", "" },
		{ "and a device", IN_POSTCOPY, MOVED "qemu-device " PAGE_0 REST, NOT_FOR_QEMU,
		  ODD_PAUSES, "0x04 begins no record of a stream at this place", "" },
		{ "and another footer", IN_POSTCOPY, MOVED "part page-a eos u8:7e u32:3 " REST,
		  QEMU_REFUSES, ODD_PAUSES, "its footer says 3", "" },
		{ "and a part of another section", IN_POSTCOPY,
		  MOVED "u8:2 u32:9 page-a eos foot " REST, QEMU_REFUSES, ODD_PAUSES,
		  "a part of section 9, which is not open", "" },
		{ "and a promise", IN_POSTCOPY, MOVED ADVISE PAGE_0 REST, QEMU_REFUSES, ODD_PAUSES,
		  "POSTCOPY_ADVISE is out of place", "" },
		{ "and a discard", IN_POSTCOPY, MOVED DISCARD_A "u64:0 u64:1000 " PAGE_0 REST,
		  QEMU_REFUSES, ODD_PAUSES, "POSTCOPY_RAM_DISCARD is out of place", "" },
		{ "and LISTEN", IN_POSTCOPY, MOVED LISTEN PAGE_0 REST, NOT_FOR_QEMU, ODD_PAUSES,
		  "POSTCOPY_LISTEN is out of place", "" },
		{ "and RUN", IN_POSTCOPY, MOVED RUN PAGE_0 REST, QEMU_REFUSES, ODD_PAUSES,
		  "POSTCOPY_RUN is out of place", "" },
		{ "and a package", IN_POSTCOPY, MOVED MOVE PAGE_0 REST, QEMU_REFUSES, ODD_PAUSES,
		  "PACKAGED is out of place", "" },
		{ "and a second return path", IN_POSTCOPY, MOVED RETURN_PATH PAGE_0 REST,
		  NOT_FOR_QEMU, ODD_PAUSES, "OPEN_RETURN_PATH is out of place", "" },
		{ "and RESUME", IN_POSTCOPY, MOVED "u8:8 u16:9 u16:0 " PAGE_0 REST, NOT_FOR_QEMU,
		  ODD_PAUSES, "POSTCOPY_RESUME is out of place", "" },
		{ "and RECV_BITMAP", IN_POSTCOPY, MOVED "u8:8 u16:a u16:2 s:a " PAGE_0 REST,
		  NOT_FOR_QEMU, ODD_PAUSES, "RECV_BITMAP is out of place", "" },
		{ "and the native COMMIT", IN_POSTCOPY, MOVED "commit " PAGE_0 REST, QEMU_REFUSES,
		  ODD_PAUSES, "command 21077", "" },
		{ "and a command that there is not", IN_POSTCOPY,
		  MOVED "u8:8 u16:63 u16:0 " PAGE_0 REST, QEMU_REFUSES, ODD_PAUSES, "command 99",
		  "" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

static void others(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "0", 0, "qemu u8:8 u16:0 u16:0 ram eof", QEMU_REFUSES, -EOPNOTSUPP, "command 0",
		  "" },
		{ "a number that there is not", 0, "qemu u8:8 u16:63 u16:0 ram eof", QEMU_REFUSES,
		  -EOPNOTSUPP, "command 99", "" },
		{ "4097 bytes", 0, "qemu u8:8 u16:63 u16:1001 fill:4097*0 ram eof", QEMU_REFUSES,
		  -EINVAL, "4097 bytes, and at most 4096", "" },
		/* Without b: a QEMU whose regions grow behind this command crashes. */
		{ "ENABLE_COLO", 0,
		  "qemu u8:8 u16:8 u16:0 start u64:4004 entry-a pages-a eos foot "
		  "end eos foot eof",
		  QEMU_TAKES_BEFORE(901), -EOPNOTSUPP, "command 8", "there is no COLO yet" },
		{ "of the native form", ODD_TWO_WAY, "qemu ram check", QEMU_REFUSES, -EOPNOTSUPP,
		  "command 21076", "" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(return_path), cmocka_unit_test(switchover_start),
		cmocka_unit_test(promises),    cmocka_unit_test(discards),
		cmocka_unit_test(packages),    cmocka_unit_test(pages),
		cmocka_unit_test(others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
