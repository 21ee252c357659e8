/* SPDX-License-Identifier: MIT */
#include "transport/address.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static const struct {
	const char *text;
	enum rs_address_kind kind;
	const char *host;
	const char *port;
	const char *rest;
	int fd;
} good[] = {
	{ "tcp:localhost:4444", RS_ADDRESS_TCP, "localhost", "4444", NULL, -1 },
	{ "tcp:127.0.0.1:0", RS_ADDRESS_TCP, "127.0.0.1", "0", NULL, -1 },
	{ "tcp::65535", RS_ADDRESS_TCP, "", "65535", NULL, -1 },
	{ "tcp:[::1]:0080", RS_ADDRESS_TCP, "::1", "80", NULL, -1 },
	{ "tcp:[fe80::1%lo]:80", RS_ADDRESS_TCP, "fe80::1%lo", "80", NULL, -1 },
	{ "unix:/tmp/a:b c", RS_ADDRESS_UNIX, "", "", "/tmp/a:b c", -1 },
	{ "unix:x", RS_ADDRESS_UNIX, "", "", "x", -1 },
	{ "fd:0", RS_ADDRESS_FD, "", "", "0", 0 },
	{ "fd:2147483647", RS_ADDRESS_FD, "", "", "2147483647", 2147483647 },
	{ "exec:cat >/dev/null", RS_ADDRESS_EXEC, "", "", "cat >/dev/null", -1 },
	{ "file:/tmp/x", RS_ADDRESS_FILE, "", "", "/tmp/x", -1 },
};

static void good_addresses_are_taken_apart(void **state)
{
	struct rs_address address;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct rs_error error = { 0 };

		assert_int_equal(rs_address_parse(good[i].text, &address, &error), 0);
		assert_int_equal(error.code, 0);
		assert_int_equal(address.kind, good[i].kind);
		assert_string_equal(address.host, good[i].host);
		assert_string_equal(address.port, good[i].port);
		if (good[i].rest != NULL)
			assert_string_equal(address.rest, good[i].rest);
		assert_int_equal(address.fd, good[i].fd);
	}
}

static const struct {
	const char *text;
	const char *why;
} bad[] = {
	{ "", "want tcp:" },
	{ "tcp", "want tcp:" },
	{ "TCP:a:1", "want tcp:" },
	{ " tcp:a:1", "want tcp:" },
	{ "udp:a:1", "want tcp:" },
	{ "/tmp/socket", "want tcp:" },
	{ "tcp:", "want tcp:HOST:PORT" },
	{ "tcp:4444", "want tcp:HOST:PORT" },
	{ "tcp:[::1]", "want tcp:HOST:PORT" },
	{ "tcp:[::1]x:1", "want tcp:HOST:PORT" },
	{ "tcp:[::1:1", "brackets" },
	{ "tcp:[]:1", "brackets" },
	{ "tcp:::1:4444", "belongs in brackets" },
	{ "tcp:a:1:2", "belongs in brackets" },
	{ "tcp:a:", "port" },
	{ "tcp:a:65536", "port" },
	{ "tcp:a:99999999999999999999999", "port" },
	{ "tcp:a:-1", "port" },
	{ "tcp:a:+1", "port" },
	{ "tcp:a: 1", "port" },
	{ "tcp:a:1 ", "port" },
	{ "tcp:a:0x10", "port" },
	{ "tcp:a:http", "port" },
	{ "tcp:a:1,ipv4=on", "port" },
	{ "unix:", "want unix:PATH" },
	{ "fd:", "want fd:NUMBER" },
	{ "fd:x", "want fd:NUMBER" },
	{ "fd:-1", "want fd:NUMBER" },
	{ "fd:2147483648", "want fd:NUMBER" },
	{ "fd:1x", "want fd:NUMBER" },
	{ "exec:", "want exec:COMMAND" },
	{ "file:", "want file:PATH" },
};

static void bad_addresses_are_refused_with_a_reason(void **state)
{
	struct rs_address address;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct rs_error error = { 0 };

		assert_int_equal(rs_address_parse(bad[i].text, &address, &error), -EINVAL);
		assert_int_equal(error.code, -EINVAL);
		assert_non_null(strstr(error.text, bad[i].text));
		if (strstr(error.text, bad[i].why) == NULL)
			fail_msg("\"%s\" does not say \"%s\"", error.text, bad[i].why);
		assert_int_equal(rs_address_parse(bad[i].text, &address, NULL), -EINVAL);
	}
}

static void long_names_are_refused_not_cut(void **state)
{
	char text[600];
	struct rs_address address;

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text, "tcp:", 4);
	memcpy(text + 4 + 255, ":1", 3);
	assert_int_equal(rs_address_parse(text, &address, NULL), 0);
	assert_int_equal(strlen(address.host), 255);
	memcpy(text + 4 + 255, "a:1", 4);
	assert_int_equal(rs_address_parse(text, &address, NULL), -EINVAL);

	memset(text, 'a', sizeof(text));
	memcpy(text, "unix:", 5);
	text[5 + 107] = '\0';
	assert_int_equal(rs_address_parse(text, &address, NULL), 0);
	text[5 + 107] = 'a';
	text[5 + 108] = '\0';
	assert_int_equal(rs_address_parse(text, &address, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_addresses_are_taken_apart),
		cmocka_unit_test(bad_addresses_are_refused_with_a_reason),
		cmocka_unit_test(long_names_are_refused_not_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
