/* SPDX-License-Identifier: MIT */
#include "support/journal_vm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void write_down(struct journal_vm *vm, const char *word)
{
	size_t length = strlen(vm->journal);

	if (vm->hook != NULL)
		vm->hook(vm, word);
	snprintf(vm->journal + length, sizeof(vm->journal) - length, "%s ", word);
}

static int vm_stop(void *opaque)
{
	struct journal_vm *vm = opaque;

	write_down(vm, "stop");
	return vm->stop_code;
}

static int vm_resume(void *opaque, enum rs_resume why)
{
	struct journal_vm *vm = opaque;

	write_down(vm, why == RS_RESUME_ARRIVED ? "resume" : "go-on");
	return vm->resume_code;
}

static int vm_save_devices(void *opaque, struct rs_device_writer *writer)
{
	struct journal_vm *vm = opaque;
	const struct rs_device_section section = { .name = vm->device,
						   .version = vm->device_version };
	uint8_t *body = calloc(1, vm->device_bytes + 1);
	int result = body == NULL ? -1 : 0;

	write_down(vm, "save");
	for (size_t i = 0; body != NULL && i < vm->device_bytes; i++)
		body[i] = (uint8_t)(i * 7 + 1);
	if (result == 0 && vm->device != NULL)
		result = rs_device_save(writer, &section, body, vm->device_bytes);
	free(body);
	if (vm->forgets_save_result)
		result = 0;
	return vm->save_code != 0 ? vm->save_code : result;
}

static int vm_load_device(void *opaque, const struct rs_device_section *section,
			  struct rs_stream *body)
{
	struct journal_vm *vm = opaque;
	char word[300];

	snprintf(word, sizeof(word), "load:%s", section->name);
	write_down(vm, word);
	vm->device_version = section->version;
	for (size_t i = 0; i < vm->device_bytes; i++) {
		uint8_t byte = rs_stream_get_u8(body);

		if (i < sizeof(vm->loaded))
			vm->loaded[i] = byte;
	}
	return vm->load_code;
}

static void vm_event(void *opaque, const struct rs_event *event)
{
	struct journal_vm *vm = opaque;
	char word[32];

	switch (event->type) {
	case RS_EVENT_STATUS:
		if (event->text[0] != '\0')
			snprintf(vm->failure, sizeof(vm->failure), "%s", event->text);
		write_down(vm, rs_status_name(event->status));
		break;
	case RS_EVENT_PASS:
		snprintf(word, sizeof(word), "pass%llu", (unsigned long long)event->pass);
		write_down(vm, word);
		break;
	case RS_EVENT_WARNING:
		snprintf(vm->warning, sizeof(vm->warning), "%s", event->text);
		write_down(vm, "warning");
		break;
	}
}

const struct rs_vm_ops journal_vm_ops = {
	.size = sizeof(journal_vm_ops),
	.stop = vm_stop,
	.resume = vm_resume,
	.save_devices = vm_save_devices,
	.load_device = vm_load_device,
	.event = vm_event,
};
