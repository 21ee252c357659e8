/* SPDX-License-Identifier: MIT */
#include "support/guest.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- regions ------------------------------------------------------------------------------- */

static int add_logs(struct guest_region *region)
{
	const struct guest_region_spec *spec = &region->spec;
	int result = 0;

	if (spec->logs & GUEST_LOG_USERFAULTFD)
		result = rs_region_add_dirty_log(region->region, &rs_dirty_log_userfaultfd, NULL);
	if (result == 0 && (spec->logs & GUEST_LOG_SHADOW))
		result = rs_region_add_dirty_log(
		    region->region,
		    spec->logs & GUEST_LOG_SHADOW_CLEAR ? &shadow_log_clear_ops : &shadow_log_ops,
		    &region->shadow);
	return result;
}

static int add_region(struct guest *guest, struct guest_region *region)
{
	struct rs_region_config config = {
		.size = sizeof(config),
		.name = region->name,
		.used_bytes = region->spec.used_bytes,
		.max_bytes = region->spec.max_bytes,
		.flags = region->spec.flags,
	};
	int result;

	guest_memory_describe(&region->memory, &config);
	result = rs_region_add(guest->state, &config, &region->region);
	return result != 0 ? result : add_logs(region);
}

void guest_region_set_used(struct guest_region *region, uint64_t used_bytes)
{
	region->spec.used_bytes = used_bytes;
	region->pages = used_bytes / GUEST_PAGE_BYTES;
}

static int make_region(struct guest *guest, unsigned index)
{
	struct guest_region *region = &guest->regions[index];
	struct guest_region_spec *spec = &region->spec;
	int result;

	*spec = guest->spec.regions[index];
	if (spec->max_bytes == 0)
		spec->max_bytes = spec->used_bytes;
	snprintf(region->name, sizeof(region->name), "memory-%u", index);
	guest_region_set_used(region, spec->used_bytes);
	result = guest_memory_map(&region->memory, spec->kind, spec->max_bytes);
	if (result != 0 && spec->kind == GUEST_HUGETLB)
		result = guest_memory_map(&region->memory, GUEST_PRIVATE, spec->max_bytes);
	if (result != 0)
		return result;
	region->numbers = calloc(spec->max_bytes / GUEST_PAGE_BYTES + 1, sizeof(uint64_t));
	if (region->numbers == NULL)
		return -ENOMEM;
	result = shadow_log_init(&region->shadow, spec->max_bytes,
				 spec->granule_bytes != 0 ? spec->granule_bytes : GUEST_PAGE_BYTES);
	region->shadow.ranges = (spec->logs & GUEST_LOG_SHADOW_RANGES) != 0;
	if (result == 0 && !spec->announced)
		result = add_region(guest, region);
	return result;
}

static void fill_region(struct guest *guest, struct guest_region *region)
{
	uint64_t tail = region->pages * GUEST_PAGE_BYTES;

	for (uint64_t page = 0; page < region->pages; page++)
		if (test_random_below(&guest->random, 100) < region->spec.filled_percent)
			guest_page_fill(region, page, test_random_next(&guest->random) | 1);
	/* What is left of a length that is not whole pages of 4 KiB. */
	if (region->spec.filled_percent > 0)
		memset(region->memory.host + tail, 0x77, region->spec.used_bytes - tail);
}

static void spoil_region(struct guest *guest, struct guest_region *region)
{
	if (region->spec.flags & RS_REGION_FRESH)
		return;
	for (uint64_t at = 0; at < region->spec.max_bytes; at += 1024)
		if (!test_random_one_in(&guest->random, 4))
			memset(region->memory.host + at, (int)test_random_next(&guest->random),
			       1024);
}

/* ---- life ---------------------------------------------------------------------------------- */

static struct guest *create(const struct guest_spec *spec, struct guest_world *world,
			    void (*fill)(struct guest *guest, struct guest_region *region))
{
	const struct rs_state_config config = { sizeof(config), spec->page_bytes };
	struct guest *guest = calloc(1, sizeof(*guest));
	int result;

	if (guest == NULL)
		return NULL;
	guest->spec = *spec;
	guest->world = world;
	guest->random.state = spec->seed;
	atomic_store(&guest->order, GUEST_PAUSE);
	pthread_mutex_init(&guest->lock, NULL);
	pthread_cond_init(&guest->changed, NULL);
	result = rs_state_create(&config, &guest->state);
	for (unsigned i = 0; result == 0 && i < spec->region_count; i++) {
		result = make_region(guest, i);
		if (result == 0)
			fill(guest, &guest->regions[i]);
	}
	if (result == 0)
		result = guest_writers_start(guest);
	else
		guest->spec.writers = 0;
	if (result == 0)
		return guest;
	guest_destroy(guest);
	return NULL;
}

struct guest *guest_create_source(const struct guest_spec *spec, struct guest_world *world)
{
	struct guest *guest = create(spec, world, fill_region);

	if (guest != NULL)
		guest_run_again(guest);
	return guest;
}

struct guest *guest_create_destination(const struct guest_spec *spec, struct guest_world *world)
{
	return create(spec, world, spoil_region);
}

void guest_destroy(struct guest *guest)
{
	if (guest == NULL)
		return;
	guest_writers_join(guest);
	if (guest->running)
		atomic_fetch_sub(&guest->world->running, 1);
	rs_state_destroy(guest->state);
	rs_stream_close(atomic_load(&guest->channel), NULL);
	for (unsigned i = 0; i < guest->spec.region_count; i++) {
		guest_memory_unmap(&guest->regions[i].memory);
		shadow_log_fini(&guest->regions[i].shadow);
		free(guest->regions[i].numbers);
	}
	pthread_mutex_destroy(&guest->lock);
	pthread_cond_destroy(&guest->changed);
	free(guest);
}

/* ---- running ------------------------------------------------------------------------------- */

int guest_call_hook(struct guest *guest, enum guest_moment moment)
{
	return guest->hook != NULL ? guest->hook(guest->hook_opaque, guest, moment) : 0;
}

void guest_run_again(struct guest *guest)
{
	if (guest->running)
		return;
	guest->running = true;
	if (atomic_fetch_add(&guest->world->running, 1) > 0)
		atomic_store(&guest->world->both, true);
	guest_writers_order(guest, GUEST_RUN);
}

int guest_stop(struct guest *guest)
{
	int result = guest_call_hook(guest, GUEST_STOPS);

	if (result < 0 || !guest->running)
		return result;
	guest_writers_order(guest, GUEST_PAUSE);
	guest->running = false;
	atomic_fetch_sub(&guest->world->running, 1);
	return 0;
}

int guest_resume(struct guest *guest)
{
	int result = guest_call_hook(guest, GUEST_RESUMES);

	if (result < 0)
		return result;
	guest_run_again(guest);
	return 0;
}

int guest_announced(struct guest *guest, const char *name, uint64_t used_bytes)
{
	for (unsigned i = 0; i < guest->spec.region_count; i++) {
		struct guest_region *region = &guest->regions[i];

		if (region->region == NULL && strcmp(region->name, name) == 0 &&
		    used_bytes <= region->spec.max_bytes)
			return add_region(guest, region);
	}
	return -ENOENT;
}

/* ---- what is wrong ------------------------------------------------------------------------- */

void guest_found_fault(struct guest *guest, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	pthread_mutex_lock(&guest->lock);
	if (guest->fault[0] == '\0')
		vsnprintf(guest->fault, sizeof(guest->fault), format, arguments);
	pthread_mutex_unlock(&guest->lock);
	va_end(arguments);
}

void guest_fault(struct guest *guest, char *text, size_t bytes)
{
	pthread_mutex_lock(&guest->lock);
	snprintf(text, bytes, "%s", guest->fault);
	pthread_mutex_unlock(&guest->lock);
	for (unsigned i = 0; i < guest->spec.region_count && text[0] == '\0'; i++)
		if (guest->regions[i].shadow.fault != NULL)
			snprintf(text, bytes, "region %s: its log was %s", guest->regions[i].name,
				 guest->regions[i].shadow.fault);
}

/* What the writers did before they stopped is known to this thread afterwards. */
static void meet_writers(const struct guest *guest)
{
	pthread_mutex_lock((pthread_mutex_t *)&guest->lock);
	pthread_mutex_unlock((pthread_mutex_t *)&guest->lock);
}

static bool same_region(const struct guest_region *a, const struct guest_region *b, char *text,
			size_t bytes)
{
	const uint8_t *left = a->memory.host, *right = b->memory.host;
	uint64_t at = 0;

	if (a->spec.used_bytes != b->spec.used_bytes) {
		snprintf(text, bytes, "region %s has %llu bytes there and %llu here", a->name,
			 (unsigned long long)a->spec.used_bytes,
			 (unsigned long long)b->spec.used_bytes);
		return false;
	}
	if (memcmp(left, right, a->spec.used_bytes) == 0)
		return true;
	while (left[at] == right[at])
		at++;
	snprintf(text, bytes,
		 "region %s (%s, logs 0x%x, there; %s here), offset 0x%llx of 0x%llx: 0x%02x "
		 "there, 0x%02x "
		 "here",
		 a->name, guest_kind_name(a->memory.kind), a->spec.logs,
		 guest_kind_name(b->memory.kind), (unsigned long long)at,
		 (unsigned long long)a->spec.used_bytes, left[at], right[at]);
	return false;
}

void guest_compare(const struct guest *a, const struct guest *b, char *text, size_t bytes)
{
	meet_writers(a);
	meet_writers(b);
	text[0] = '\0';
	for (unsigned i = 0; i < a->spec.region_count; i++)
		if (!same_region(&a->regions[i], &b->regions[i], text, bytes))
			return;
}

void guest_copy_numbers(struct guest *to, const struct guest *from)
{
	meet_writers(from);
	for (unsigned i = 0; i < to->spec.region_count; i++)
		memcpy(to->regions[i].numbers, from->regions[i].numbers,
		       from->regions[i].pages * sizeof(uint64_t));
}
