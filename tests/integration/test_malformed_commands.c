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

#define NO_POSTCOPY "there is no postcopy yet"
#define NOTHING_TO_RECOVER "QEMU complains and goes on; outside postcopy no writer does that"

static void postcopy(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "ADVISE, and then it does not come to it", ODD_QEMU_POSTCOPY,
		  "qemu " ADVISE "ram eof", QEMU_TAKES, -EOPNOTSUPP, "postcopy-ram is off",
		  NO_POSTCOPY },
		{ "ADVISE, and it is off", 0, "qemu " ADVISE "ram eof", QEMU_REFUSES, -EOPNOTSUPP,
		  "postcopy-ram is off", "" },
		{ "ADVISE of other pages", ODD_QEMU_POSTCOPY,
		  "qemu u8:8 u16:3 u16:10 u64:200000 u64:1000 ram eof", QEMU_REFUSES, -EOPNOTSUPP,
		  "postcopy-ram is off", "" },
		{ "ADVISE of other target pages", ODD_QEMU_POSTCOPY,
		  "qemu u8:8 u16:3 u16:10 u64:1000 u64:2000 ram eof", QEMU_REFUSES, -EOPNOTSUPP,
		  "postcopy-ram is off", "" },
		{ "ADVISE of 8 bytes", ODD_QEMU_POSTCOPY, "qemu u8:8 u16:3 u16:8 u64:1000 ram eof",
		  QEMU_REFUSES, -EOPNOTSUPP, "postcopy-ram is off", "" },
		{ "ADVISE twice", ODD_QEMU_POSTCOPY, "qemu " ADVISE ADVISE "ram eof", QEMU_REFUSES,
		  -EOPNOTSUPP, "postcopy-ram is off", "" },
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
		  QEMU_TAKES, -EPROTO, "out of place", NO_POSTCOPY },
		{ "PACKAGED, and empty", 0, "qemu u8:8 u16:7 u16:4 u32:0 ram eof", QEMU_REFUSES,
		  -EPROTO, "out of place", "" },
		{ "PACKAGED, and more than follows", 0,
		  "qemu u8:8 u16:7 u16:4 u32:ffffffff ram eof", QEMU_REFUSES, -EPROTO,
		  "out of place", "" },
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
		cmocka_unit_test(return_path),
		cmocka_unit_test(switchover_start),
		cmocka_unit_test(postcopy),
		cmocka_unit_test(others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
