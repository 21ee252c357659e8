/* SPDX-License-Identifier: MIT */
#include "tinyvmm/migration.h"
#include "tinyvmm/vcpu_state.h"
#include "text/fail.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CONNECT_MS 10000u
#define STALL_MS 30000u

/* The first section: whether the machines are alike, and whether the guest is to run. */
#define MACHINE_SECTION "machine"
struct machine_section {
	uint32_t vcpus;
	uint32_t stopped;
};

static void take_digest(struct migration *migration)
{
	uint64_t digest = migration->take_digest ? vm_digest(migration->vm) : 0;

	pthread_mutex_lock(&migration->lock);
	migration->digest = digest;
	pthread_mutex_unlock(&migration->lock);
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

/* The text of what failed in a callback; the library knows the number only. */
static int fail_callback(struct migration *migration, int code, const struct rs_error *error)
{
	pthread_mutex_lock(&migration->lock);
	if (error->code)
		migration->error = *error;
	pthread_mutex_unlock(&migration->lock);
	return code;
}

static int save_devices(void *opaque, struct rs_device_writer *writer)
{
	const struct rs_device_section section = { .name = MACHINE_SECTION, .version = 1 };
	struct migration *migration = opaque;
	struct vm *vm = migration->vm;
	struct machine_section machine = { .vcpus = vm->config.vcpus, .stopped = vm_stopped(vm) };
	struct rs_error error = { 0 };
	int ret = rs_device_save(writer, &section, &machine, sizeof(machine));

	if (!ret)
		ret = devices_save(vm, writer);
	for (unsigned i = 0; !ret && i < vm->config.vcpus; i++)
		ret = vcpu_state_save(&vm->vcpu[i], writer, &error);
	return fail_callback(migration, ret, &error);
}

static int load_machine(struct vm *vm, const struct rs_device_section *section,
			struct rs_stream *body, struct rs_error *error)
{
	struct machine_section machine = { 0 };
	int ret;

	if (section->version != 1 || section->bytes != sizeof(machine))
		return fail(error, -EINVAL, "section \"%s\" is not ours", section->name);
	ret = rs_stream_get_bytes(body, &machine, sizeof(machine));
	if (ret)
		return ret;
	if (machine.vcpus != vm->config.vcpus)
		return fail(error, -EINVAL, "the guest has %u vCPUs, this machine has %u",
			    machine.vcpus, vm->config.vcpus);
	vm_inherit_stopped(vm, machine.stopped != 0);
	return 0;
}

static int load_device(void *opaque, const struct rs_device_section *section,
		       struct rs_stream *body)
{
	struct migration *migration = opaque;
	struct vm *vm = migration->vm;
	struct rs_error error = { 0 };
	int ret;

	if (!strcmp(section->name, MACHINE_SECTION))
		ret = load_machine(vm, section, body, &error);
	else if (!strcmp(section->name, DEVICES_SECTION))
		ret = devices_load(vm, section, body);
	else
		ret = vcpu_state_load(vm, section, body, &error);
	return fail_callback(migration, ret, &error);
}

static bool is_end(enum rs_status status)
{
	return status == RS_STATUS_COMPLETED || status == RS_STATUS_FAILED ||
	       status == RS_STATUS_CANCELLED || status == RS_STATUS_IN_DOUBT;
}

static void event(void *opaque, const struct rs_event *event)
{
	struct migration *migration = opaque;
	bool cancelled;

	if (event->type == RS_EVENT_WARNING)
		fprintf(stderr, "tinyvmm: %s\n", event->text);
	pthread_mutex_lock(&migration->lock);
	/* The end is told when everything else that belongs to it is done. */
	if (!is_end(event->status))
		migration->status = event->status;
	cancelled = migration->cancelled;
	pthread_mutex_unlock(&migration->lock);
	/* It was asked for before the library had anything to cancel. */
	if (cancelled && event->status == RS_STATUS_SETUP)
		rs_migrate_cancel(migration->vm->state);
}

static const struct rs_vm_ops vm_ops = {
	.size = sizeof(vm_ops),
	.stop = stop,
	.resume = resume,
	.save_devices = save_devices,
	.load_device = load_device,
	.event = event,
};

static int accept_stream(struct migration *migration, struct rs_stream **stream,
			 struct rs_error *error)
{
	struct rs_listener *listener = NULL;
	bool cancelled;
	int ret = rs_stream_listen(migration->address, &listener, error);

	if (ret)
		return ret;
	fprintf(stderr, "tinyvmm: listening on %s\n", rs_listener_address(listener));
	pthread_mutex_lock(&migration->lock);
	migration->listener = listener;
	snprintf(migration->address, sizeof(migration->address), "%s",
		 rs_listener_address(listener));
	cancelled = migration->cancelled;
	pthread_mutex_unlock(&migration->lock);
	ret = cancelled ? -ECANCELED : rs_listener_accept(listener, 0, stream, error);
	pthread_mutex_lock(&migration->lock);
	migration->listener = NULL;
	pthread_mutex_unlock(&migration->lock);
	rs_listener_close(listener);
	return ret;
}

/* Returns what the library did; @error is filled if it is no success. */
static int migrate(struct migration *migration, struct rs_error *error)
{
	struct rs_state *state = migration->vm->state;
	bool out = migration->direction == DIRECTION_OUT;
	struct rs_stream *stream = NULL;
	int ret;

	if (out)
		ret = rs_stream_connect(migration->address, CONNECT_MS, &stream, error);
	else
		ret = accept_stream(migration, &stream, error);
	if (ret)
		return ret;
	rs_stream_set_stall_timeout(stream, STALL_MS);
	if (out)
		ret = rs_migrate_out(state, stream, &vm_ops, migration);
	else
		ret = rs_migrate_in(state, stream, &vm_ops, migration);
	if (ret)
		rs_error_get(state, RS_ERROR_OF_MIGRATION, error);
	rs_stream_close(stream, NULL);
	return ret;
}

static enum rs_status status_of(int ret)
{
	switch (ret) {
	case 0:
		return RS_STATUS_COMPLETED;
	case RS_ERROR_IN_DOUBT:
		return RS_STATUS_IN_DOUBT;
	case -ECANCELED:
		return RS_STATUS_CANCELLED;
	default:
		return RS_STATUS_FAILED;
	}
}

static void tell_end(struct migration *migration)
{
	const uint64_t one = 1;

	if (write(migration->ended_fd, &one, sizeof(one)) < 0)
		perror("tinyvmm: eventfd");
}

static void *migration_main(void *opaque)
{
	struct migration *migration = opaque;
	struct rs_error error = { 0 };
	int ret = migrate(migration, &error);

	if (!ret && migration->direction == DIRECTION_OUT)
		vm_give_away(migration->vm);
	pthread_mutex_lock(&migration->lock);
	if (ret && !migration->error.code)
		migration->error = error;
	migration->status = status_of(ret);
	migration->busy = false;
	pthread_mutex_unlock(&migration->lock);
	tell_end(migration);
	return NULL;
}

int migration_init(struct migration *migration, struct vm *vm, bool take_digest_too)
{
	*migration = (struct migration){ .vm = vm, .take_digest = take_digest_too };
	pthread_mutex_init(&migration->lock, NULL);
	migration->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return migration->ended_fd < 0 ? -errno : 0;
}

static void join(struct migration *migration)
{
	if (migration->started)
		pthread_join(migration->thread, NULL);
	migration->started = false;
}

void migration_fini(struct migration *migration)
{
	migration_cancel(migration);
	join(migration);
	if (migration->ended_fd >= 0)
		close(migration->ended_fd);
	pthread_mutex_destroy(&migration->lock);
}

/* Before there is a thread; only the control thread starts migrations. */
static int prepare(struct migration *migration, enum direction direction, const char *address,
		   struct rs_error *error)
{
	bool here = vm_here(migration->vm);

	if (migration->busy)
		return fail(error, -EBUSY, "a migration runs");
	if (migration->status == RS_STATUS_IN_DOUBT)
		return fail(error, -EBUSY, "the last migration is in doubt: resolve it");
	if (direction == DIRECTION_OUT && !here)
		return fail(error, -ENOENT, "there is no guest here");
	if (direction == DIRECTION_IN && here)
		return fail(error, -EEXIST, "there is a guest here");
	if (strlen(address) >= sizeof(migration->address))
		return fail(error, -EINVAL, "the address is too long");
	snprintf(migration->address, sizeof(migration->address), "%s", address);
	migration->direction = direction;
	migration->status = RS_STATUS_NONE;
	migration->cancelled = false;
	migration->error = (struct rs_error){ 0 };
	migration->digest = 0;
	migration->busy = true;
	return 0;
}

int migration_start(struct migration *migration, enum direction direction, const char *address,
		    struct rs_error *error)
{
	int ret;

	pthread_mutex_lock(&migration->lock);
	ret = prepare(migration, direction, address, error);
	pthread_mutex_unlock(&migration->lock);
	if (ret)
		return ret;
	join(migration);
	ret = pthread_create(&migration->thread, NULL, migration_main, migration);
	migration->started = !ret;
	if (!ret)
		return 0;
	pthread_mutex_lock(&migration->lock);
	migration->busy = false;
	pthread_mutex_unlock(&migration->lock);
	return fail(error, -ret, "thread: %s", strerror(ret));
}

int migration_cancel(struct migration *migration)
{
	int ret;

	pthread_mutex_lock(&migration->lock);
	migration->cancelled = migration->busy;
	if (migration->listener)
		rs_listener_shutdown(migration->listener);
	ret = migration->busy ? rs_migrate_cancel(migration->vm->state) : -ESRCH;
	/* Not begun yet, and then event() sees to it; or over. */
	if (ret == -ESRCH && migration->busy)
		ret = 0;
	pthread_mutex_unlock(&migration->lock);
	return ret;
}

int migration_resolve(struct migration *migration, enum rs_resolution resolution,
		      struct rs_error *error)
{
	struct vm *vm = migration->vm;
	int ret = rs_migrate_resolve(vm->state, resolution);

	if (ret) {
		rs_error_get(vm->state, RS_ERROR_OF_CALL, error);
		return fail(error, ret, "%s", strerror(-ret));
	}
	if (resolution == RS_RESOLVE_DISCARD)
		vm_give_away(vm);
	pthread_mutex_lock(&migration->lock);
	migration->status = rs_migrate_status(vm->state);
	pthread_mutex_unlock(&migration->lock);
	return 0;
}
