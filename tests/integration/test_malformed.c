/* SPDX-License-Identifier: MIT */
/* Odd and malformed streams: header, configuration, sections, endings. Each wrong one has its own
 * clear error. */
#include "integration/odd_streams.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void header(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "well, without a description", 0, "qemu ram eof", QEMU_TAKES, 0, "a0:0 a1:11",
		  "" },
		{ "nothing at all", 0, "", QEMU_REFUSES, -ENODATA, "ended after 0 bytes", "" },
		{ "no migration", 0, "t:GET u8:20 u32:3", QEMU_REFUSES, -EINVAL,
		  "not a migration stream", "" },
		{ "stream version 2", 0, "t:QEVM u32:2", QEMU_REFUSES, -EINVAL,
		  "version 2 (obsolete)", "" },
		{ "stream version 4", 0, "t:QEVM u32:4", QEMU_REFUSES, -EINVAL,
		  "version 4 instead of 3", "" },
		{ "no configuration", 0, "magic ram eof", QEMU_REFUSES, -EINVAL,
		  "0x01 stands where the configuration should", "" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

static void machine(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "that was asked for", ODD_MACHINE, "qemu ram eof", QEMU_TAKES, 0, "", "" },
		{ "another", ODD_MACHINE, "magic u8:7 u32:3 t:q35 ram eof", QEMU_REFUSES, -EINVAL,
		  "machine 'q35', not 'pc-i440fx-7.2'", "" },
		{ "the beginning of its name", ODD_MACHINE, "magic u8:7 u32:9 t:pc-i440fx ram eof",
		  QEMU_TAKES, -EINVAL, "machine 'pc-i440fx', not 'pc-i440fx-7.2'",
		  "QEMU compares no more than it received; a beginning is another machine" },
		{ "nothing of its name", ODD_MACHINE, "magic u8:7 u32:0 ram eof", QEMU_TAKES,
		  -EINVAL, "machine '', not 'pc-i440fx-7.2'", "as above" },
		{ "more than its name", ODD_MACHINE, "magic u8:7 u32:e t:pc-i440fx-7.20 ram eof",
		  QEMU_REFUSES, -EINVAL, "machine 'pc-i440fx-7.20', not", "" },
		{ "its name, and more behind a zero byte", ODD_MACHINE,
		  "magic u8:7 u32:f t:pc-i440fx-7.2~x ram eof", QEMU_TAKES, -EINVAL,
		  "machine name contains a zero byte", "two spellings of one name" },
		{ "no name, and none was asked for", 0, "magic u8:7 u32:0 ram eof", QEMU_TAKES, 0,
		  "", "" },
		{ "a zero byte behind our own name", 0, "magic u8:7 u32:9 t:ramsync~x ram eof",
		  QEMU_REFUSES, -EINVAL, "machine name contains a zero byte", "" },
		{ "a name of 256 bytes", 0, "magic u8:7 u32:100 fill:256*41 ram eof", QEMU_REFUSES,
		  -EINVAL, "machine name of 256 bytes", "" },
		{ "a name of 4 GiB", 0, "magic u8:7 u32:ffffffff t:pc", QEMU_REFUSES, -EINVAL,
		  "machine name of 4294967295 bytes", "" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

#define PAGE_BITS "u8:5 s:configuration/target-page-bits u32:1 "
#define CAPABILITIES "u8:5 s:configuration/capabilities u32:1 "
#define UUID "u8:5 s:configuration/uuid u32:1 "

static void subsections(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "page bits", 0, "qemu " PAGE_BITS "u32:c ram eof", QEMU_TAKES, 0, "", "" },
		{ "other page bits", 0, "qemu " PAGE_BITS "u32:10 ram eof", QEMU_REFUSES, -EINVAL,
		  "pages of 2^16 bytes in the stream, of 2^12 here", "" },
		{ "the same uuid", ODD_UUID, "qemu " UUID "fill:16*ab ram eof", QEMU_TAKES, 0, "",
		  "" },
		{ "another uuid", ODD_UUID, "qemu " UUID "fill:15*ab u8:ac ram eof", QEMU_REFUSES,
		  -EINVAL,
		  "of the machine abababab-abab-abab-abab-abababababac, and this one is abababab-",
		  "" },
		{ "no uuid, and there is one here", ODD_UUID, "qemu ram eof", QEMU_TAKES, 0, "",
		  "" },
		{ "uuid, and there is none here", 0, "qemu " UUID "fill:16*ab ram eof", QEMU_TAKES,
		  0, "", "" },
		{ "uuid cut off", 0, "qemu " UUID "fill:9*ab", QEMU_REFUSES, -ENODATA, "ended",
		  "" },
		{ "all, in their order", 0,
		  "qemu " PAGE_BITS "u32:c " CAPABILITIES "u32:0 " UUID "fill:16*ab ram eof",
		  QEMU_TAKES, 0, "", "" },
		{ "in another order", 0, "qemu " UUID "fill:16*ab " PAGE_BITS "u32:c ram eof",
		  QEMU_TAKES, 0, "", "" },
		{ "unknown", 0, "qemu u8:5 s:configuration/new u32:1 ram eof", QEMU_REFUSES,
		  -EINVAL, "unknown subsection configuration/new", "" },
		{ "version 2", 0, "qemu u8:5 s:configuration/uuid u32:2 fill:16*ab ram eof",
		  QEMU_REFUSES, -EINVAL, "configuration/uuid: version 2 instead of 1", "" },
		{ "no name", 0, "qemu u8:5 s: u32:1 ram eof", QEMU_REFUSES, -EINVAL,
		  "subsection is empty", "" },
		{ "a zero byte in the name", 0, "qemu u8:5 s:a~ u32:1 ram eof", QEMU_REFUSES,
		  -EINVAL, "subsection is empty or contains a zero byte", "" },
		{ "nothing behind", 0, "qemu", QEMU_REFUSES, -ENODATA, "ended", "" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

static void capabilities(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "of QEMU's that no QEMU lists", 0,
		  "qemu " CAPABILITIES "u32:2 s:xbzrle s:events ram eof", QEMU_TAKES, -EOPNOTSUPP,
		  "the stream has the capability xbzrle, which is not supported",
		  "only what a reader must have is listed" },
		{ "one that nobody knows", 0, "qemu " CAPABILITIES "u32:1 s:new ram eof",
		  QEMU_REFUSES, -EOPNOTSUPP, "the stream has the capability new", "" },
		{ "x-ignore-shared only there", 0,
		  "qemu " CAPABILITIES "u32:1 s:x-ignore-shared ram eof", QEMU_REFUSES, -EINVAL,
		  "x-ignore-shared is on in the stream and off here", "" },
		{ "x-ignore-shared only here", ODD_IGNORE_SHARED, "qemu ram eof", QEMU_REFUSES,
		  -EINVAL, "x-ignore-shared is off in the stream and on here", "" },
		{ "an empty list", ODD_IGNORE_SHARED, "qemu " CAPABILITIES "u32:0 ram eof",
		  QEMU_REFUSES, -EINVAL, "x-ignore-shared is off in the stream and on here", "" },
		{ "mapped-ram", 0, "qemu " CAPABILITIES "u32:1 s:mapped-ram ram eof", QEMU_REFUSES,
		  -EOPNOTSUPP, "mapped-ram", "" },
		{ "65 of them", 0, "qemu " CAPABILITIES "u32:41 fill:130*1 ram eof", QEMU_REFUSES,
		  -EINVAL, "list of 65 capabilities", "" },
		{ "without end", 0, "qemu " CAPABILITIES "u32:ffffffff s:a", QEMU_REFUSES, -EINVAL,
		  "list of 4294967295 capabilities", "" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

static void starts(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "any id will do", 0,
		  "qemu u8:1 u32:ffffffff s:ram u32:0 u32:4 list pages-a pages-b eos u8:7e "
		  "u32:ffffffff "
		  "u8:3 u32:ffffffff eos u8:7e u32:ffffffff eof",
		  QEMU_TAKES, 0, "", "" },
		{ "ram twice", 0, "qemu setup setup end eos foot eof", QEMU_TAKES, -EINVAL,
		  "section ram starts twice", "QEMU keeps no account of it; no writer does that" },
		{ "ram in one piece", 0, "qemu u8:4 u32:2 s:ram u32:0 u32:4 list eos foot eof",
		  QEMU_TAKES, -EINVAL, "section ram comes in one piece",
		  "QEMU tells START and FULL apart nowhere; no writer does that" },
		{ "instance 1", 0, "qemu u8:1 u32:2 s:ram u32:1 u32:4 list eos foot eof",
		  QEMU_REFUSES, -EINVAL, "instance 1 instead of 0", "" },
		{ "version 3", 0, "qemu u8:1 u32:2 s:ram u32:0 u32:3 list eos foot eof",
		  QEMU_REFUSES, -EINVAL, "section ram: version 3 instead of 4", "" },
		{ "version 5", 0, "qemu u8:1 u32:2 s:ram u32:0 u32:5 list eos foot eof",
		  QEMU_REFUSES, -EINVAL, "section ram: version 5 instead of 4", "" },
		{ "no name", 0, "qemu u8:1 u32:2 s: u32:0 u32:4", QEMU_REFUSES, -EINVAL,
		  "section is empty", "" },
		{ "a zero byte in the name", 0,
		  "qemu u8:1 u32:2 s:ram~ u32:0 u32:4 list eos foot end eos foot eof", QEMU_TAKES,
		  -EINVAL, "section is empty or contains a zero byte",
		  "two spellings of one name" },
		{ "another that has parts", 0,
		  "qemu u8:1 u32:1 s:dirty-bitmap u32:0 u32:1 u8:1 u8:7e u32:1 ram eof", QEMU_TAKES,
		  -EOPNOTSUPP, "section dirty-bitmap comes in several parts",
		  "it belongs to disks; nothing here knows where it ends" },
		{ "a device's before RAM", 0, "qemu qemu-device ram eof", QEMU_TAKES, -EOPNOTSUPP,
		  "device section cpu comes before RAM",
		  "only its device could say where it ends" },
		{ "a device's between parts of RAM", 0,
		  "qemu setup qemu-device end zero-a eos foot eof", QEMU_TAKES, 0, "a0:0", "" },
		{ "a device's behind RAM", 0, "qemu ram qemu-device eof", QEMU_TAKES, 0, "a0:0",
		  "" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

static void parts_and_footers(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "a part before the start", 0, "qemu part eos foot eof", QEMU_REFUSES, -EINVAL,
		  "part of section 2, which is not open", "" },
		{ "an end before the start", 0, "qemu end eos foot eof", QEMU_REFUSES, -EINVAL,
		  "part of section 2, which is not open", "" },
		{ "a part of an unknown section", 0, "qemu setup u8:2 u32:9 eos", QEMU_REFUSES,
		  -EINVAL, "part of section 9, which is not open", "" },
		{ "a part behind the end", ODD_LAX_TAKES,
		  "qemu setup end eos foot part page-a eos foot end eos foot eof", QEMU_TAKES,
		  -EINVAL, "part of section 2, which is not open | a0:5a",
		  "QEMU keeps no account of it; no writer does that" },
		{ "no footer", 0, "qemu start list eos end eos foot eof", QEMU_REFUSES, -EINVAL,
		  "0x03 stands where its footer should", "" },
		{ "another one's footer", 0, "qemu start list eos u8:7e u32:3 end eos foot eof",
		  QEMU_REFUSES, -EINVAL, "section ram (2): its footer says 3", "" },
		{ "a footer by itself", 0, "qemu setup foot", QEMU_REFUSES, -EINVAL,
		  "0x7e begins no record", "" },
		{ "a subsection", 0, "qemu setup u8:5 s:x", QEMU_REFUSES, -EINVAL,
		  "0x05 begins no record", "" },
		{ "the description before the end", 0, "qemu setup u8:6 u32:2 t:{}", QEMU_REFUSES,
		  -EINVAL, "0x06 begins no record", "" },
		{ "a second configuration", 0, "qemu setup u8:7 u32:0", QEMU_REFUSES, -EINVAL,
		  "0x07 begins no record", "" },
		{ "rubbish", 0, "qemu setup u8:ff", QEMU_REFUSES, -EINVAL, "0xff begins no record",
		  "" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

static void endings(void **unused)
{
	static const struct odd_stream rows[] = {
		{ "no RAM", 0, "qemu eof", QEMU_TAKES, -EINVAL, "the stream holds no RAM",
		  "QEMU asks for none; it is what this is for" },
		{ "no end of RAM, no devices", ODD_LAX_TAKES, "qemu setup part zero-a eos foot eof",
		  QEMU_TAKES, -EINVAL, "the end of RAM is missing | a0:0",
		  "nothing tells it from a stream that broke off" },
		{ "no end of RAM, devices: a background snapshot", 0,
		  "qemu setup part zero-a eos foot qemu-device eof", QEMU_TAKES, 0, "a0:0", "" },
		{ "no end mark", 0, "qemu ram", QEMU_REFUSES, -ENODATA, "ended", "" },
		{ "a description", 0, "qemu ram qemu-device eof u8:6 u32:2 t:{}", QEMU_TAKES, 0, "",
		  "" },
		{ "half a description", 0, "qemu ram qemu-device eof u8:6 u32:3 t:{}", QEMU_TAKES,
		  0, "", "" },
		{ "less than a description", 0, "qemu ram qemu-device eof u8:6 u16:0", QEMU_TAKES,
		  0, "", "" },
		{ "no description, and it alone tells where devices end",
		  ODD_OPAQUE | ODD_LAX_TAKES, "qemu ram qemu-device eof", QEMU_TAKES, -ENODATA,
		  "no description of the devices tells that they are whole | a0:0",
		  "a stream that broke off may look like that" },
		{ "something else behind the end", 0, "qemu ram eof t:another-stream", QEMU_TAKES,
		  0, "", "" },
		/* A source that waits for an answer has failed, too, if it could not write all. */
		{ "a description, and an answer is due", ODD_TWO_WAY,
		  "qemu u8:8 u16:1 u16:0 ram qemu-device eof u8:6 u32:2 t:{}", QEMU_TAKES, 0, "",
		  "" },
		{ "half a description, and an answer is due", ODD_TWO_WAY,
		  "qemu u8:8 u16:1 u16:0 ram qemu-device eof u8:6 u32:3 t:{}", QEMU_TAKES, -ENODATA,
		  "ended", "a source that could not write it all has failed, and runs the guest" },
	};
	(void)unused;
	RUN_ODD_STREAMS(rows);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(header),      cmocka_unit_test(machine),
		cmocka_unit_test(subsections), cmocka_unit_test(capabilities),
		cmocka_unit_test(starts),      cmocka_unit_test(parts_and_footers),
		cmocka_unit_test(endings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
