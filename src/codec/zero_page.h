/* SPDX-License-Identifier: MIT */
/*
 * The zero test. Reads guest memory that may be changing: the answer then holds for some mix of
 * old and new bytes, which is good enough because a page that changes is dirty again.
 * Compiled without ThreadSanitizer's instrumentation for that reason.
 */
#ifndef RS_CODEC_ZERO_PAGE_H
#define RS_CODEC_ZERO_PAGE_H

#include <stdbool.h>
#include <stddef.h>

/* Whether all bytes are 0. data is aligned to 64 bytes, bytes a multiple of 256. */
typedef bool rs_is_zero_function(const void *data, size_t bytes);

/* The fastest version for this processor. */
bool rs_is_zero(const void *data, size_t bytes);

/*
 * Number of leading pages of page_bytes at data that are (want_zero) or are not zero, at most
 * pages: the length of a run. Prefetches across pages, so it beats a loop over rs_is_zero().
 */
size_t rs_zero_run_pages(const void *data, size_t pages, size_t page_bytes, bool want_zero);

/* Every version that this build has and this processor can run, for tests and benchmarks. */
struct rs_is_zero_version {
	const char *name;
	rs_is_zero_function *function;
};
const struct rs_is_zero_version *rs_is_zero_versions(size_t *count);

#endif
