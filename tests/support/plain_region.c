/* SPDX-License-Identifier: MIT */
#include "support/plain_region.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

uint8_t *plain_memory_map(uint64_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	return memory;
}

void plain_memory_unmap(uint8_t *memory, uint64_t bytes)
{
	assert_int_equal(munmap(memory, bytes), 0);
}

struct rs_region *plain_region_add(struct rs_state *state, const char *name, void *memory,
				   uint64_t bytes, uint32_t flags)
{
	const struct rs_region_config config = {
		.size = sizeof(config),
		.name = name,
		.host = memory,
		.used_bytes = bytes,
		.flags = flags,
	};
	struct rs_region *region = NULL;

	assert_int_equal(rs_region_add(state, &config, &region), 0);
	assert_non_null(region);
	return region;
}

struct rs_state *plain_state(uint32_t page_bytes)
{
	const struct rs_state_config config = { sizeof(config), page_bytes };
	struct rs_state *state = NULL;

	assert_int_equal(rs_state_create(&config, &state), 0);
	return state;
}

const char *plain_error_text(const struct rs_state *state, enum rs_error_source source)
{
	static _Thread_local struct rs_error error;

	rs_error_get(state, source, &error);
	return error.text;
}

void plain_error_check(const struct rs_state *state, enum rs_error_source source, const char *text)
{
	const char *error = plain_error_text(state, source);

	if (strstr(error, text) == NULL)
		fail_msg("'%s' is not in '%s'", text, error);
}
