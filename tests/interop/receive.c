/* SPDX-License-Identifier: MIT */
#include "interop/receive.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct receiver {
	struct regions *regions;
	FILE *lengths;
	int running;
};

static int announced(void *opaque, const char *name, uint64_t used_bytes)
{
	struct receiver *receiver = opaque;

	return regions_announced(receiver->regions, name, used_bytes);
}

static int load_device(void *opaque, const struct rs_device_section *section,
		       struct rs_stream *body)
{
	struct receiver *receiver = opaque;
	unsigned long long bytes;
	unsigned instance;
	char name[256];

	if (section->bytes != RS_LENGTH_UNKNOWN ||
	    fscanf(receiver->lengths, "%llu %u %255s", &bytes, &instance, name) != 3)
		return -EPROTO;
	if (strcmp(name, section->name) != 0 || instance != section->instance) {
		fprintf(stderr, "receive: device %s (%u) instead of %s (%u)\n", section->name,
			section->instance, name, instance);
		return -EPROTO;
	}
	return rs_stream_skip(body, bytes);
}

static int resume(void *opaque, enum rs_resume why)
{
	struct receiver *receiver = opaque;

	(void)why;
	receiver->running++;
	return 0;
}

int receive(struct regions *regions, struct rs_stream *stream, const char *lengths)
{
	static const struct rs_vm_ops ops = {
		.size = sizeof(ops),
		.resume = resume,
		.load_device = load_device,
		.region_announced = announced,
	};
	struct receiver receiver = { .regions = regions, .lengths = fopen(lengths, "re") };

	if (receiver.lengths == NULL)
		return -errno;
	int result = rs_migrate_in(regions->state, stream, &ops, &receiver);

	if (result == 0 && receiver.running != 1)
		result = -EPROTO;
	fclose(receiver.lengths);
	return result;
}
