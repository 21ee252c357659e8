/* SPDX-License-Identifier: MIT */
/* What an observer hears of a stream, and what can be learnt of one before it is read. */
#include "support/plain_region.h"
#include "support/scripted_peer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define HEADER "t:QEVM 32:3 8:7 32:2 t:pc "
#define DEVICE "8:4 32:3 s:dev 32:0 32:1 64:1122334455667788 8:7e 32:3 "
#define END "8:0 8:6 32:2 t:{} "

static struct scripted_peer peer;
static char heard[8192];
static int announced_code;

static void hear(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void hear(const char *format, ...)
{
	size_t length = strlen(heard);
	va_list args;

	va_start(args, format);
	vsnprintf(heard + length, sizeof(heard) - length, format, args);
	va_end(args);
}

static void observe(void *opaque, const struct rs_observation *seen)
{
	static const char *const names[] = {
		[RS_OBSERVED_HEADER] = "header",   [RS_OBSERVED_FEATURE] = "feature",
		[RS_OBSERVED_COMMAND] = "command", [RS_OBSERVED_SECTION] = "section",
		[RS_OBSERVED_SECTION_END] = "end", [RS_OBSERVED_REGION] = "region",
		[RS_OBSERVED_RECORD] = "record",   [RS_OBSERVED_OPAQUE] = "opaque",
		[RS_OBSERVED_END] = "mark",        [RS_OBSERVED_FAILURE] = "failure",
	};

	(void)opaque;
	assert_int_equal(seen->size, sizeof(*seen));
	hear("%llu+%llu %s", (unsigned long long)seen->offset,
	     (unsigned long long)seen->stream_bytes, names[seen->type]);
	if (seen->type == RS_OBSERVED_RECORD)
		hear(" %s", rs_record_kind_name((enum rs_record_kind)seen->number));
	else
		hear(" %x", seen->number);
	hear(" %u.%u.%u '%s' %llx+%llx\n", seen->id, seen->instance, seen->version, seen->name,
	     (unsigned long long)seen->address, (unsigned long long)seen->bytes);
}

static int announced(void *opaque, const char *name, uint64_t used_bytes)
{
	(void)opaque;
	(void)name;
	(void)used_bytes;
	return announced_code;
}

static int load_opaque(void *opaque, const void *data, size_t bytes)
{
	(void)opaque;
	(void)data;
	(void)bytes;
	return 0;
}

static int setup(void **state)
{
	(void)state;
	heard[0] = '\0';
	scripted_peer_open(&peer);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	scripted_peer_close(&peer);
	return 0;
}

static int load(const char *text, bool opaque)
{
	static uint8_t data[65536];
	struct rs_vm_ops ops = journal_vm_ops;
	struct rs_stream *stream;

	ops.observe = observe;
	ops.region_announced = announced;
	if (opaque)
		ops.load_opaque = load_opaque;
	heard[0] = '\0';
	assert_int_equal(rs_stream_from_memory(data, assemble(data, sizeof(data), text), &stream),
			 0);
	int result = rs_migrate_in(peer.state, stream, &ops, &peer.vm);

	rs_stream_close(stream, NULL);
	return result;
}

static void all_of_a_stream(void **state)
{
	(void)state;
	assert_int_equal(
	    load(HEADER "8:8 16:b 16:0 " PEER_SETUP PEER_PART PEER_END DEVICE END, true), 0);
	assert_string_equal(heard, "0+15 header 0 0.0.0 'pc' 0+0\n"
				   "15+5 command b 0.0.0 'SWITCHOVER_START' 0+0\n"
				   "20+0 section 1 2.0.4 'ram' 0+0\n"
				   "37+8 record list 0.0.0 '' 0+2000\n"
				   "45+10 region 0 0.0.0 'r' 0+2000\n"
				   "55+8 record end 0.0.0 '' 0+0\n"
				   "20+48 end 1 2.0.4 'ram' 0+0\n"
				   "68+0 section 2 2.0.4 'ram' 0+0\n"
				   "73+11 record zero 0.0.0 'r' 0+1000\n"
				   "84+4104 record page 0.0.0 'r' 1000+1000\n"
				   "4188+8 record end 0.0.0 '' 0+0\n"
				   "68+4133 end 2 2.0.4 'ram' 0+0\n"
				   "4201+0 section 3 2.0.4 'ram' 0+0\n"
				   "4206+8 record end 0.0.0 '' 0+0\n"
				   "4201+18 end 3 2.0.4 'ram' 0+0\n"
				   "4219+0 opaque 0 0.0.0 '' 0+0\n"
				   "4249+8 mark 0 0.0.0 '' 0+0\n");
}

static void device_by_device(void **state)
{
	(void)state;
	peer.vm.device_bytes = 8;
	assert_int_equal(load(HEADER PEER_SETUP PEER_PART PEER_END DEVICE END, false), 0);
	assert_non_null(strstr(heard, "4214+0 section 4 3.0.1 'dev' 0+0\n"
				      "4214+30 end 4 3.0.1 'dev' 0+0\n"
				      "4244+1 mark 0 0.0.0 '' 0+0\n"));
}

static void the_native_form(void **state)
{
	(void)state;
	assert_int_equal(load(PEER_HEADER PEER_OFFER
			      "16:38 16:1 16:18 s:session 64:1 64:2 16:2 16:5 s:runs "
			      "16:3 16:f s:device-lengths " PEER_SETUP
			      "8:3 32:2 64:6 s:r 64:2000 64:10 8:7e 32:2 8:0",
			      false),
			 0);
	assert_non_null(strstr(heard, "0+20 header 0 0.0.0 'ramsync' 0+0\n"
				      "20+61 command 5253 0.0.0 'OFFER' 0+0\n"
				      "20+61 feature 5253 0.0.0 'session' 0+0\n"
				      "20+61 feature 5253 0.0.0 'runs' 0+0\n"
				      "20+61 feature 5253 0.0.0 'device-lengths' 0+0\n"
				      "81+0 section 1 2.0.4 'ram' 0+0\n"));
	assert_non_null(strstr(heard, "record zero-run 0.0.0 'r' 0+2000\n"));
}

/* The place is that of the record which cannot be read, whatever it is part of. */
static void where_it_fails(void **state)
{
	static const struct {
		const char *stream;
		int code;
		const char *text;
	} cases[] = {
		{ "t:QEVN 32:3", -EINVAL, "0+0 failure" },
		{ HEADER "8:9 32:0", -EINVAL, "15+0 failure" },
		{ HEADER PEER_SETUP "8:9", -EINVAL, "63+0 failure" },
		{ HEADER PEER_SETUP "8:2 32:2 64:1", -EINVAL, "68+0 failure" },
		{ HEADER PEER_SETUP "8:2 32:2 64:2 s:r 8:0 64:102a", -EINVAL, "79+0 failure" },
		{ HEADER PEER_SETUP "8:2 32:2 64:2 s:q 8:0 64:10", -EINVAL, "68+0 failure" },
		{ HEADER PEER_SETUP "8:2 32:2 64:8 s:r z:100", -ENODATA, "68+0 failure" },
		{ HEADER PEER_SETUP "8:2 32:2 64:10 8:7e 32:3", -EINVAL, "76+0 failure" },
		{ HEADER "8:1 32:2 s:ram 32:0 32:4 64:1004 s:x 64:1000", -EPERM, "40+0 failure" },
		{ HEADER PEER_SETUP PEER_END "8:8 16:3 16:0", -EOPNOTSUPP, "81+0 failure" },
		{ HEADER PEER_SETUP, -ENODATA, "63+0 failure" },
	};

	(void)state;
	announced_code = -EPERM;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("%s\n", cases[i].stream);
		assert_int_equal(load(cases[i].stream, false), cases[i].code);
		const char *found = strstr(heard, cases[i].text);

		if (found == NULL)
			fail_msg("%s is not in\n%s", cases[i].text, heard);
		/* It is the last word, and says why. */
		assert_ptr_equal(strchr(found, '\n'), heard + strlen(heard) - 1);
		assert_non_null(strstr(found, plain_error_text(peer.state, RS_ERROR_OF_MIGRATION)));
	}
}

/* The same records through the handlers, which know of nothing else. */
static void through_the_handlers(void **state)
{
	const struct rs_load_ops ops = { .size = sizeof(ops), .observe = observe };
	uint8_t data[256];
	struct rs_stream *stream;

	(void)state;
	assert_int_equal(
	    rs_stream_from_memory(
		data, assemble(data, sizeof(data), "64:2004 s:r 64:2000 64:2 s:r 8:0 64:200 64:10"),
		&stream),
	    0);
	assert_int_equal(rs_load_setup(peer.state, &ops, NULL), 0);
	assert_int_equal(rs_load(peer.state, stream, RS_RAM_SECTION_VERSION), 0);
	rs_load_cleanup(peer.state);
	rs_stream_close(stream, NULL);
	assert_string_equal(heard, "0+8 record list 0.0.0 '' 0+2000\n"
				   "8+10 region 0 0.0.0 'r' 0+2000\n"
				   "18+11 record zero 0.0.0 'r' 0+1000\n"
				   "29+8 record flush 0.0.0 '' 0+0\n"
				   "37+8 record end 0.0.0 '' 0+0\n");
}

/* ---- the header alone ---------------------------------------------------------------------- */

static int peek(const char *text, struct rs_stream_header *header, struct rs_error *error)
{
	static uint8_t data[32768];
	struct rs_stream *stream;

	memset(error, 0, sizeof(*error));
	assert_int_equal(rs_stream_from_memory(data, assemble(data, sizeof(data), text), &stream),
			 0);
	int result = rs_stream_peek_header(stream, header, error);

	/* Not a byte was taken. */
	assert_int_equal(rs_stream_bytes_read(stream), 0);
	if (result == 0)
		assert_int_equal(rs_stream_get_u8(stream), 'Q');
	rs_stream_close(stream, NULL);
	return result;
}

static void a_header(void **state)
{
	struct rs_stream_header header = { .size = sizeof(header) };
	struct rs_error error;

	(void)state;
	assert_int_equal(peek(HEADER "8:1", &header, &error), 0);
	assert_int_equal(header.flags, 0);
	assert_int_equal(header.page_bytes, 4096);
	assert_string_equal(header.machine, "pc");
	assert_string_equal(header.uuid, "");
	assert_int_equal(peek(HEADER "8:8 16:1 16:0 8:1", &header, &error), 0);
	assert_int_equal(header.flags, RS_HEADER_RETURN_PATH);
	assert_int_equal(peek(HEADER "8:8 16:2 16:4 32:1", &header, &error), 0);
	assert_int_equal(header.flags, 0);
	assert_int_equal(peek(PEER_HEADER "8:8", &header, &error), 0);
	assert_int_equal(header.flags, RS_HEADER_NATIVE);
	assert_string_equal(header.machine, "");
	assert_int_equal(peek(HEADER "8:5 s:configuration/target-page-bits 32:1 32:10 "
				     "8:5 s:configuration/capabilities 32:1 32:2 "
				     "s:x-ignore-shared s:mapped-ram "
				     "8:5 s:configuration/uuid 32:1 64:1 64:2 8:1",
			      &header, &error),
			 0);
	assert_int_equal(header.flags,
			 RS_HEADER_IGNORE_SHARED | RS_HEADER_MAPPED_RAM | RS_HEADER_UUID);
	assert_int_equal(header.page_bytes, 65536);
	assert_string_equal(header.uuid, "00000000-0000-0001-0000-000000000002");
}

static void no_header(void **state)
{
	static const struct {
		const char *stream;
		int code;
		const char *text;
	} cases[] = {
		{ "", -ENODATA, "ended after 0 bytes, inside its header" },
		{ "t:QEVM 32:3 8:7 32:2 t:pc", -ENODATA, "ended after 15 bytes" },
		{ "t:ELF 32:3 32:0", -EINVAL, "not a migration stream" },
		{ HEADER "8:5 s:configuration/target-page-bits 32:1 32:1f 8:1", -EINVAL,
		  "pages of 2^31 bytes" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rs_stream_header header = { .size = sizeof(header), .page_bytes = 7 };
		struct rs_error error;

		print_message("%s\n", cases[i].text);
		assert_int_equal(peek(cases[i].stream, &header, &error), cases[i].code);
		assert_int_equal(error.code, cases[i].code);
		assert_non_null(strstr(error.text, cases[i].text));
		assert_int_equal(header.page_bytes, 7);
	}
}

/* More than is sure to fit the stream's buffer: 17 capabilities with the longest of names. */
static void a_header_that_is_too_long(void **state)
{
	struct rs_stream_header header = { .size = sizeof(header) };
	char text[8192] = HEADER "8:5 s:configuration/capabilities 32:1 32:11 ";
	struct rs_error error;

	(void)state;
	for (int i = 0; i < 17; i++) {
		size_t length = strlen(text);

		snprintf(text + length, sizeof(text) - length, "8:ff t:%0255d ", i);
	}
	assert_int_equal(peek(text, &header, &error), -EINVAL);
	assert_string_equal(error.text, "the header is longer than 4096 bytes");
}

/* Programs that were built with a shorter one get what they know. */
static void an_older_header(void **state)
{
	struct rs_stream_header header = { .size = offsetof(struct rs_stream_header, machine) };
	struct rs_error error;

	(void)state;
	strcpy(header.machine, "mine");
	assert_int_equal(peek(HEADER "8:1", &header, &error), 0);
	assert_int_equal(header.page_bytes, 4096);
	assert_int_equal(header.size, offsetof(struct rs_stream_header, machine));
	assert_string_equal(header.machine, "mine");
	header.size = 0;
	assert_int_equal(peek(HEADER "8:1", &header, &error), -EINVAL);
}

static void names_of_records(void **state)
{
	(void)state;
	assert_string_equal(rs_record_kind_name(RS_RECORD_PAGE_RUN), "page-run");
	assert_string_equal(rs_record_kind_name((enum rs_record_kind)99), "unknown");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(all_of_a_stream),
		TEST(device_by_device),
		TEST(the_native_form),
		TEST(where_it_fails),
		TEST(through_the_handlers),
		cmocka_unit_test(a_header),
		cmocka_unit_test(no_header),
		cmocka_unit_test(a_header_that_is_too_long),
		cmocka_unit_test(an_older_header),
		cmocka_unit_test(names_of_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
