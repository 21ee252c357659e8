/* SPDX-License-Identifier: MIT */
/* Odd and malformed streams: all that stands around RAM. Each wrong one has its own clear error. */
#include "integration/odd_streams.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define RUN(rows) odd_streams_run(rows, sizeof(rows) / sizeof((rows)[0]))

static void header_and_configuration(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "well", 0, "qemu ram eof", 0, "", "" },
		{ "nothing at all", 0, "", -ENODATA, "ended after 0 bytes", "" },
		{ "no migration", 0, "t:GET u8:20 u32:3", -EINVAL, "not a migration stream", "" },
		{ "stream version 2", 0, "t:QEVM u32:2", -EINVAL, "version 2 (obsolete)", "" },
		{ "stream version 4", 0, "t:QEVM u32:4", -EINVAL, "version 4 instead of 3", "" },
		{ "no configuration", 0, "magic ram eof", -EINVAL,
		  "0x01 stands where the configuration should", "" },
		{ "a machine's name of 256 bytes", 0, "magic u8:7 u32:100 fill:256*41 ram eof",
		  -EINVAL, "machine name of 256 bytes",
		  "QEMU sets no limit; ours is what a name on the wire can have elsewhere" },
		{ "a machine's name of 4 GiB", 0, "magic u8:7 u32:ffffffff t:pc", -EINVAL,
		  "machine name of 4294967295 bytes", "" },
		{ "a zero byte in the machine's name", 0, "magic u8:7 u32:9 t:ramsync~x ram eof",
		  -EINVAL, "machine name contains a zero byte", "names are compared as a whole" },
		{ "empty machine name", 0, "magic u8:7 u32:0 ram eof", 0, "", "" },
		{ "the machine that was asked for", ODD_MACHINE, "qemu ram eof", 0, "", "" },
		{ "another machine", ODD_MACHINE, "magic u8:7 u32:3 t:q35 ram eof", -EINVAL,
		  "machine 'q35', not 'pc-i440fx-7.2'", "" },
		{ "the beginning of that machine's name", ODD_MACHINE,
		  "magic u8:7 u32:9 t:pc-i440fx ram eof", -EINVAL,
		  "machine 'pc-i440fx', not 'pc-i440fx-7.2'",
		  "QEMU compares no more than it received, so that any beginning passes" },
	};
	(void)unused;
	RUN(rows);
}

static void subsections(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "page bits", 0, "qemu u8:5 s:configuration/target-page-bits u32:1 u32:c ram eof",
		  0, "", "" },
		{ "other page bits", 0,
		  "qemu u8:5 s:configuration/target-page-bits u32:1 u32:10 ram eof", -EINVAL,
		  "pages of 2^16 bytes in the stream, of 2^12 here", "" },
		{ "uuid", 0, "qemu u8:5 s:configuration/uuid u32:1 fill:16*ab ram eof", 0, "", "" },
		{ "uuid cut off", 0, "qemu u8:5 s:configuration/uuid u32:1 fill:9*ab", -ENODATA,
		  "ended", "" },
		{ "unknown", 0, "qemu u8:5 s:configuration/new u32:1 ram eof", -EINVAL,
		  "unknown subsection configuration/new", "" },
		{ "version 2", 0, "qemu u8:5 s:configuration/uuid u32:2 fill:16*ab ram eof",
		  -EINVAL, "configuration/uuid: version 2 instead of 1", "" },
		{ "no name", 0, "qemu u8:5 s: u32:1 ram eof", -EINVAL, "subsection is empty", "" },
		{ "a zero byte in the name", 0, "qemu u8:5 s:a~ u32:1 ram eof", -EINVAL,
		  "subsection is empty or contains a zero byte", "" },
		{ "capabilities that do not matter", 0,
		  "qemu u8:5 s:configuration/capabilities u32:1 u32:2 s:xbzrle s:new ram eof", 0,
		  "", "" },
		{ "x-ignore-shared only there", 0,
		  "qemu u8:5 s:configuration/capabilities u32:1 u32:1 s:x-ignore-shared ram eof",
		  -EINVAL, "x-ignore-shared is on in the stream and off here", "" },
		{ "x-ignore-shared only here", ODD_IGNORE_SHARED, "qemu ram eof", -EINVAL,
		  "x-ignore-shared is off in the stream and on here", "" },
		{ "mapped-ram", 0,
		  "qemu u8:5 s:configuration/capabilities u32:1 u32:1 s:mapped-ram ram eof",
		  -EOPNOTSUPP, "mapped-ram", "7.2 does not know it, and takes what is not RAM" },
		{ "too many capabilities", 0,
		  "qemu u8:5 s:configuration/capabilities u32:1 u32:ffffffff s:a", -EINVAL,
		  "list of 4294967295 capabilities", "nothing has so many" },
		{ "nothing behind", 0, "qemu", -ENODATA, "ended behind its configuration", "" },
	};
	(void)unused;
	RUN(rows);
}

static void features(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "well", 0, "native ram eof", 0, "", "" },
		{ "no runs", 0, "native-plain ram eof", 0, "", "" },
		{ "no offer", 0, "ramsync ram eof", -EINVAL, "offer of features does not follow",
		  "" },
		{ "another command", 0, "ramsync check", -EINVAL,
		  "offer of features does not follow", "" },
		{ "two offers", 0, "native offer u16:0 ram eof", -EOPNOTSUPP, "command 21075", "" },
		{ "offer of 4097 bytes", 0, "ramsync offer u16:1001 fill:4097*0", -EINVAL,
		  "4097 bytes, and at most 4096", "" },
		{ "three bytes", 0, "ramsync offer u16:3 fill:3*1", -EINVAL,
		  "list of features is cut off", "" },
		{ "a value that ends outside", 0, "ramsync offer u16:7 u16:2 u16:4 s:ru", -EINVAL,
		  "list of features is cut off", "" },
		{ "a name that ends outside", 0, "ramsync offer u16:7 u16:2 u16:3 u8:3 t:ru",
		  -EINVAL, "feature 0x2: its name is cut off", "" },
		{ "no name", 0, "ramsync offer u16:4 u16:2 u16:0", -EINVAL,
		  "feature 0x2: its name is cut off", "" },
		{ "a session of 15 bytes", 0,
		  "ramsync offer u16:1b u16:1 u16:17 s:session fill:15*1", -EINVAL,
		  "feature session: 15 bytes instead of 16", "" },
		{ "twice", 0, "ramsync offer u16:38 f-session f-session", -EINVAL,
		  "feature session is listed twice", "" },
		{ "no session", 0, "ramsync offer u16:13 f-lengths ram eof", -EPROTONOSUPPORT,
		  "the source lacks the feature 'session'", "" },
		{ "no device lengths", 0, "ramsync offer u16:1c f-session ram eof",
		  -EPROTONOSUPPORT, "the source lacks the feature 'device-lengths'", "" },
		{ "unknown, and nobody can say so", 0,
		  "ramsync offer u16:3a f-session f-lengths u16:63 u16:7 s:zigzag ram eof",
		  -EPROTONOSUPPORT, "this end lacks the feature 'zigzag'", "" },
		{ "unknown and without a name", 0,
		  "ramsync offer u16:34 f-session f-lengths u16:63 u16:1 s: ram eof",
		  -EPROTONOSUPPORT, "this end lacks the feature '0x0063'", "" },
		{ "unknown, and not accepted", ODD_TWO_WAY,
		  "ramsync offer u16:47 f-session f-lengths f-handover u16:63 u16:7 s:zigzag "
		  "ram check commit",
		  0, "", "" },
		{ "a hand-over that nobody can answer", 0, "two-way ram check commit", -EINVAL,
		  "waits for answers, and the stream is one-way", "" },
	};
	(void)unused;
	RUN(rows);
}

static void sections(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "ram twice", 0, "qemu setup setup eof", -EINVAL, "section ram starts twice", "" },
		{ "ram in one piece", 0, "qemu u8:4 u32:2 s:ram u32:0 u32:4 list eos foot eof",
		  -EINVAL, "section ram comes in one piece", "" },
		{ "ram 1", 0, "qemu u8:1 u32:2 s:ram u32:1 u32:4 list eos foot eof", -EINVAL,
		  "instance 1 instead of 0", "" },
		{ "ram version 3", 0, "qemu u8:1 u32:2 s:ram u32:0 u32:3 list eos foot eof",
		  -EINVAL, "section ram: version 3 instead of 4", "" },
		{ "ram version 5", 0, "qemu u8:1 u32:2 s:ram u32:0 u32:5 list eos foot eof",
		  -EINVAL, "section ram: version 5 instead of 4", "" },
		{ "another that has parts", 0, "qemu u8:1 u32:1 s:block u32:0 u32:1", -EOPNOTSUPP,
		  "section block comes in several parts", "there is no reader for it here" },
		{ "no name", 0, "qemu u8:1 u32:2 s: u32:0 u32:4", -EINVAL, "section is empty", "" },
		{ "a zero byte in the name", 0, "qemu u8:1 u32:2 s:ram~ u32:0 u32:4", -EINVAL,
		  "section is empty or contains a zero byte", "" },
		{ "a part before the start", 0, "qemu part eos foot eof", -EINVAL,
		  "part of section 2, which is not open", "" },
		{ "an end before the start", 0, "qemu end eos foot eof", -EINVAL,
		  "part of section 2, which is not open", "" },
		{ "a part of an unknown section", 0, "qemu setup u8:2 u32:9 eos", -EINVAL,
		  "part of section 9, which is not open", "" },
		{ "a part behind the end", 0, "qemu setup end eos foot part eos foot eof", -EINVAL,
		  "part of section 2, which is not open",
		  "QEMU counts nothing and would load it; no writer does that" },
		{ "any id will do", 0,
		  "qemu u8:1 u32:ffffffff s:ram u32:0 u32:4 list eos u8:7e u32:ffffffff "
		  "u8:3 u32:ffffffff eos u8:7e u32:ffffffff eof",
		  0, "", "" },
		{ "no footer", 0, "qemu start list eos end eos foot eof", -EINVAL,
		  "0x03 stands where its footer should", "" },
		{ "bytes behind the mark of the body's end", 0, "qemu start list eos eos foot eof",
		  -EINVAL, "0x00 stands where its footer should", "" },
		{ "another one's footer", 0, "qemu start list eos u8:7e u32:3 eof", -EINVAL,
		  "section ram (2): its footer says 3", "" },
		{ "a subsection", 0, "qemu u8:5 s:x u32:1", -EINVAL, "unknown subsection x", "" },
		{ "a subsection, later", 0, "qemu setup u8:5 s:x", -EINVAL, "0x05 begins no record",
		  "" },
		{ "the description before the end", 0, "qemu setup u8:6 u32:2 t:{}", -EINVAL,
		  "0x06 begins no record", "" },
		{ "a second configuration", 0, "qemu setup u8:7 u32:0", -EINVAL,
		  "0x07 begins no record", "" },
		{ "a footer by itself", 0, "qemu setup foot", -EINVAL, "0x7e begins no record",
		  "" },
		{ "rubbish", 0, "qemu setup u8:ff", -EINVAL, "0xff begins no record", "" },
	};
	(void)unused;
	RUN(rows);
}

static void endings(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "no RAM", 0, "qemu eof", -EINVAL, "the stream holds no RAM", "" },
		{ "no RAM, natively", 0, "native eof", -EINVAL, "the stream holds no RAM", "" },
		{ "no end of RAM, no devices", 0, "qemu setup eof", -EINVAL,
		  "the end of RAM is missing", "QEMU looks for no end; nothing proves one here" },
		{ "no end of RAM, devices: a background snapshot", 0,
		  "qemu setup part zero-a eos foot qemu-device eof", 0, "", "" },
		{ "no end of RAM, natively", 0, "native setup device eof", -EINVAL,
		  "the end of RAM is missing", "" },
		{ "no description", 0, "qemu ram qemu-device eof", 0, "", "" },
		{ "a description", 0, "qemu ram qemu-device eof u8:6 u32:2 t:{}", 0, "", "" },
		/* By then the guest runs: nothing of it is needed, and it may never come. But a source
		 * that waits for an answer has failed, too, if it could not write all. */
		{ "half a description, and an answer is due", ODD_TWO_WAY,
		  "qemu u8:8 u16:1 u16:0 ram qemu-device eof u8:6 u32:3 t:{}", -ENODATA, "ended",
		  "" },
		{ "a whole one, and an answer is due", ODD_TWO_WAY,
		  "qemu u8:8 u16:1 u16:0 ram qemu-device eof u8:6 u32:2 t:{}", 0, "", "" },
		{ "half a description", 0, "qemu ram qemu-device eof u8:6 u32:3 t:{}", 0, "", "" },
		{ "less than a description", 0, "qemu ram qemu-device eof u8:6 u16:0", 0, "", "" },
		{ "something behind the end", 0, "qemu ram eof t:another-stream", 0, "", "" },
		{ "an end without a hand-over", ODD_TWO_WAY, "two-way ram device eof", -EINVAL,
		  "ends without a hand-over", "" },
	};
	(void)unused;
	RUN(rows);
}

static void devices(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "well", 0, "native ram device eof", 0, "", "" },
		{ "nobody to load it", ODD_NO_DEVICES, "native ram device eof", -EOPNOTSUPP,
		  "device section cpu: this VMM loads no device state", "" },
		{ "the VMM fails", ODD_DEVICE_FAILS, "native ram device eof", -EIO,
		  "device section cpu, instance 0, version 1: the VMM failed to load it", "" },
		{ "the VMM does not read it all", ODD_DEVICE_LAZY, "native ram device eof", -EINVAL,
		  "the VMM read 0 of 4 bytes", "" },
		{ "it is larger than the footer says", 0, "native ram cpu u64:3 t:four u8:7e u32:3",
		  -EINVAL, "0x72 stands where its footer should", "" },
		{ "larger than allowed", 0, "native ram cpu u64:10000001", -E2BIG,
		  "cpu: 268435457 bytes are more than max-device-state", "" },
		{ "as large as can be", 0, "native ram cpu u64:ffffffffffffffff", -E2BIG,
		  "more than max-device-state", "" },
		{ "memory grows with what comes", ODD_HUGE_DEVICES,
		  "native ram cpu u64:10000000000 t:no-tebibyte", -ENODATA, "ended", "" },
		{ "empty", 0, "native ram cpu u64:0 u8:7e u32:3 eof", 0, "", "" },
		{ "before RAM, natively", 0, "native device ram eof", 0, "", "" },
		{ "before RAM, in QEMU's form", 0, "qemu qemu-device ram eof", -EOPNOTSUPP,
		  "device section cpu comes before RAM",
		  "only its device could say where it ends" },
		{ "no name", 0, "native ram u8:4 u32:3 s: u32:0 u32:1 u64:0", -EINVAL,
		  "section is empty", "" },
		{ "another one's footer", 0, "native ram cpu u64:4 t:four u8:7e u32:4", -EINVAL,
		  "section cpu (3): its footer says 4", "" },
	};
	(void)unused;
	RUN(rows);
}

static void commands(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "return path", ODD_TWO_WAY,
		  "qemu u8:8 u16:1 u16:0 u8:8 u16:2 u16:4 u32:7 ram eof", 0, "", "" },
		{ "return path, one-way", 0, "qemu u8:8 u16:1 u16:0 ram eof", -EINVAL,
		  "opens a return path, and the stream is one-way", "" },
		{ "return path with a payload", ODD_TWO_WAY, "qemu u8:8 u16:1 u16:1 u8:0", -EINVAL,
		  "OPEN_RETURN_PATH with a payload", "" },
		{ "PING without a return path", ODD_TWO_WAY, "qemu u8:8 u16:2 u16:4 u32:7", -EINVAL,
		  "PING without a return path", "" },
		{ "PING of three bytes", ODD_TWO_WAY,
		  "qemu u8:8 u16:1 u16:0 u8:8 u16:2 u16:3 fill:3*0", -EINVAL,
		  "PING without its 4 bytes", "" },
		{ "SWITCHOVER_START", 0, "qemu setup u8:8 u16:b u16:0 end eos foot eof", 0, "",
		  "" },
		{ "SWITCHOVER_START with a payload", 0, "qemu setup u8:8 u16:b u16:1 u8:0", -EINVAL,
		  "SWITCHOVER_START with a payload", "" },
		{ "postcopy", ODD_TWO_WAY, "qemu u8:8 u16:3 u16:10 fill:16*0", -EOPNOTSUPP,
		  "command 3 (0x3) is unknown, or not supported", "there is no postcopy yet" },
		{ "unknown", 0, "qemu u8:8 u16:63 u16:0", -EOPNOTSUPP, "command 99", "" },
		{ "4097 bytes", 0, "qemu u8:8 u16:63 u16:1001", -EINVAL,
		  "4097 bytes, and at most 4096", "no command that is read here has more" },
		{ "ours in QEMU's form", ODD_TWO_WAY, "qemu ram check", -EOPNOTSUPP,
		  "command 21076 (0x5254)", "" },
		{ "QEMU's in ours", ODD_TWO_WAY, "two-way u8:8 u16:1 u16:0", -EOPNOTSUPP,
		  "command 1 (0x1)", "" },
		{ "CHECK where nobody is answered", 0, "native ram check", -EOPNOTSUPP,
		  "command 21076 (0x5254)", "" },
	};
	(void)unused;
	RUN(rows);
}

static void handing_over(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "well", ODD_TWO_WAY, "two-way ram device check commit eof", 0, "", "" },
		{ "no end mark", ODD_TWO_WAY, "two-way ram device check commit", 0, "", "" },
		{ "COMMIT without CHECK", ODD_TWO_WAY, "two-way ram commit", -EOPNOTSUPP,
		  "command 21077 (0x5255)", "" },
		{ "CHECK with a payload", ODD_TWO_WAY, "two-way ram u8:8 u16:5254 u16:1 u8:0",
		  -EINVAL, "CHECK with a payload", "" },
		{ "CHECK without RAM", ODD_TWO_WAY, "two-way check commit", -EINVAL,
		  "the stream holds no RAM", "" },
		{ "CHECK before the end of RAM", ODD_TWO_WAY, "two-way setup device check commit",
		  -EINVAL, "the end of RAM is missing", "" },
		{ "nothing behind CHECK", ODD_TWO_WAY, "two-way ram check", RS_ERROR_IN_DOUBT,
		  "ended", "" },
		{ "half a COMMIT", ODD_TWO_WAY, "two-way ram check u8:8 u16:5255",
		  RS_ERROR_IN_DOUBT, "ended", "" },
		{ "CHECK instead of COMMIT", ODD_TWO_WAY, "two-way ram check check",
		  RS_ERROR_IN_DOUBT, "0x08 0x5254 stands where COMMIT should", "" },
		{ "the end instead of COMMIT", ODD_TWO_WAY, "two-way ram check eof u32:0",
		  RS_ERROR_IN_DOUBT, "0x00 0x0 stands where COMMIT should", "" },
	};
	(void)unused;
	RUN(rows);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_and_configuration),
		cmocka_unit_test(subsections),
		cmocka_unit_test(features),
		cmocka_unit_test(sections),
		cmocka_unit_test(endings),
		cmocka_unit_test(devices),
		cmocka_unit_test(commands),
		cmocka_unit_test(handing_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
