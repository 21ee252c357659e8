/* SPDX-License-Identifier: MIT */
#include "live/qemu_guest.h"
#include "live/toucher.h"
#include "recorded/census.h"
#include "text/fail.h"
#include "files/outfile.h"
#include "recorded/save_regions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct qemu_guest {
	const char *save;
	uint64_t touch_rate;
	struct toucher toucher;
	struct outfile devices;
	struct census census;
	bool native;
	bool postcopy; /* what is here when the guest is taken is not all of it */
};

int qemu_guest_init(struct guest *guest, const struct options *options, struct rs_error *error)
{
	struct qemu_guest *qemu = calloc(1, sizeof(*qemu));

	guest->qemu = qemu;
	if (!qemu)
		return fail(error, -ENOMEM, "out of memory");
	qemu->save = options->save;
	qemu->touch_rate = options->touch_rate;
	census_init(&qemu->census, rs_state_page_bytes(guest->state));
	return outfile_open(&qemu->devices, options->devices, error);
}

void qemu_guest_fini(struct guest *guest)
{
	struct qemu_guest *qemu = guest->qemu;

	if (!qemu)
		return;
	toucher_stop(&qemu->toucher);
	outfile_drop(&qemu->devices);
	census_fini(&qemu->census);
	free(qemu);
	guest->qemu = NULL;
}

static void vm_observe(void *opaque, const struct rs_observation *seen)
{
	struct guest *guest = opaque;

	if (seen->type == RS_OBSERVED_HEADER)
		guest->qemu->native = !strcmp(seen->name, "ramsync");
	if (seen->type == RS_OBSERVED_COMMAND && !strcmp(seen->name, "POSTCOPY_LISTEN"))
		guest->qemu->postcopy = true;
	census_observe(&guest->qemu->census, seen);
}

static int vm_load_opaque(void *opaque, const void *data, size_t bytes)
{
	struct guest *guest = opaque;
	struct rs_error error = { 0 };
	int ret = outfile_write(&guest->qemu->devices, data, bytes, &error);

	return fail_migration(guest->state, ret, &error);
}

static int refuse_native(struct guest *guest)
{
	if (!guest->qemu->native)
		return 0;
	return rs_migrate_fail(guest->state, -EINVAL,
			       "the stream is in libramsync's own form, and --qemu takes a QEMU's");
}

/* As early as it can be refused: the source's guest still runs. */
static int vm_region_announced(void *opaque, const char *name, uint64_t used_bytes)
{
	int ret = refuse_native(opaque);

	return ret ? ret : guest_region_announced(opaque, name, used_bytes);
}

static bool came(void *opaque, const struct memory_block *block)
{
	const struct guest *guest = opaque;

	return census_came(&guest->qemu->census, block->name);
}

static int put_away(struct guest *guest, struct rs_error *error)
{
	struct qemu_guest *qemu = guest->qemu;
	int ret;

	if (qemu->census.out_of_memory)
		return fail(error, -ENOMEM, "out of memory");
	ret = outfile_sync(&qemu->devices, error);
	if (!ret && strcmp(qemu->save, "/dev/null"))
		ret = save_regions(&guest->memory, qemu->save, came, guest, error);
	return ret ? ret : outfile_publish(&qemu->devices, error);
}

/* Nobody runs the guest here: to have it is to have it in the files. */
static int vm_resume(void *opaque, enum rs_resume why)
{
	struct guest *guest = opaque;
	struct qemu_guest *qemu = guest->qemu;
	struct rs_error error = { 0 };
	int ret = refuse_native(guest);

	(void)why;
	if (!ret && qemu->postcopy)
		ret = toucher_start(&qemu->toucher, &guest->memory, guest->state, qemu->touch_rate);
	else if (!ret)
		ret = put_away(guest, &error);
	guest->running = !ret;
	return fail_migration(guest->state, ret, &error);
}

int qemu_guest_finish(struct guest *guest, struct rs_error *error)
{
	if (!guest->qemu || !guest->qemu->postcopy)
		return 0;
	toucher_stop(&guest->qemu->toucher);
	return put_away(guest, error);
}

const struct rs_vm_ops qemu_guest_vm_ops = {
	.size = sizeof(struct rs_vm_ops),
	.resume = vm_resume,
	.region_announced = vm_region_announced,
	.event = guest_event,
	.load_opaque = vm_load_opaque,
	.observe = vm_observe,
	.open_channel = guest_open_channel,
};
