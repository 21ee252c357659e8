/* SPDX-License-Identifier: MIT */
#include "guest/guest.h"
#include "guest/device.h"
#include "text/fail.h"
#include "text/utf8.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

static int vm_stop(void *opaque)
{
	struct guest *guest = opaque;

	if (guest->writers)
		writers_stop(guest->writers);
	guest->running = false;
	guest->was_stopped = true;
	return 0;
}

static int vm_resume(void *opaque, enum rs_resume why)
{
	struct guest *guest = opaque;

	(void)why;
	guest->running = true;
	if (guest->writers && !guest->hold)
		writers_resume(guest->writers);
	return 0;
}

static int vm_save_devices(void *opaque, struct rs_device_writer *out)
{
	struct guest *guest = opaque;
	struct rs_error error = { 0 };
	int ret = guest->writers ? device_save(guest->writers, out, &error) : 0;

	return fail_migration(guest->state, ret, &error);
}

static int vm_load_device(void *opaque, const struct rs_device_section *section,
			  struct rs_stream *body)
{
	struct guest *guest = opaque;
	struct rs_error error = { 0 };
	int ret;

	if (strcmp(section->name, DEVICE_NAME) || section->version != DEVICE_VERSION ||
	    section->instance || guest->writers)
		return rs_migrate_fail(guest->state, -ENOTSUP,
				       "device \"%s\" instance %u version %u: there is only one "
				       "\"%s\" version %u here",
				       section->name, section->instance, section->version,
				       DEVICE_NAME, DEVICE_VERSION);
	ret = device_load(guest->state, body, &guest->writers, &error);
	return fail_migration(guest->state, ret, &error);
}

int guest_region_announced(void *opaque, const char *name, uint64_t used_bytes)
{
	struct guest *guest = opaque;
	struct memory *memory = &guest->memory;
	struct rs_error error = { 0 };
	unsigned count = memory->count;
	int ret = memory_add_announced(memory, name, used_bytes, guest->max_bytes, &error);

	if (!ret && guest->touch_announced)
		memory_touch(memory, count);
	if (!ret)
		ret = memory_register(memory, count, guest->state, NULL, &error);
	return fail_migration(guest->state, ret, &error);
}

void guest_event(void *opaque, const struct rs_event *event)
{
	const struct guest *guest = opaque;

	if (event->type == RS_EVENT_WARNING)
		utf8_report(guest->program, "warning", event->text);
	if (guest->link)
		guest->link->event(guest->link_opaque, event);
}

int guest_open_channel(void *opaque, struct rs_stream **stream)
{
	struct guest *guest = opaque;
	struct rs_error error = { 0 };
	int ret = guest->link ? guest->link->open_channel(guest->link_opaque, stream, &error)
			      : fail(&error, -EOPNOTSUPP, "there is no second connection");

	return fail_migration(guest->state, ret, &error);
}

const struct rs_vm_ops guest_vm_ops = {
	.size = sizeof(struct rs_vm_ops),
	.stop = vm_stop,
	.resume = vm_resume,
	.save_devices = vm_save_devices,
	.load_device = vm_load_device,
	.region_announced = guest_region_announced,
	.event = guest_event,
	.open_channel = guest_open_channel,
};

void guest_release(struct guest *guest)
{
	guest->hold = false;
	if (guest->writers && guest->running)
		writers_resume(guest->writers);
}

bool guest_prove(struct guest *guest, double seconds, int signal_fd, struct rs_error *error)
{
	struct pollfd fds[] = { { .fd = signal_fd, .events = POLLIN }, { .events = POLLIN } };

	if (!guest->writers)
		return true;
	fds[1].fd = writers_fault_fd(guest->writers);
	if (poll(fds, 2, (int)(seconds * 1000)) < 0 && errno != EINTR)
		fprintf(stderr, "%s: poll: %s\n", guest->program, strerror(errno));
	writers_stop(guest->writers);
	writers_verify(guest->writers);
	return !writers_fault(guest->writers, error);
}

void guest_destroy(struct guest *guest)
{
	writers_destroy(guest->writers);
	rs_state_destroy(guest->state);
	memory_destroy(&guest->memory);
}
