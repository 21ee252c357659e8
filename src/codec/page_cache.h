/* SPDX-License-Identifier: MIT */
/*
 * The cache of pages as they were sent, from which XBZRLE makes its deltas. Direct mapped: a page
 * has one slot, by its address. A page that was seen in the present generation (a dirty sync begins
 * one) or in the one before keeps its slot: otherwise two hot pages of one slot would push each other
 * out for ever, and neither would ever be found.
 */
#ifndef RS_CODEC_PAGE_CACHE_H
#define RS_CODEC_PAGE_CACHE_H

#include <stddef.h>
#include <stdint.h>

struct rs_page_cache_item {
	uint64_t address; /* of the page in all of RAM */
	uint64_t age;     /* generation in which it was last seen; 0: empty */
};

struct rs_page_cache {
	size_t page_bytes;
	uint64_t max_num_items;
	uint64_t num_items;
	struct rs_page_cache_item *items; /* NULL: there is no cache */
	uint8_t *data;                    /* a page for each item */
};

/*
 * bytes and page_bytes are powers of two, bytes not the smaller one. All memory is reserved at once and
 * taken as it is used. 0, -EINVAL or -ENOMEM.
 */
int rs_page_cache_init(struct rs_page_cache *cache, uint64_t bytes, size_t page_bytes);

/* All memory goes. Also for a cache that is all zero. */
void rs_page_cache_fini(struct rs_page_cache *cache);

/* Generations are 1 or more. The copy of a page, which is of this generation now; NULL if there is
 * none. */
uint8_t *rs_page_cache_find(struct rs_page_cache *cache, uint64_t address, uint64_t generation);

/*
 * Room for a copy, which the caller fills; what the slot held is forgotten. NULL if it holds
 * another page that is younger than two generations.
 */
uint8_t *rs_page_cache_insert(struct rs_page_cache *cache, uint64_t address, uint64_t generation);

#endif
