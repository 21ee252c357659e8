/* SPDX-License-Identifier: MIT */
/*
 * The source of a postcopy, with a destination that says anything at all, over connections that break: the guest
 * runs on here unless it was handed over, and then only on the destination's word or by decree.
 *
 * Input: a byte of options, then what the destination says, in the pieces of gated_peer.h.
 */
#include "fuzz/check.h"
#include "fuzz/gated_peer.h"
#include "support/guarded_memory.h"

#include <ramsync/param.h>
#include <ramsync/postcopy.h>
#include <errno.h>
#include <string.h>

#define OPTION_QEMU 0x01
#define OPTION_PREEMPT 0x02
#define OPTION_DECREE_RUN 0x04
#define OPTION_DEVICES_FAIL 0x08
#define OPTION_OLD_QEMU 0x10 /* wants the channel at once */

#define PAGE 4096u
#define REGION_PAGES 16u

static struct guarded_memory memory;

struct vm {
	struct rs_state *state;
	struct rs_region *region;
	struct gated_peer peer;
	unsigned options;
	bool running;
	bool decreed;
};

/* ---- the VM -------------------------------------------------------------------------------- */

static int stop(void *opaque)
{
	struct vm *vm = opaque;

	CHECK(vm->running);
	vm->running = false;
	/* The last thing that it did. */
	memory.data[0]++;
	rs_dirty_mark(vm->region, 0, 1);
	return 0;
}

static int resume(void *opaque, enum rs_resume why)
{
	struct vm *vm = opaque;

	CHECK(why == RS_RESUME_STAYED);
	CHECK(!vm->running);
	vm->running = true;
	return 0;
}

static int save_devices(void *opaque, struct rs_device_writer *writer)
{
	const struct rs_device_section section = { .name = "cpu", .version = 1 };
	const struct vm *vm = opaque;

	CHECK(!vm->running);
	if (vm->options & OPTION_DEVICES_FAIL)
		return -EIO;
	return rs_device_save(writer, &section, "state", 5);
}

static void go_on(struct vm *vm)
{
	struct rs_stream *stream = gated_peer_connect(&vm->peer, RS_STREAM_TWO_WAY);
	bool run = (vm->options & OPTION_DECREE_RUN) != 0;

	CHECK(!vm->running);
	if (stream != NULL) {
		CHECK(rs_migrate_recover(vm->state, stream) == 0);
		return;
	}
	vm->decreed = true;
	CHECK(rs_migrate_resolve(vm->state, run ? RS_RESOLVE_RUN : RS_RESOLVE_DISCARD) == 0);
}

static void on_event(void *opaque, const struct rs_event *event)
{
	struct vm *vm = opaque;

	if (event->type != RS_EVENT_STATUS)
		return;
	if (event->status == RS_STATUS_ACTIVE)
		CHECK(rs_migrate_start_postcopy(vm->state) == 0);
	if (event->status == RS_STATUS_POSTCOPY_PAUSED)
		go_on(vm);
}

static int open_channel(void *opaque, struct rs_stream **stream)
{
	struct vm *vm = opaque;

	*stream = gated_peer_open_channel(&vm->peer);
	return *stream != NULL ? 0 : -EISCONN;
}

static void set(struct vm *vm, const char *name, const char *value)
{
	CHECK(rs_param_set(vm->state, name, value) == 0);
}

static void open_vm(struct vm *vm, const uint8_t *data, size_t bytes)
{
	*vm = (struct vm){ .options = data[0], .running = true };
	if (memory.data == NULL)
		CHECK(guarded_memory_init(&memory, REGION_PAGES * PAGE) == 0);
	guarded_memory_reset(&memory, REGION_PAGES * PAGE);
	memset(memory.data + PAGE, 0x77, 2u * PAGE);
	const struct rs_region_config config = { .size = sizeof(config),
						 .name = "ram",
						 .host = memory.data,
						 .used_bytes = REGION_PAGES * PAGE };

	CHECK(rs_state_create(NULL, &vm->state) == 0);
	CHECK(rs_region_add(vm->state, &config, &vm->region) == 0);
	set(vm, "postcopy-ram", "on");
	if (vm->options & OPTION_PREEMPT)
		set(vm, "postcopy-preempt", "on");
	if (vm->options & OPTION_QEMU)
		set(vm, "machine",
		    vm->options & OPTION_OLD_QEMU ? "pc-i440fx-7.2" : "pc-i440fx-9.0");
	gated_peer_init(&vm->peer, data + 1, bytes - 1);
}

/* ---- what must be so ----------------------------------------------------------------------- */

static bool was_handed_over(struct vm *vm)
{
	return gated_peer_was_told(&vm->peer,
				   vm->options & OPTION_QEMU ? GATED_PACKAGE : GATED_COMMIT);
}

static void check_outcome(struct vm *vm, int result)
{
	enum rs_status status = rs_migrate_status(vm->state);
	bool given_back = (vm->decreed && vm->options & OPTION_DECREE_RUN) ||
			  gated_peer_has(&vm->peer, "\x52\x56", 2);
	struct rs_error error;

	rs_error_get(vm->state, RS_ERROR_OF_MIGRATION, &error);
	CHECK(vm->running == (status == RS_STATUS_FAILED));
	CHECK(!was_handed_over(vm) || !vm->running || given_back);
	if (result == 0)
		CHECK(status == RS_STATUS_COMPLETED && (was_handed_over(vm) || vm->decreed));
	else if (result == RS_ERROR_IN_DOUBT)
		CHECK(status == RS_STATUS_IN_DOUBT);
	else
		CHECK(status == RS_STATUS_FAILED && error.code == result && error.text[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static const struct rs_vm_ops ops = {
		.size = sizeof(ops),
		.stop = stop,
		.resume = resume,
		.save_devices = save_devices,
		.event = on_event,
		.open_channel = open_channel,
	};
	struct vm vm;

	if (bytes == 0)
		return 0;
	open_vm(&vm, data, bytes);
	struct rs_stream *stream = gated_peer_connect(&vm.peer, RS_STREAM_TWO_WAY);

	check_outcome(&vm, rs_migrate_out(vm.state, stream, &ops, &vm));
	rs_stream_close(stream, NULL);
	if (rs_migrate_status(vm.state) == RS_STATUS_IN_DOUBT)
		CHECK(rs_migrate_resolve(vm.state, RS_RESOLVE_DISCARD) == 0);
	CHECK(guarded_memory_intact(&memory, REGION_PAGES * PAGE));
	rs_state_destroy(vm.state);
	gated_peer_fini(&vm.peer);
	return 0;
}
