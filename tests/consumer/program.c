/* SPDX-License-Identifier: MIT */
/*
 * A user of the installed library, valid as C and as C++: is it the version that the headers are
 * of, and does something that allocates, writes, reads and fails work?
 */
#include <ramsync/ramsync.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
	struct rs_state *state = NULL;
	struct rs_stream *stream = NULL;
	struct rs_error error;
	char version[32], value[32];
	const void *data = NULL;
	int ok;

	snprintf(version, sizeof(version), "%d.%d.%d", RS_VERSION_MAJOR, RS_VERSION_MINOR,
		 RS_VERSION_PATCH);
	ok = strcmp(version, rs_version_text()) == 0;

	ok = ok && rs_state_create(NULL, &state) == 0 && rs_state_page_bytes(state) == 4096;
	ok = ok && rs_param_set(state, "downtime-limit", "42") == 0;
	ok = ok && rs_param_get(state, "downtime-limit", value, sizeof(value)) == 2;
	ok = ok && strcmp(value, "42") == 0;
	ok = ok && rs_param_set(state, "no-such-parameter", "1") < 0;
	ok = ok && rs_error_get(state, RS_ERROR_OF_CALL, &error) < 0 && error.text[0] != '\0';

	ok = ok && rs_stream_to_memory(4096, &stream) == 0;
	if (ok) {
		rs_stream_put_be32(stream, 0x51454d55);
		ok = rs_stream_memory(stream, &data) == 4 && memcmp(data, "QEMU", 4) == 0;
	}
	rs_stream_close(stream, NULL);
	rs_state_destroy(state);
	printf("%s %s\n", version, ok ? "ok" : "FAILED");
	return !ok;
}
