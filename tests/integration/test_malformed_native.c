/* SPDX-License-Identifier: MIT */
/* Odd and malformed streams in the native form, of which QEMU knows nothing. Runs of pages are among
 * the bodies of RAM, in test_malformed_ram.c. */
#include "integration/odd_streams.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void features(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "well", 0, "native ram eof", NOT_FOR_QEMU, 0, "", "" },
		{ "no runs", 0, "native-plain ram eof", NOT_FOR_QEMU, 0, "", "" },
		{ "no offer", 0, "ramsync ram eof", NOT_FOR_QEMU, -EINVAL,
		  "offer of features does not follow", "" },
		{ "another command", 0, "ramsync check", NOT_FOR_QEMU, -EINVAL,
		  "offer of features does not follow", "" },
		{ "two offers", 0, "native offer u16:0 ram eof", NOT_FOR_QEMU, -EOPNOTSUPP,
		  "command 21075", "" },
		{ "offer of 4097 bytes", 0, "ramsync offer u16:1001 fill:4097*0", NOT_FOR_QEMU,
		  -EINVAL, "4097 bytes, and at most 4096", "" },
		{ "three bytes", 0, "ramsync offer u16:3 fill:3*1", NOT_FOR_QEMU, -EINVAL,
		  "list of features is cut off", "" },
		{ "a value that ends outside", 0, "ramsync offer u16:7 u16:2 u16:4 s:ru",
		  NOT_FOR_QEMU, -EINVAL, "list of features is cut off", "" },
		{ "a name that ends outside", 0, "ramsync offer u16:7 u16:2 u16:3 u8:3 t:ru",
		  NOT_FOR_QEMU, -EINVAL, "feature 0x2: its name is cut off", "" },
		{ "no name", 0, "ramsync offer u16:4 u16:2 u16:0", NOT_FOR_QEMU, -EINVAL,
		  "feature 0x2: its name is cut off", "" },
		{ "a session of 15 bytes", 0,
		  "ramsync offer u16:1b u16:1 u16:17 s:session fill:15*1", NOT_FOR_QEMU, -EINVAL,
		  "feature session: 15 bytes instead of 16", "" },
		{ "twice", 0, "ramsync offer u16:38 f-session f-session", NOT_FOR_QEMU, -EINVAL,
		  "feature session is listed twice", "" },
		{ "no session", 0, "ramsync offer u16:13 f-lengths ram eof", NOT_FOR_QEMU,
		  -EPROTONOSUPPORT, "the source lacks the feature 'session'", "" },
		{ "no device lengths", 0, "ramsync offer u16:1c f-session ram eof", NOT_FOR_QEMU,
		  -EPROTONOSUPPORT, "the source lacks the feature 'device-lengths'", "" },
		{ "unknown, and nobody can say so", 0,
		  "ramsync offer u16:3a f-session f-lengths u16:63 u16:7 s:zigzag ram eof",
		  NOT_FOR_QEMU, -EPROTONOSUPPORT, "this end lacks the feature 'zigzag'", "" },
		{ "unknown and without a name", 0,
		  "ramsync offer u16:34 f-session f-lengths u16:63 u16:1 s: ram eof", NOT_FOR_QEMU,
		  -EPROTONOSUPPORT, "this end lacks the feature '0x0063'", "" },
		{ "compress, and it is on", ODD_COMPRESS,
		  "ramsync offer u16:3c f-session f-lengths u16:5 u16:9 s:compress ram eof",
		  NOT_FOR_QEMU, 0, "", "" },
		{ "compress, and it is off", 0,
		  "ramsync offer u16:3c f-session f-lengths u16:5 u16:9 s:compress ram eof",
		  NOT_FOR_QEMU, -EOPNOTSUPP,
		  "the source compresses pages, and the parameter compress is off here", "" },
		{ "compress, and it is off, two-way", ODD_TWO_WAY,
		  "ramsync offer u16:49 f-session f-lengths f-handover u16:5 u16:9 s:compress ram "
		  "check commit",
		  NOT_FOR_QEMU, -EOPNOTSUPP,
		  "the source compresses pages, and the parameter compress is off here", "" },
		{ "compress with a value", ODD_COMPRESS,
		  "ramsync offer u16:3d f-session f-lengths u16:5 u16:a s:compress u8:1 ram eof",
		  NOT_FOR_QEMU, -EINVAL, "feature compress: 1 bytes instead of 0", "" },
		{ "unknown, and not accepted", ODD_TWO_WAY,
		  "ramsync offer u16:47 f-session f-lengths f-handover u16:63 u16:7 s:zigzag "
		  "ram check commit",
		  NOT_FOR_QEMU, 0, "", "" },
		{ "a hand-over that nobody can answer", 0, "two-way ram check commit", NOT_FOR_QEMU,
		  -EINVAL, "waits for answers, and the stream is one-way", "" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

static void devices(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "well", 0, "native ram device eof", NOT_FOR_QEMU, 0, "", "" },
		{ "nobody to load it", ODD_NO_DEVICES, "native ram device eof", NOT_FOR_QEMU,
		  -EOPNOTSUPP, "device section cpu: this VMM loads no device state", "" },
		{ "the VMM fails", ODD_DEVICE_FAILS, "native ram device eof", NOT_FOR_QEMU, -EIO,
		  "device section cpu, instance 0, version 1: the VMM failed to load it", "" },
		{ "the VMM does not read it all", ODD_DEVICE_LAZY, "native ram device eof",
		  NOT_FOR_QEMU, -EINVAL, "the VMM read 0 of 4 bytes", "" },
		{ "it is larger than the footer says", 0, "native ram cpu u64:3 t:four u8:7e u32:3",
		  NOT_FOR_QEMU, -EINVAL, "0x72 stands where its footer should", "" },
		{ "larger than allowed", 0, "native ram cpu u64:10000001", NOT_FOR_QEMU, -E2BIG,
		  "cpu: 268435457 bytes are more than max-device-state", "" },
		{ "as large as can be", 0, "native ram cpu u64:ffffffffffffffff", NOT_FOR_QEMU,
		  -E2BIG, "more than max-device-state", "" },
		{ "memory grows with what comes", ODD_HUGE_DEVICES,
		  "native ram cpu u64:10000000000 t:no-tebibyte", NOT_FOR_QEMU, -ENODATA, "ended",
		  "" },
		{ "empty", 0, "native ram cpu u64:0 u8:7e u32:3 eof", NOT_FOR_QEMU, 0, "", "" },
		{ "before RAM, natively", 0, "native device ram eof", NOT_FOR_QEMU, 0, "", "" },
		{ "no name", 0, "native ram u8:4 u32:3 s: u32:0 u32:1 u64:0", NOT_FOR_QEMU, -EINVAL,
		  "section is empty", "" },
		{ "another one's footer", 0, "native ram cpu u64:4 t:four u8:7e u32:4",
		  NOT_FOR_QEMU, -EINVAL, "section cpu (3): its footer says 4", "" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

static void endings(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "no RAM", 0, "native eof", NOT_FOR_QEMU, -EINVAL, "the stream holds no RAM", "" },
		{ "no end of RAM", 0, "native setup device eof", NOT_FOR_QEMU, -EINVAL,
		  "the end of RAM is missing", "" },
		{ "an end without a hand-over", ODD_TWO_WAY, "two-way ram device eof", NOT_FOR_QEMU,
		  -EINVAL, "ends without a hand-over", "" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

static void commands(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "QEMU's", ODD_TWO_WAY, "two-way u8:8 u16:1 u16:0", NOT_FOR_QEMU, -EOPNOTSUPP,
		  "command 1 (", "" },
		{ "CHECK where nobody is answered", 0, "native ram check", NOT_FOR_QEMU,
		  -EOPNOTSUPP, "command 21076", "" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

static void handing_over(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "well", ODD_TWO_WAY, "two-way ram device check commit eof", NOT_FOR_QEMU, 0, "",
		  "" },
		{ "no end mark", ODD_TWO_WAY, "two-way ram device check commit", NOT_FOR_QEMU, 0,
		  "", "" },
		{ "COMMIT without CHECK", ODD_TWO_WAY, "two-way ram commit", NOT_FOR_QEMU, -EPROTO,
		  "COMMIT is out of place", "" },
		{ "PING of three bytes", ODD_TWO_WAY, "two-way u8:8 u16:2 u16:3 fill:3*0",
		  NOT_FOR_QEMU, -EINVAL, "PING with 3 bytes", "" },
		{ "PING, and nobody to hear of it", 0, "native u8:8 u16:2 u16:4 u32:7 ram eof",
		  NOT_FOR_QEMU, -EINVAL, "PING without a return path", "" },
		{ "CHECK with a payload", ODD_TWO_WAY, "two-way ram u8:8 u16:5254 u16:1 u8:0",
		  NOT_FOR_QEMU, -EINVAL, "CHECK with 1 bytes", "" },
		{ "CHECK without RAM", ODD_TWO_WAY, "two-way check commit", NOT_FOR_QEMU, -EINVAL,
		  "the stream holds no RAM", "" },
		{ "CHECK before the end of RAM", ODD_TWO_WAY, "two-way setup device check commit",
		  NOT_FOR_QEMU, -EINVAL, "the end of RAM is missing", "" },
		{ "nothing behind CHECK", ODD_TWO_WAY, "two-way ram check", NOT_FOR_QEMU,
		  RS_ERROR_IN_DOUBT, "ended", "" },
		{ "half a COMMIT", ODD_TWO_WAY, "two-way ram check u8:8 u16:5255", NOT_FOR_QEMU,
		  RS_ERROR_IN_DOUBT, "ended", "" },
		{ "CHECK instead of COMMIT", ODD_TWO_WAY, "two-way ram check check", NOT_FOR_QEMU,
		  RS_ERROR_IN_DOUBT, "0x08 0x5254 stands where COMMIT should", "" },
		{ "the end instead of COMMIT", ODD_TWO_WAY, "two-way ram check eof u32:0",
		  NOT_FOR_QEMU, RS_ERROR_IN_DOUBT, "0x00 0x0 stands where COMMIT should", "" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(features),     cmocka_unit_test(endings),
		cmocka_unit_test(devices),      cmocka_unit_test(commands),
		cmocka_unit_test(handing_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
