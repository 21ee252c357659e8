/* SPDX-License-Identifier: MIT */
/* The guest's VMM: the callbacks, and the device state. */
#include "support/guest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- device state -------------------------------------------------------------------------- */

#define CLOCK 0x1122334455667788ull

/* Two devices: a clock, and one for each region that has its pages' numbers. All integers
 * are big-endian; the numbers' count comes first, for QEMU's form has no length. */
static void put_be64(uint8_t *to, uint64_t value)
{
	for (unsigned i = 0; i < 8; i++)
		to[i] = (uint8_t)(value >> (56 - 8 * i));
}

static int save_numbers(struct rs_device_writer *writer, const struct guest_region *region,
			uint32_t instance)
{
	const struct rs_device_section section = { .name = "numbers",
						   .instance = instance,
						   .version = 3 };
	size_t bytes = 8 * (1 + region->pages);
	uint8_t *body = malloc(bytes);
	int result;

	if (body == NULL)
		return -ENOMEM;
	put_be64(body, region->pages);
	for (uint64_t page = 0; page < region->pages; page++)
		put_be64(body + 8 * (1 + page), region->numbers[page]);
	result = rs_device_save(writer, &section, body, bytes);
	free(body);
	return result;
}

static int vm_save_devices(void *opaque, struct rs_device_writer *writer)
{
	const struct rs_device_section clock = { .name = "clock", .instance = 7, .version = 1 };
	struct guest *guest = opaque;
	int result = guest_call_hook(guest, GUEST_SAVES_DEVICES);
	uint8_t body[8];

	put_be64(body, CLOCK);
	if (result >= 0)
		result = rs_device_save(writer, &clock, body, sizeof(body));
	for (unsigned i = 0; result >= 0 && i < guest->spec.region_count; i++)
		result = save_numbers(writer, &guest->regions[i], i);
	return result;
}

static int load_numbers(struct guest *guest, uint32_t instance, struct rs_stream *body)
{
	struct guest_region *region = &guest->regions[instance];

	if (instance >= guest->spec.region_count || rs_stream_get_be64(body) != region->pages)
		return -EINVAL;
	for (uint64_t page = 0; page < region->pages; page++)
		region->numbers[page] = rs_stream_get_be64(body);
	return rs_stream_error(body, NULL);
}

static int vm_load_device(void *opaque, const struct rs_device_section *section,
			  struct rs_stream *body)
{
	struct guest *guest = opaque;
	int result = guest_call_hook(guest, GUEST_LOADS_DEVICE);

	if (result < 0)
		return result;
	guest->devices_loaded++;
	if (strcmp(section->name, "numbers") == 0 && section->version == 3)
		return load_numbers(guest, section->instance, body);
	if (strcmp(section->name, "clock") != 0 || section->instance != 7 ||
	    section->version != 1 || rs_stream_get_be64(body) != CLOCK)
		return -EINVAL;
	return 0;
}

/* ---- the tables ---------------------------------------------------------------------------- */

static int vm_stop(void *opaque)
{
	return guest_stop(opaque);
}

static int vm_resume(void *opaque, enum rs_resume why)
{
	(void)why;
	return guest_resume(opaque);
}

static int vm_announced(void *opaque, const char *name, uint64_t used_bytes)
{
	return guest_announced(opaque, name, used_bytes);
}

static int vm_resized(void *opaque, struct rs_region *region, uint64_t used_bytes)
{
	struct guest *guest = opaque;

	for (unsigned i = 0; i < guest->spec.region_count; i++)
		if (guest->regions[i].region == region)
			guest_region_set_used(&guest->regions[i], used_bytes);
	return 0;
}

static void vm_event(void *opaque, const struct rs_event *event)
{
	struct guest *guest = opaque;

	guest->status = event->status;
	if (event->type == RS_EVENT_STATUS)
		guest_call_hook(guest, GUEST_STATUS);
	else if (event->type == RS_EVENT_PASS)
		guest_call_hook(guest, GUEST_PASS);
}

static int vm_open_channel(void *opaque, struct rs_stream **stream)
{
	struct guest *guest = opaque;

	*stream = atomic_exchange(&guest->channel, NULL);
	return *stream != NULL ? 0 : -ENOTCONN;
}

const struct rs_vm_ops guest_vm_ops = {
	.size = sizeof(guest_vm_ops),
	.stop = vm_stop,
	.resume = vm_resume,
	.save_devices = vm_save_devices,
	.load_device = vm_load_device,
	.region_announced = vm_announced,
	.region_resized = vm_resized,
	.event = vm_event,
	.open_channel = vm_open_channel,
};

const struct rs_load_ops guest_load_ops = {
	.size = sizeof(guest_load_ops),
	.region_announced = vm_announced,
	.region_resized = vm_resized,
};
