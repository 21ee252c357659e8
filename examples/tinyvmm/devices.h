/* SPDX-License-Identifier: MIT */
/* The devices behind the machine's ports: the serial line, the console, the filler of pages. */
#ifndef TINYVMM_DEVICES_H
#define TINYVMM_DEVICES_H

#include <ramsync/migrate.h>
#include <pthread.h>

struct vcpu;
struct vm;
struct kvm_run;

#define DEVICES_LINE 256u

struct devices {
	pthread_mutex_t lock; /* vCPUs come here from threads of their own */
	uint32_t length;      /* of a line that is not complete */
	char line[DEVICES_LINE];
	uint64_t filled; /* pages */
};

void devices_init(struct devices *devices);
void devices_fini(struct devices *devices);

/* A vCPU left the guest for a port. Returns 0, or a negative errno if there is nothing there. */
int devices_port(struct vcpu *vcpu, struct kvm_run *run);

/* As device state; with the vCPUs parked. */
int devices_save(struct vm *vm, struct rs_device_writer *writer);
int devices_load(struct vm *vm, const struct rs_device_section *section, struct rs_stream *body);

#define DEVICES_SECTION "devices"

#endif
