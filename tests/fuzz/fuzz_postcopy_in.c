/* SPDX-License-Identifier: MIT */
/*
 * The destination of a postcopy, with a source that says anything at all, over connections that break, in either
 * form, with a channel or without: nothing outside the regions is written, the guest runs at most once, who waits
 * for a page is let go in the end, and the state is good for the next migration.
 *
 * Input: a byte of options, then what the source says, in the pieces of gated_peer.h.
 */
#include "fuzz/check.h"
#include "fuzz/gated_peer.h"
#include "support/guarded_memory.h"

#include <ramsync/param.h>
#include <ramsync/postcopy.h>
#include <errno.h>
#include <string.h>

#define OPTION_SMALL_PAGES 0x01 /* target pages are a quarter of the host's */
#define OPTION_PREEMPT 0x02
#define OPTION_TOUCH 0x04 /* devices and the guest need pages of region a */
#define OPTION_RECORDING 0x08
#define OPTION_OPAQUE 0x10
#define OPTION_RESUME_FAILS 0x20
#define OPTION_ANNOUNCE 0x40

#define PAGE 4096u
#define REGIONS 2
#define MAX_PAGES 4u

static const struct {
	const char *name;
	unsigned pages;
} regions[REGIONS] = { { "a", 4 }, { "b", 2 } };

static struct guarded_memory memories[REGIONS];

struct vm {
	struct rs_state *state;
	struct gated_peer peer;
	unsigned options;
	uint64_t bytes[REGIONS];
	int region_count;
	int resumes; /* calls that were answered well */
	bool decreed;
};

/* ---- the VM -------------------------------------------------------------------------------- */

static void add_region(struct vm *vm, const char *name, uint64_t bytes)
{
	int index = vm->region_count++;
	const struct rs_region_config config = { .size = sizeof(config),
						 .name = name,
						 .host = memories[index].data,
						 .used_bytes = bytes };

	guarded_memory_reset(&memories[index], bytes);
	memset(memories[index].data, 0xee, PAGE);
	vm->bytes[index] = bytes;
	CHECK(rs_region_add(vm->state, &config, NULL) == 0);
}

static int announced(void *opaque, const char *name, uint64_t used_bytes)
{
	struct vm *vm = opaque;

	if (vm->region_count == REGIONS || used_bytes > MAX_PAGES * PAGE || used_bytes < PAGE)
		return -ENOSPC;
	add_region(vm, name, used_bytes);
	return 0;
}

/* Waits for the page, if it has not come. */
static void touch(const struct vm *vm, unsigned page)
{
	if (vm->options & OPTION_TOUCH && vm->region_count > 0 && page * PAGE < vm->bytes[0])
		(void)*(volatile uint8_t *)(memories[0].data + (size_t)page * PAGE);
}

static int resume(void *opaque, enum rs_resume why)
{
	struct vm *vm = opaque;

	CHECK(why == RS_RESUME_ARRIVED);
	if (vm->options & OPTION_RESUME_FAILS)
		return -EIO;
	vm->resumes++;
	touch(vm, 3);
	return 0;
}

/* Devices of four bytes where the stream does not say. */
static int load_device(void *opaque, const struct rs_device_section *section,
		       struct rs_stream *body)
{
	touch(opaque, 2);
	return rs_stream_skip(body, section->bytes == RS_LENGTH_UNKNOWN ? 4 : section->bytes);
}

static int load_opaque(void *opaque, const void *data, size_t bytes)
{
	(void)data;
	(void)bytes;
	touch(opaque, 2);
	return 0;
}

static unsigned direction(const struct vm *vm)
{
	return vm->options & OPTION_RECORDING ? RS_STREAM_READ : RS_STREAM_TWO_WAY;
}

static void on_event(void *opaque, const struct rs_event *event)
{
	struct vm *vm = opaque;

	CHECK(event->text != NULL && strlen(event->text) < RS_ERROR_TEXT_BYTES);
	if (event->type != RS_EVENT_STATUS || event->status != RS_STATUS_POSTCOPY_PAUSED)
		return;
	struct rs_stream *stream = gated_peer_connect(&vm->peer, direction(vm));

	if (stream != NULL) {
		CHECK(rs_migrate_recover(vm->state, stream) == 0);
		return;
	}
	vm->decreed = true;
	CHECK(rs_migrate_resolve(vm->state, RS_RESOLVE_RUN) == -EINVAL);
	CHECK(rs_migrate_resolve(vm->state, RS_RESOLVE_DISCARD) == 0);
}

static int open_channel(void *opaque, struct rs_stream **stream)
{
	struct vm *vm = opaque;

	*stream = gated_peer_open_channel(&vm->peer);
	return *stream != NULL ? 0 : -EISCONN;
}

static void observe(void *opaque, const struct rs_observation *observation)
{
	(void)opaque;
	CHECK(observation->name == NULL || strlen(observation->name) < RS_ERROR_TEXT_BYTES);
}

static void set(struct vm *vm, const char *name)
{
	CHECK(rs_param_set(vm->state, name, "on") == 0);
}

static void open_vm(struct vm *vm, const uint8_t *data, size_t bytes)
{
	const struct rs_state_config config = { .size = sizeof(config),
						.target_page_bytes = data[0] & OPTION_SMALL_PAGES
									 ? PAGE / 4
									 : PAGE };

	*vm = (struct vm){ .options = data[0] };
	CHECK(rs_state_create(&config, &vm->state) == 0);
	set(vm, "postcopy-ram");
	if (vm->options & OPTION_PREEMPT)
		set(vm, "postcopy-preempt");
	if (vm->options & OPTION_RECORDING)
		set(vm, "lax");
	for (int i = 0; i < REGIONS; i++) {
		if (memories[i].data == NULL)
			CHECK(guarded_memory_init(&memories[i], MAX_PAGES * PAGE) == 0);
		if (!(vm->options & OPTION_ANNOUNCE))
			add_region(vm, regions[i].name, (uint64_t)regions[i].pages * PAGE);
	}
	gated_peer_init(&vm->peer, data + 1, bytes - 1);
}

/* ---- what must be so ----------------------------------------------------------------------- */

static void check_outcome(struct vm *vm, int result)
{
	enum rs_status status = rs_migrate_status(vm->state);
	struct rs_error error;

	rs_error_get(vm->state, RS_ERROR_OF_MIGRATION, &error);
	if (result == 0) {
		CHECK(status == RS_STATUS_COMPLETED && vm->resumes == 1 && !vm->decreed);
		return;
	}
	/* A guest that runs is given up by decree only. */
	CHECK(vm->resumes == 0 || (vm->resumes == 1 && vm->decreed));
	CHECK(error.code != 0 && error.text[0] != '\0');
	CHECK(status == (result == RS_ERROR_IN_DOUBT ? RS_STATUS_IN_DOUBT : RS_STATUS_FAILED));
}

/* Whatever happened, the state is good for the next migration. */
static void check_idle(struct vm *vm)
{
	if (rs_migrate_status(vm->state) == RS_STATUS_IN_DOUBT)
		CHECK(rs_migrate_resolve(vm->state, RS_RESOLVE_DISCARD) == 0);
	CHECK(rs_load_setup(vm->state, NULL, NULL) == 0);
	CHECK(rs_load_cleanup(vm->state) == 0);
	/* Nothing faults any more. */
	for (int i = 0; i < vm->region_count; i++)
		CHECK(guarded_memory_intact(&memories[i], vm->bytes[i]));
	for (unsigned page = 0; page < MAX_PAGES; page++)
		touch(vm, page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct vm vm;

	if (bytes == 0)
		return 0;
	open_vm(&vm, data, bytes);
	const struct rs_vm_ops ops = {
		.size = sizeof(ops),
		.resume = resume,
		.load_device = load_device,
		.load_opaque = vm.options & OPTION_OPAQUE ? load_opaque : NULL,
		.region_announced = vm.options & OPTION_ANNOUNCE ? announced : NULL,
		.event = on_event,
		.observe = observe,
		.open_channel = open_channel,
	};
	struct rs_stream *stream = gated_peer_connect(&vm.peer, direction(&vm));

	check_outcome(&vm, rs_migrate_in(vm.state, stream, &ops, &vm));
	rs_stream_close(stream, NULL);
	check_idle(&vm);
	rs_state_destroy(vm.state);
	gated_peer_fini(&vm.peer);
	return 0;
}
