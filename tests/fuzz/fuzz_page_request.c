/* SPDX-License-Identifier: MIT */
/*
 * Requests for pages: what is accepted has an end and is written again as it was.
 *
 * Input: a byte, odd if there is a name; then the payload.
 */
#include "fuzz/exactly.h"
#include "wire/postcopy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	if (bytes == 0)
		return 0;
	bool with_name = (data[0] & 1) != 0;
	uint8_t *copy = exactly(data + 1, bytes - 1), written[RS_PAGE_REQUEST_MAX_BYTES];
	struct rs_page_request request;
	struct rs_error error = { 0 };
	int result = rs_page_request_parse(with_name, copy, bytes - 1, &request, &error);

	CHECK(error.code == result && (result == 0 || error.text[0] != '\0'));
	if (result == 0) {
		CHECK((request.name != NULL) == with_name);
		CHECK((request.name_bytes > 0) == with_name);
		CHECK(request.start + request.bytes >= request.start);
		CHECK(rs_page_request_write(written, &request) == bytes - 1);
		CHECK(memcmp(written, data + 1, bytes - 1) == 0);
	}
	free(copy);
	return 0;
}
