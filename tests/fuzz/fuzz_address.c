/* SPDX-License-Identifier: MIT */
/* Addresses: refused with a text, or taken apart so that they can be put together again. */
#include "fuzz/check.h"
#include "transport/address.h"

#include <errno.h>
#include <string.h>

static void check_tcp(const struct rs_address *address)
{
	char text[RS_ADDRESS_HOST_BYTES + 32];
	struct rs_address again;
	int brackets = address->rest[0] == '[';
	unsigned long port = strtoul(address->port, NULL, 10);

	CHECK(strlen(address->host) < RS_ADDRESS_HOST_BYTES);
	CHECK(port <= 65535);
	CHECK(strspn(address->port, "0123456789") == strlen(address->port));
	CHECK(brackets || strchr(address->host, ':') == NULL);
	snprintf(text, sizeof(text), brackets ? "tcp:[%s]:%lu" : "tcp:%s:%lu", address->host, port);
	CHECK(rs_address_parse(text, &again, NULL) == 0);
	CHECK(strcmp(again.host, address->host) == 0 && strcmp(again.port, address->port) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct rs_error error = { 0 };
	struct rs_address address;
	char *text = strndup((const char *)data, bytes);

	CHECK(text != NULL);
	if (rs_address_parse(text, &address, &error) != 0) {
		CHECK(error.code == -EINVAL && error.text[0] != '\0');
		CHECK(strlen(error.text) < sizeof(error.text));
	} else {
		CHECK(error.code == 0);
		CHECK(address.rest > text && address.rest[-1] == ':');
		if (address.kind == RS_ADDRESS_TCP)
			check_tcp(&address);
		if (address.kind == RS_ADDRESS_FD)
			CHECK(address.fd >= 0);
		else
			CHECK(address.fd == -1);
	}
	free(text);
	return 0;
}
