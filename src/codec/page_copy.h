/* SPDX-License-Identifier: MIT */
/*
 * Copying pages to where nobody will look soon. A plain copy reads each line of the destination
 * into the cache only to overwrite it; stores that go past the cache do not, and take about half
 * the time (measured: 8 KiB out of a hot buffer into cold memory, 5.5 and 11 GB/s).
 */
#ifndef RS_CODEC_PAGE_COPY_H
#define RS_CODEC_PAGE_COPY_H

#include <stddef.h>

/*
 * As memcpy(), for any alignment and length. Fast for long copies out of memory that is cached into
 * memory that is not. What is copied is visible to other threads as it would be after memcpy().
 */
void rs_page_copy(void *to, const void *from, size_t bytes);

#endif
