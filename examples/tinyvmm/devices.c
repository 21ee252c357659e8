/* SPDX-License-Identifier: MIT */
#include "tinyvmm/devices.h"
#include "tinyvmm/vm.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>

void devices_init(struct devices *devices)
{
	pthread_mutex_init(&devices->lock, NULL);
}

void devices_fini(struct devices *devices)
{
	pthread_mutex_destroy(&devices->lock);
}

/* Whole lines go out, so that those of a guest that moved in the middle of one are whole, too. */
static void print(struct devices *devices, char character)
{
	devices->line[devices->length++] = character;
	if (character != '\n' && devices->length < DEVICES_LINE)
		return;
	fwrite(devices->line, 1, devices->length, stdout);
	fflush(stdout);
	devices->length = 0;
}

static void print_ring(struct vcpu *vcpu, uint64_t address)
{
	struct vm *vm = vcpu->vm;
	struct console_ring *ring;
	uint64_t consumed, produced;

	if (!vm_has(vm, address, sizeof(*ring)) || !vm_fetch(vcpu, address, sizeof(*ring)))
		return;
	ring = (struct console_ring *)(vm->memory + address);
	consumed = ring->consumed;
	produced = ring->produced;
	/* A ring that is not what it should be is the guest's to find. */
	for (unsigned i = 0; consumed + i != produced && i < CONSOLE_RING; i++)
		print(&vm->devices, ring->text[(consumed + i) % CONSOLE_RING]);
	address += offsetof(struct console_ring, consumed);
	vm_write(vm, address, &produced, sizeof(produced));
}

static void fill(struct vcpu *vcpu, uint64_t address)
{
	struct vm *vm = vcpu->vm;
	uint64_t page[MACHINE_PAGE / 8];
	struct fill_request request;

	if (!vm_has(vm, address, sizeof(request)) || !vm_fetch(vcpu, address, sizeof(request)))
		return;
	memcpy(&request, vm->memory + address, sizeof(request));
	if (request.address % MACHINE_PAGE || !vm_has(vm, request.address, MACHINE_PAGE) ||
	    !vm_fetch(vcpu, request.address, MACHINE_PAGE))
		return;
	for (uint64_t i = 0; i < MACHINE_PAGE / 8; i++)
		page[i] = fill_word(request.address, request.sequence, i);
	vm_write(vm, request.address, page, sizeof(page));
	vm->devices.filled++;
}

static int port_out(struct vcpu *vcpu, uint16_t port, uint32_t value)
{
	switch (port) {
	case PORT_SERIAL:
		print(&vcpu->vm->devices, (char)value);
		return 0;
	case PORT_CONSOLE:
		print_ring(vcpu, value);
		return 0;
	case PORT_FILL:
		fill(vcpu, value);
		return 0;
	case PORT_CORRUPT:
		vm_end(vcpu->vm, EXIT_CORRUPT);
		return 0;
	default:
		return -ENXIO;
	}
}

int devices_port(struct vcpu *vcpu, struct kvm_run *run)
{
	struct devices *devices = &vcpu->vm->devices;
	const uint8_t *data = (const uint8_t *)run + run->io.data_offset;
	int ret = 0;

	if (run->io.direction != KVM_EXIT_IO_OUT || run->io.size > sizeof(uint32_t))
		return -ENXIO;
	pthread_mutex_lock(&devices->lock);
	for (uint32_t i = 0; i < run->io.count && !ret; i++) {
		uint32_t value = 0;

		memcpy(&value, data + (size_t)i * run->io.size, run->io.size);
		ret = port_out(vcpu, run->io.port, value);
	}
	vm_let_go(vcpu);
	pthread_mutex_unlock(&devices->lock);
	return ret;
}

int devices_save(struct vm *vm, struct rs_device_writer *writer)
{
	const struct rs_device_section section = { .name = DEVICES_SECTION, .version = 1 };
	const struct devices *devices = &vm->devices;
	uint8_t body[sizeof(uint64_t) + sizeof(uint32_t) + DEVICES_LINE];
	size_t bytes = 0;

	memcpy(body, &devices->filled, sizeof(devices->filled));
	bytes += sizeof(devices->filled);
	memcpy(body + bytes, &devices->length, sizeof(devices->length));
	bytes += sizeof(devices->length);
	memcpy(body + bytes, devices->line, devices->length);
	return rs_device_save(writer, &section, body, bytes + devices->length);
}

int devices_load(struct vm *vm, const struct rs_device_section *section, struct rs_stream *body)
{
	struct devices *devices = &vm->devices;

	rs_stream_get_bytes(body, &devices->filled, sizeof(devices->filled));
	rs_stream_get_bytes(body, &devices->length, sizeof(devices->length));
	if (devices->length >= DEVICES_LINE ||
	    section->bytes != sizeof(devices->filled) + sizeof(devices->length) + devices->length) {
		devices->length = 0;
		return -EINVAL;
	}
	return rs_stream_get_bytes(body, devices->line, devices->length);
}
