/* SPDX-License-Identifier: MIT */
#include "tinyvmm/migration.h"
#include "tinyvmm/postcopy.h"
#include "tinyvmm/vcpu_state.h"
#include "text/fail.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The first section: whether the machines are alike, and whether the guest is to run. */
#define MACHINE_SECTION "machine"
struct machine_section {
	uint32_t vcpus;
	uint32_t stopped;
};

/* ---- what the library asks of a VMM -------------------------------------------------------- */

static void take_digest(struct migration *migration)
{
	if (migration->take_digest)
		migration->digest = vm_digest(migration->vm);
}

static int stop(void *opaque)
{
	struct migration *migration = opaque;

	vm_hold(migration->vm);
	take_digest(migration);
	return 0;
}

static int resume(void *opaque, enum rs_resume why)
{
	struct migration *migration = opaque;

	if (why == RS_RESUME_ARRIVED)
		take_digest(migration);
	vm_settle(migration->vm, true);
	return 0;
}

static int save_devices(void *opaque, struct rs_device_writer *writer)
{
	const struct rs_device_section section = { .name = MACHINE_SECTION, .version = 1 };
	struct vm *vm = ((struct migration *)opaque)->vm;
	const struct machine_section machine = {
		.vcpus = vm->config.vcpus,
		.stopped = vm_guest(vm) == GUEST_STOPPED,
	};
	int ret = rs_device_save(writer, &section, &machine, sizeof(machine));

	if (!ret)
		ret = devices_save(vm, writer);
	for (unsigned i = 0; !ret && i < vm->config.vcpus; i++)
		ret = vcpu_state_save(&vm->vcpu[i], writer);
	return ret;
}

static int load_machine(struct vm *vm, const struct rs_device_section *section,
			struct rs_stream *body)
{
	struct machine_section machine = { 0 };
	int ret;

	if (section->version != 1 || section->bytes != sizeof(machine))
		return rs_migrate_fail(vm->state, -EINVAL, "section \"%s\" is not ours",
				       section->name);
	ret = rs_stream_get_bytes(body, &machine, sizeof(machine));
	if (ret)
		return ret;
	if (machine.vcpus != vm->config.vcpus)
		return rs_migrate_fail(vm->state, -EINVAL,
				       "the guest has %u vCPUs, this machine has %u", machine.vcpus,
				       vm->config.vcpus);
	vm_inherit_stopped(vm, machine.stopped != 0);
	return 0;
}

static int load_device(void *opaque, const struct rs_device_section *section,
		       struct rs_stream *body)
{
	struct vm *vm = ((struct migration *)opaque)->vm;

	if (!strcmp(section->name, MACHINE_SECTION))
		return load_machine(vm, section, body);
	if (!strcmp(section->name, DEVICES_SECTION))
		return devices_load(vm, section, body);
	return vcpu_state_load(vm, section, body);
}

static void event_out(void *opaque, const struct rs_event *event)
{
	struct migration *migration = opaque;

	if (event->type == RS_EVENT_WARNING)
		fprintf(stderr, "tinyvmm: %s\n", event->text);
	else
		postcopy_event_out(migration, event);
}

static void event_in(void *opaque, const struct rs_event *event)
{
	struct migration *migration = opaque;

	if (event->type == RS_EVENT_WARNING)
		fprintf(stderr, "tinyvmm: %s\n", event->text);
	else
		postcopy_event_in(migration, event);
}

static const struct rs_vm_ops out_ops = {
	.size = sizeof(out_ops),
	.stop = stop,
	.resume = resume,
	.save_devices = save_devices,
	.event = event_out,
};

static const struct rs_vm_ops in_ops = {
	.size = sizeof(in_ops),
	.resume = resume,
	.load_device = load_device,
	.event = event_in,
};

/* ---- from the first to the last ------------------------------------------------------------ */

static void begun(struct migration *migration, bool outgoing, const char *address)
{
	migration->running = true;
	migration->outgoing = outgoing;
	snprintf(migration->address, sizeof(migration->address), "%s", address);
}

int migration_start_out(struct migration *migration, const char *address, struct rs_error *error)
{
	struct rs_state *state = migration->vm->state;
	int ret;

	if (migration->running)
		return fail(error, -EBUSY, "a migration runs");
	if (vm_guest(migration->vm) == GUEST_NONE)
		return fail(error, -ENOENT, "there is no guest here");
	ret = rs_migrate_start_connect(state, address, CONNECT_MS, &out_ops, migration);
	if (!ret)
		begun(migration, true, address);
	return fail_call(state, ret, error);
}

int migration_start_in(struct migration *migration, const char *address, struct rs_error *error)
{
	struct rs_state *state = migration->vm->state;
	struct rs_listener *listener;
	char there[MIGRATION_ADDRESS];
	int ret;

	if (migration->running)
		return fail(error, -EBUSY, "a migration runs");
	if (vm_guest(migration->vm) != GUEST_NONE)
		return fail(error, -EEXIST, "there is a guest here");
	ret = rs_stream_listen(address, &listener, error);
	if (ret)
		return ret;
	snprintf(there, sizeof(there), "%s", rs_listener_address(listener));
	ret = rs_migrate_start_accept(state, listener, 0, &in_ops, migration);
	if (ret) {
		rs_listener_close(listener);
		return fail_call(state, ret, error);
	}
	begun(migration, false, there);
	fprintf(stderr, "tinyvmm: listening on %s\n", there);
	return 0;
}

static bool has_ended(enum rs_status status)
{
	return status == RS_STATUS_COMPLETED || status == RS_STATUS_FAILED ||
	       status == RS_STATUS_CANCELLED || status == RS_STATUS_IN_DOUBT;
}

enum rs_status migration_look(struct migration *migration)
{
	struct rs_state *state = migration->vm->state;
	enum rs_status status = rs_migrate_status(state);
	struct rs_error error;
	int ret;

	if (!migration->running || !has_ended(status))
		return status;
	migration->running = false;
	ret = rs_migrate_wait(state);
	if (ret) {
		rs_error_get(state, RS_ERROR_OF_MIGRATION, &error);
		fprintf(stderr, "tinyvmm: %s: %s\n", rs_status_name(status), error.text);
	}
	/* A guest that comes by postcopy is here before its memory, which may not come after all. */
	if (migration->outgoing ? !ret : ret && vm_guest(migration->vm) != GUEST_NONE)
		vm_give_away(migration->vm);
	return status;
}

int migration_resolve(struct migration *migration, enum rs_resolution resolution,
		      struct rs_error *error)
{
	struct rs_state *state = migration->vm->state;
	int ret;

	if (rs_migrate_status(state) == RS_STATUS_POSTCOPY_PAUSED)
		return postcopy_resolve(migration, resolution, error);
	ret = rs_migrate_resolve(state, resolution);
	if (!ret && resolution == RS_RESOLVE_DISCARD)
		vm_give_away(migration->vm);
	return fail_call(state, ret, error);
}
