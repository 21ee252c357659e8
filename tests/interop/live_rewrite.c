/* SPDX-License-Identifier: MIT */
#include "interop/live_rewrite.h"

#include "save/save.h"
#include "support/test_random.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_BYTES 4096u
#define ROUNDS 40u
#define WRITES 100u    /* in each round, at least */
#define HOT_PAGES 600u /* that are written, some way apart */

/* The guest's part: a thread that writes the largest region, and what it was before. */
struct guest {
	struct rs_region *region;
	uint8_t *memory;
	uint8_t *before;
	uint64_t bytes;
	struct test_random random;
	pthread_t thread;
	_Atomic uint64_t writes;
	_Atomic bool over;
};

/* A few bytes; every other one, which is too much for a delta; or zero and back. */
static void write_page(struct guest *guest, uint64_t offset)
{
	uint8_t *page = guest->memory + offset;
	uint64_t dice = test_random_below(&guest->random, 8);

	if (dice == 0)
		memset(page, 0, PAGE_BYTES);
	else if (dice == 1)
		memcpy(page, guest->before + offset, PAGE_BYTES);
	for (unsigned i = 0; dice == 2 && i < PAGE_BYTES; i += 2)
		page[i] ^= 0x5a;
	for (unsigned i = 0; dice > 2 && i < dice; i++)
		page[test_random_below(&guest->random, PAGE_BYTES)]++;
	rs_dirty_mark(guest->region, offset, PAGE_BYTES);
}

static void *guest_main(void *argument)
{
	struct guest *guest = argument;
	uint64_t apart = guest->bytes / HOT_PAGES / PAGE_BYTES * PAGE_BYTES;

	while (!atomic_load(&guest->over)) {
		write_page(guest, test_random_below(&guest->random, HOT_PAGES) * apart);
		atomic_fetch_add(&guest->writes, 1);
	}
	return NULL;
}

static int guest_start(struct guest *guest, const struct regions *regions)
{
	for (int i = 0; i < regions->count; i++) {
		uint64_t bytes = rs_region_used_bytes(regions->list[i]);

		if (bytes <= guest->bytes)
			continue;
		guest->region = regions->list[i];
		guest->bytes = bytes;
	}
	if (guest->bytes < HOT_PAGES * PAGE_BYTES)
		return -EINVAL;
	guest->memory = rs_region_host(guest->region);
	guest->before = malloc(guest->bytes);
	if (guest->before == NULL)
		return -ENOMEM;
	memcpy(guest->before, guest->memory, guest->bytes);
	return -pthread_create(&guest->thread, NULL, guest_main, guest);
}

static void let_write(struct guest *guest)
{
	uint64_t goal = atomic_load(&guest->writes) + WRITES;

	while (atomic_load(&guest->writes) < goal)
		sched_yield();
}

/* It stands still, with the memory that the device state belongs to. */
static void guest_stop(struct guest *guest)
{
	atomic_store(&guest->over, true);
	pthread_join(guest->thread, NULL);
	for (uint64_t offset = 0; offset < guest->bytes; offset += PAGE_BYTES) {
		if (memcmp(guest->memory + offset, guest->before + offset, PAGE_BYTES) == 0)
			continue;
		memcpy(guest->memory + offset, guest->before + offset, PAGE_BYTES);
		rs_dirty_mark(guest->region, offset, PAGE_BYTES);
	}
	free(guest->before);
}

static uint64_t count_zero_copies(const struct rs_page_cache *cache)
{
	static const uint8_t zeros[PAGE_BYTES];
	uint64_t count = 0;

	for (uint64_t slot = 0; slot < cache->max_num_items; slot++)
		count += cache->items[slot].age != 0 &&
			 memcmp(cache->data + slot * PAGE_BYTES, zeros, PAGE_BYTES) == 0;
	return count;
}

static int put_rounds(struct writer *writer, struct guest *guest)
{
	int result = 0;

	for (unsigned round = 0; result >= 0 && round < ROUNDS; round++) {
		let_write(guest);
		result = rs_save_pending(writer->state, RS_PENDING_EXACT, NULL, NULL);
		if (result == 0)
			result = put_body(writer, 0x02, rs_save_iterate);
	}
	return result < 0 ? result : 0;
}

int put_live_ram(struct writer *writer)
{
	struct guest guest = { .random = { 1 } };
	int result = rs_param_set(writer->state, "xbzrle", "on");

	if (result == 0)
		result = rs_param_set(writer->state, "max-bandwidth", "0");
	if (result == 0)
		result = guest_start(&guest, writer->regions);
	if (result != 0)
		return result;
	result = put_body(writer, 0x01, rs_save_setup);
	if (result == 0)
		result = put_rounds(writer, &guest);
	guest_stop(&guest);
	if (result == 0)
		writer->zero_copies = count_zero_copies(&writer->state->save->deltas.cache);
	if (result == 0)
		result = put_body(writer, 0x03, rs_save_complete);
	rs_save_cleanup(writer->state);
	return result;
}
