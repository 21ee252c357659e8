/* SPDX-License-Identifier: MIT */
/*
 * The writers. Their stores into the guest's memory are plain, as a guest's are; no two
 * writers share a page.
 */
#include "support/guest.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#define PAGE_WORDS (GUEST_PAGE_BYTES / sizeof(uint64_t))

/* Where writes come from. */
enum path {
	PATH_STORE,  /* stores through the mapping */
	PATH_SYSTEM, /* a system call that writes there */
	PATH_ALIAS,  /* stores through another mapping */
	PATH_FILE,   /* pwrite to the memory's file */
	PATH_DISCARD,
	PATHS,
};

/* ---- a page -------------------------------------------------------------------------------- */

static uint64_t page_mark(uint64_t page, uint64_t number)
{
	return test_mix(page * 0x10001 + number);
}

/* The word that a number writes beside those at fixed places. */
static uint64_t odd_word(uint64_t mark)
{
	return 2 + mark % (PAGE_WORDS - 3);
}

/* Every other byte of some pages: too much for a delta. */
static void fill_between(uint64_t *words, uint64_t mark)
{
	for (unsigned i = 2; i < PAGE_WORDS - 1; i++)
		words[i] = test_mix(mark + i) & 0x00ff00ff00ff00ff;
}

static void fill_words(uint64_t *words, uint64_t page, uint64_t number)
{
	uint64_t mark = page_mark(page, number);

	if (mark % 8 == 0)
		fill_between(words, mark);
	words[0] = number;
	words[1] = mark;
	words[odd_word(mark)] = number;
	words[PAGE_WORDS - 1] = ~mark;
}

void guest_page_fill(struct guest_region *region, uint64_t page, uint64_t number)
{
	uint64_t offset = page * GUEST_PAGE_BYTES;
	uint64_t whole[PAGE_WORDS] = { 0 };

	region->numbers[page] = number;
	if (region->memory.kind != GUEST_PRIVATE_FILE || page % 2 == 0) {
		fill_words((uint64_t *)(region->memory.host + offset), page, number);
		return;
	}
	/* Data of the file, of which the mapping has no copy of its own. */
	fill_words(whole, page, number);
	if (pwrite(region->memory.fd, whole, sizeof(whole), (off_t)offset) != sizeof(whole))
		memcpy(region->memory.host + offset, whole, sizeof(whole));
}

static bool page_is(const uint64_t *words, uint64_t page, uint64_t number)
{
	uint64_t mark = page_mark(page, number);

	if (number == 0)
		return words[0] == 0 && words[1] == 0 && words[PAGE_WORDS - 1] == 0;
	return words[0] == number && words[1] == mark && words[odd_word(mark)] == number &&
	       words[PAGE_WORDS - 1] == ~mark;
}

static void verify(struct guest *guest, struct guest_region *region, uint64_t page)
{
	const uint64_t *words = (const uint64_t *)(region->memory.host + page * GUEST_PAGE_BYTES);

	if (!page_is(words, page, region->numbers[page]))
		guest_found_fault(guest,
				  "region %s, page %llu of 4 KiB: number %llu instead of %llu",
				  region->name, (unsigned long long)page,
				  (unsigned long long)words[0],
				  (unsigned long long)region->numbers[page]);
}

void guest_verify(struct guest *guest)
{
	for (unsigned i = 0; i < guest->spec.region_count; i++)
		for (uint64_t page = 0; page < guest->regions[i].pages; page++)
			verify(guest, &guest->regions[i], page);
}

/* ---- a write ------------------------------------------------------------------------------- */

static bool path_is_open(const struct guest *guest, const struct guest_region *region,
			 enum path path)
{
	if (atomic_load_explicit(&guest->stores_only, memory_order_relaxed))
		return path == PATH_STORE || path == PATH_SYSTEM;
	switch (path) {
	case PATH_ALIAS:
		return region->memory.alias != NULL;
	case PATH_FILE:
		return guest_memory_is_shared(&region->memory);
	case PATH_DISCARD:
		return guest_memory_can_discard(&region->memory);
	default:
		return true;
	}
}

static enum path choose_path(struct guest_writer *writer, const struct guest_region *region)
{
	static const unsigned char dice[16] = {
		PATH_STORE, PATH_STORE, PATH_STORE,  PATH_STORE,   PATH_STORE, PATH_STORE,
		PATH_STORE, PATH_STORE, PATH_SYSTEM, PATH_ALIAS,   PATH_ALIAS, PATH_ALIAS,
		PATH_ALIAS, PATH_ALIAS, PATH_FILE,   PATH_DISCARD,
	};
	enum path path = dice[test_random_below(&writer->random, sizeof(dice))];

	return path_is_open(writer->guest, region, path) ? path : PATH_STORE;
}

/* A write through a pipe: the kernel stores into the page. */
static void write_by_system(uint8_t *to, const uint64_t *words)
{
	int ends[2];

	if (pipe(ends) != 0)
		return;
	if (write(ends[1], words, GUEST_PAGE_BYTES) != GUEST_PAGE_BYTES ||
	    read(ends[0], to, GUEST_PAGE_BYTES) != GUEST_PAGE_BYTES)
		memcpy(to, words, GUEST_PAGE_BYTES);
	close(ends[0]);
	close(ends[1]);
}

static void write_page(struct guest_region *region, enum path path, uint64_t page, uint64_t number)
{
	uint64_t offset = page * GUEST_PAGE_BYTES;
	uint64_t whole[PAGE_WORDS] = { 0 };
	uint8_t *to = path == PATH_ALIAS ? region->memory.alias : region->memory.host;

	switch (path) {
	case PATH_SYSTEM:
	case PATH_FILE:
		if (number != 0)
			fill_words(whole, page, number);
		if (path == PATH_SYSTEM)
			write_by_system(to + offset, whole);
		else if (pwrite(region->memory.fd, whole, sizeof(whole), (off_t)offset) !=
			 sizeof(whole))
			memcpy(to + offset, whole, sizeof(whole));
		break;
	case PATH_DISCARD:
		guest_memory_discard(&region->memory, offset, GUEST_PAGE_BYTES);
		break;
	default:
		if (number == 0)
			memset(to + offset, 0, GUEST_PAGE_BYTES);
		else
			fill_words((uint64_t *)(to + offset), page, number);
	}
}

/* Tell whoever must be told, after the write. */
static void report(struct guest_region *region, enum path path, uint64_t page)
{
	bool seen = (path == PATH_STORE || path == PATH_SYSTEM) &&
		    (region->spec.logs & GUEST_LOG_USERFAULTFD);

	if (seen)
		return;
	if (region->spec.logs & GUEST_LOG_SHADOW)
		shadow_log_set(&region->shadow, page * GUEST_PAGE_BYTES, GUEST_PAGE_BYTES);
	else
		rs_dirty_mark(region->region, page * GUEST_PAGE_BYTES, GUEST_PAGE_BYTES);
}

/* Pages of this writer: every n-th one. Half of the writes go to a few pages. */
static uint64_t choose_page(struct guest_writer *writer, const struct guest_region *region)
{
	uint64_t step = writer->guest->spec.writers > 0 ? writer->guest->spec.writers : 1;
	uint64_t count = (region->pages + step - 1 - writer->index) / step;

	if (count > 8 && test_random_one_in(&writer->random, 2))
		count = 8;
	return count == 0 ? UINT64_MAX
			  : test_random_below(&writer->random, count) * step + writer->index;
}

static void write_once(struct guest_writer *writer)
{
	struct guest *guest = writer->guest;
	struct guest_region *region =
	    &guest->regions[test_random_below(&writer->random, guest->spec.region_count)];
	uint64_t page = choose_page(writer, region), number;
	enum path path;

	atomic_fetch_add_explicit(&guest->writes, 1, memory_order_relaxed);
	/* A region may be smaller than a page of ours. */
	if (page == UINT64_MAX)
		return;
	verify(guest, region, page);
	path = choose_path(writer, region);
	number =
	    path == PATH_DISCARD || test_random_one_in(&writer->random, 16) ? 0 : ++writer->number;
	write_page(region, path, page, number);
	region->numbers[page] = number;
	report(region, path, page);
}

static void write_often(struct guest_writer *writer, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		write_once(writer);
}

void guest_write(struct guest *guest, unsigned count)
{
	write_often(&guest->writers[0], count);
}

void guest_let_write(struct guest *guest, uint64_t count)
{
	uint64_t goal = atomic_load(&guest->writes) + count;
	bool quiet;

	if (guest->spec.writers == 0) {
		guest_write(guest, (unsigned)count);
		return;
	}
	quiet = atomic_exchange(&guest->quiet, false);
	while (atomic_load(&guest->writes) < goal)
		sched_yield();
	atomic_store(&guest->quiet, quiet);
}

/* ---- threads ------------------------------------------------------------------------------- */

static enum guest_order pause_writer(struct guest *guest)
{
	enum guest_order order;

	pthread_mutex_lock(&guest->lock);
	guest->paused++;
	pthread_cond_broadcast(&guest->changed);
	while ((order = (enum guest_order)atomic_load(&guest->order)) == GUEST_PAUSE)
		pthread_cond_wait(&guest->changed, &guest->lock);
	guest->paused--;
	pthread_mutex_unlock(&guest->lock);
	return order;
}

static void *writer_main(void *argument)
{
	struct guest_writer *writer = argument;
	struct guest *guest = writer->guest;
	bool ran = false;

	for (;;) {
		enum guest_order order = (enum guest_order)atomic_load(&guest->order);

		if (order == GUEST_PAUSE) {
			if (ran)
				write_often(writer, guest->spec.burst);
			order = pause_writer(guest);
		}
		if (order == GUEST_QUIT)
			return NULL;
		ran = true;
		if (atomic_load_explicit(&guest->quiet, memory_order_relaxed))
			usleep(200);
		else
			write_often(writer, 4);
	}
}

int guest_writers_start(struct guest *guest)
{
	unsigned count = guest->spec.writers > 0 ? guest->spec.writers : 1;

	for (unsigned i = 0; i < count; i++) {
		struct guest_writer *writer = &guest->writers[i];

		writer->guest = guest;
		writer->index = i;
		writer->random.state = guest->spec.seed * 31 + i;
		writer->number = test_random_next(&writer->random) >> 16;
		if (guest->spec.writers == 0)
			break;
		if (pthread_create(&writer->thread, NULL, writer_main, writer) != 0) {
			guest->spec.writers = i;
			return -EAGAIN;
		}
	}
	return 0;
}

void guest_writers_order(struct guest *guest, enum guest_order order)
{
	if (order == GUEST_PAUSE && guest->spec.writers == 0)
		guest_write(guest, guest->spec.burst);
	pthread_mutex_lock(&guest->lock);
	atomic_store(&guest->order, (int)order);
	pthread_cond_broadcast(&guest->changed);
	while (order == GUEST_PAUSE && guest->paused < guest->spec.writers)
		pthread_cond_wait(&guest->changed, &guest->lock);
	pthread_mutex_unlock(&guest->lock);
}

void guest_writers_join(struct guest *guest)
{
	guest_writers_order(guest, GUEST_QUIT);
	for (unsigned i = 0; i < guest->spec.writers; i++)
		pthread_join(guest->writers[i].thread, NULL);
}
