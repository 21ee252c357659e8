/* SPDX-License-Identifier: MIT */
/* Memory of exactly the length that somebody is given, so that a sanitizer sees who goes beyond. */
#ifndef RS_FUZZ_EXACTLY_H
#define RS_FUZZ_EXACTLY_H

#include "fuzz/check.h"

#include <stdint.h>
#include <string.h>

/* To be freed. With these bytes in it; data may be NULL, and then with any. */
static inline uint8_t *exactly(const uint8_t *data, size_t bytes)
{
	uint8_t *copy = malloc(bytes + !bytes);

	CHECK(copy != NULL);
	if (data != NULL)
		memcpy(copy, data, bytes);
	else
		memset(copy, 0x5a, bytes);
	return copy;
}

#endif
