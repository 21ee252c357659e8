/* SPDX-License-Identifier: MIT */
#include "base/versioned.h"

#include <errno.h>
#include <string.h>

int rs_versioned_copy(void *to, size_t to_bytes, const void *from, size_t from_bytes)
{
	const unsigned char *bytes = from;
	size_t known = from_bytes < to_bytes ? from_bytes : to_bytes;
	size_t i;

	if (from_bytes < sizeof(size_t))
		return -EINVAL;
	for (i = to_bytes; i < from_bytes; i++) {
		if (bytes[i] != 0)
			return -EINVAL;
	}
	memcpy(to, from, known);
	memset((unsigned char *)to + known, 0, to_bytes - known);
	return 0;
}
