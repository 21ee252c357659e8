/* SPDX-License-Identifier: MIT */
/*
 * A digest to tell by accident different memory apart, at the speed of the memory. It is no
 * cryptographic hash: who wants to can make two memories with the same digest.
 *
 * The digest of a memory is the sum of those of its pages, each mixed with its place, and a page of
 * zeros adds nothing. So memory that was never populated need not be touched, and the order in
 * which the pages are visited is free.
 */
#ifndef EXAMPLES_DIGEST_H
#define EXAMPLES_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define DIGEST_PAGE_BYTES 4096u

/* Digest of @words 64-bit words; 0 if all of them are 0. Any change of one word changes it. */
uint64_t digest_words(const void *data, size_t words);

/* Digest of a region's name, to be the @place of its pages. */
uint64_t digest_name(const char *name);

/*
 * Sum of the digests of the pages in [@data, @data + @bytes), the first of which is page @index of
 * the region called @place. @bytes is a multiple of the digest's page.
 */
uint64_t digest_pages(const void *data, size_t bytes, uint64_t place, uint64_t index);

#endif
