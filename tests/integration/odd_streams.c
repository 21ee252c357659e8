/* SPDX-License-Identifier: MIT */
#include "integration/odd_streams.h"

#include "support/guarded_memory.h"
#include "support/peer.h"

#include <ramsync/param.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define PAGE 4096u
#define REGIONS 3

struct odd_vm {
	struct rs_state *state;
	unsigned options;
	int region_count;
	size_t max_bytes[REGIONS];
	struct guarded_memory memory[REGIONS];
	int resumes;
};

static int add_region(struct odd_vm *vm, const char *name, uint64_t used, uint64_t max,
		      uint32_t flags)
{
	int index = vm->region_count++;
	struct guarded_memory *memory = &vm->memory[index];

	assert_int_equal(guarded_memory_init(memory, max), 0);
	guarded_memory_reset(memory, max);
	vm->max_bytes[index] = max;
	const struct rs_region_config config = { .size = sizeof(config),
						 .name = name,
						 .host = memory->data,
						 .used_bytes = used,
						 .max_bytes = max,
						 .guest_address = 0x1000,
						 .flags = flags };

	return rs_region_add(vm->state, &config, NULL);
}

static int announced(void *opaque, const char *name, uint64_t used_bytes)
{
	struct odd_vm *vm = opaque;

	if (strcmp(name, "c") != 0 || used_bytes > 2 * PAGE)
		return -E2BIG;
	return add_region(vm, name, used_bytes, used_bytes, 0);
}

static int load_device(void *opaque, const struct rs_device_section *section,
		       struct rs_stream *body)
{
	const struct odd_vm *vm = opaque;

	if (vm->options & ODD_DEVICE_FAILS)
		return -EIO;
	if (vm->options & ODD_DEVICE_LAZY)
		return 0;
	return rs_stream_skip(body, section->bytes == RS_LENGTH_UNKNOWN ? 4 : section->bytes);
}

static int resume(void *opaque)
{
	struct odd_vm *vm = opaque;

	vm->resumes++;
	return 0;
}

static void set(struct odd_vm *vm, unsigned option, const char *name, const char *value)
{
	if (vm->options & option)
		assert_int_equal(rs_param_set(vm->state, name, value), 0);
}

static void open_vm(struct odd_vm *vm, unsigned options)
{
	*vm = (struct odd_vm){ .options = options };
	assert_int_equal(rs_state_create(NULL, &vm->state), 0);
	set(vm, ODD_IGNORE_SHARED, "x-ignore-shared", "on");
	set(vm, ODD_MACHINE, "machine", "pc-i440fx-7.2");
	set(vm, ODD_HUGE_DEVICES, "max-device-state", "1T");
	assert_int_equal(add_region(vm, "a", 4 * PAGE, 4 * PAGE, 0), 0);
	uint32_t readonly = options & ODD_READONLY ? RS_REGION_READONLY : 0;

	assert_int_equal(add_region(vm, "b", 2 * PAGE, 4 * PAGE, RS_REGION_RESIZABLE | readonly),
			 0);
	if (options & ODD_IGNORE_SHARED)
		assert_int_equal(add_region(vm, "i", 2 * PAGE, 2 * PAGE, RS_REGION_IGNORED), 0);
}

static void close_vm(struct odd_vm *vm)
{
	rs_state_destroy(vm->state);
	for (int i = 0; i < vm->region_count; i++) {
		assert_true(guarded_memory_intact(&vm->memory[i], vm->max_bytes[i]));
		guarded_memory_fini(&vm->memory[i]);
	}
}

static void check_outcome(const struct odd_vm *vm, int result, const struct rs_error *error)
{
	enum rs_status status = rs_migrate_status(vm->state);

	assert_int_equal(vm->resumes, result == 0);
	if (result == 0)
		assert_int_equal(status, RS_STATUS_COMPLETED);
	else if (result == RS_ERROR_IN_DOUBT)
		assert_int_equal(status, RS_STATUS_IN_DOUBT);
	else
		assert_int_equal(status, RS_STATUS_FAILED);
	if (result != 0) {
		assert_true(error->text[0] != '\0');
		assert_true(result == RS_ERROR_IN_DOUBT || error->code == result);
	}
}

int odd_stream_receive(const uint8_t *data, size_t bytes, unsigned options, struct rs_error *error)
{
	struct odd_vm vm;

	open_vm(&vm, options);
	const struct rs_vm_ops ops = {
		.size = sizeof(ops),
		.resume = resume,
		.load_device = options & ODD_NO_DEVICES ? NULL : load_device,
		.region_announced = options & ODD_ANNOUNCED ? announced : NULL,
	};
	struct peer peer;

	peer_init(&peer, data, bytes, 0);
	struct rs_stream *stream =
	    peer_connect(&peer, options & ODD_TWO_WAY ? RS_STREAM_TWO_WAY : RS_STREAM_READ);
	int result = rs_migrate_in(vm.state, stream, &ops, &vm);

	rs_error_get(vm.state, RS_ERROR_OF_MIGRATION, error);
	check_outcome(&vm, result, error);
	rs_stream_close(stream, NULL);
	peer_fini(&peer);
	close_vm(&vm);
	return result;
}

void odd_streams_run(const struct odd_stream *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct stream_bytes stream = { 0 };
		struct rs_error error = { 0 };

		stream_text(&stream, rows[i].text);
		int result = odd_stream_receive(stream.data, stream.bytes, rows[i].options, &error);

		stream_free(&stream);
		if (result != rows[i].code)
			fail_msg("%s: %d (%s) instead of %d", rows[i].what, result, error.text,
				 rows[i].code);
		if (rows[i].code != 0 && strstr(error.text, rows[i].fragment) == NULL)
			fail_msg("%s: \"%s\" does not say \"%s\"", rows[i].what, error.text,
				 rows[i].fragment);
	}
}
