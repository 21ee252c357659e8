/* SPDX-License-Identifier: MIT */
#include "codec/page_cache.h"

#include "base/checked.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

/* Generations for which a page keeps its slot. */
#define LIFETIME 2u

/* Pages that are never written take no memory, and all of them go with one call. */
static uint8_t *reserve(uint64_t bytes)
{
	void *data = bytes <= SIZE_MAX ? mmap(NULL, bytes, PROT_READ | PROT_WRITE,
					      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
				       : MAP_FAILED;

	return data != MAP_FAILED ? data : NULL;
}

int rs_page_cache_init(struct rs_page_cache *cache, uint64_t bytes, size_t page_bytes)
{
	if (!rs_is_power_of_two(bytes) || !rs_is_power_of_two(page_bytes) || bytes < page_bytes)
		return -EINVAL;
	*cache = (struct rs_page_cache){
		.page_bytes = page_bytes,
		.max_num_items = bytes / page_bytes,
	};
	cache->data = reserve(bytes);
	/* The smaller part, and not if the larger one cannot be had. */
	if (cache->data != NULL && cache->max_num_items <= SIZE_MAX)
		cache->items = calloc((size_t)cache->max_num_items, sizeof(*cache->items));
	if (cache->items == NULL || cache->data == NULL) {
		rs_page_cache_fini(cache);
		return -ENOMEM;
	}
	return 0;
}

void rs_page_cache_fini(struct rs_page_cache *cache)
{
	free(cache->items);
	if (cache->data != NULL)
		munmap(cache->data, cache->max_num_items * cache->page_bytes);
	*cache = (struct rs_page_cache){ .items = NULL };
}

static uint64_t slot_of(const struct rs_page_cache *cache, uint64_t address)
{
	return address / cache->page_bytes & (cache->max_num_items - 1);
}

uint8_t *rs_page_cache_find(struct rs_page_cache *cache, uint64_t address, uint64_t generation)
{
	uint64_t slot = slot_of(cache, address);
	struct rs_page_cache_item *item = &cache->items[slot];

	if (item->age == 0 || item->address != address)
		return NULL;
	item->age = generation;
	return cache->data + slot * cache->page_bytes;
}

uint8_t *rs_page_cache_insert(struct rs_page_cache *cache, uint64_t address, uint64_t generation)
{
	uint64_t slot = slot_of(cache, address);
	struct rs_page_cache_item *item = &cache->items[slot];

	if (item->age == 0)
		cache->num_items++;
	else if (item->address != address && item->age + LIFETIME > generation)
		return NULL;
	*item = (struct rs_page_cache_item){ address, generation };
	return cache->data + slot * cache->page_bytes;
}
