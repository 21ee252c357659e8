/* SPDX-License-Identifier: MIT */
/*
 * The virtual machine: KVM's descriptors, the memory, the vCPUs, the devices, and the library's
 * state beside them.
 *
 * The vCPUs' threads are there from the beginning to the end. What changes is whether they are
 * parked: before there is a guest, while it is stopped, after it has gone to another process.
 */
#ifndef TINYVMM_VM_H
#define TINYVMM_VM_H

#include "tinyvmm/devices.h"
#include "tinyvmm/machine.h"

#include <ramsync/ramsync.h>
#include <pthread.h>
#include <stdbool.h>

/* What tinyvmm ends with. */
enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_CORRUPT = 2, /* the guest says so */
	EXIT_CRASHED = 3, /* the guest, or KVM, cannot go on */
	EXIT_BAD_USAGE = 64,
};

struct vm_config {
	unsigned vcpus;
	uint64_t memory_bytes;
	uint64_t working_set_bytes; /* of all vCPUs together */
	bool idle;
	bool userfaultfd; /* it logs what is written, not KVM */
	bool forget_marks;
};

enum guest {
	GUEST_NONE,
	GUEST_STOPPED,  /* by the user */
	GUEST_STOPPING, /* a vCPU waits for a page that is still at the other end */
	GUEST_HELD,     /* by a migration, or because it crashed */
	GUEST_RUNNING,
};

struct vm;
struct kvm_run;

struct vcpu {
	struct vm *vm;
	unsigned number;
	int fd;
	size_t run_bytes;
	struct kvm_run *run;
	pthread_t thread;
	bool started;
	/* Guarded by vm->lock. */
	bool parked;
	bool busy; /* in a device, with memory that it has fetched */
};

struct vm {
	struct vm_config config;
	int kvm_fd, fd;

	int memory_fd;
	uint8_t *memory;        /* as the guest has it */
	uint8_t *device_memory; /* as the devices have it, in other processes, perhaps */

	struct rs_state *state;
	struct rs_region *region;
	struct rs_kvm *kvm;

	struct vcpu vcpu[MACHINE_VCPUS_MAX];
	uint32_t *msr; /* those that travel */
	uint32_t msrs;
	struct devices devices;

	/* Guarded by the lock. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool here;     /* the guest is this process's */
	bool stopped;  /* the user wants it not to run */
	bool held;     /* a migration wants it not to run */
	bool crashed;  /* a vCPU cannot go on */
	bool doomed;   /* its memory will never be whole, or tinyvmm ends: nothing is done for it */
	bool parked;   /* so the vCPUs are to be parked */
	bool ending;   /* parked for good */
	bool ended;    /* its threads are to end */
	int exit_code; /* valid once end_fd is readable */
	int end_fd;
};

/* Everything but a guest: the vCPUs are parked. */
int vm_create(struct vm *vm, const struct vm_config *config, struct rs_error *error);
void vm_destroy(struct vm *vm);

/* For a migration: have the vCPUs out of the guest, and nothing write its memory, on return. */
void vm_hold(struct vm *vm);

/*
 * Whether the guest is this process's from here on. If so it is held no longer, and goes on,
 * unless the user wants it stopped.
 */
void vm_settle(struct vm *vm, bool here);

/* The guest has gone to another process: it is no more here, and neither is its memory. */
void vm_give_away(struct vm *vm);

/*
 * What is missing of its memory will not come. On return nothing is done for the guest any more. A vCPU that waits
 * for a page need not be out of it: KVM may let it go only when it has one. But it will not run on.
 */
void vm_doom(struct vm *vm);

/* Is there a guest, and does it run? */
enum guest vm_guest(struct vm *vm);

/* A guest that arrives brings along whether its user had stopped it. */
void vm_inherit_stopped(struct vm *vm, bool stopped);

/*
 * What the user wants. Returns -ENOENT if there is no guest here. With @wait, the vCPUs are parked on return;
 * without, those that wait for a page will be when it has come.
 */
int vm_set_stopped(struct vm *vm, bool stopped, bool wait);

/* Have the program end. The first call counts. From any thread. */
void vm_end(struct vm *vm, enum exit_code code);

/* Is [@address, @address + @bytes) memory of the guest? */
bool vm_has(const struct vm *vm, uint64_t address, uint64_t bytes);

/*
 * Inside a device, before it looks at memory or writes it: have it here. In postcopy it may be at the other end
 * still, and the devices' own mapping knows nothing of that. False: nothing is to be done for the guest any more.
 * The range has been checked.
 */
bool vm_fetch(struct vcpu *vcpu, uint64_t address, uint64_t bytes);

/* It leaves the device, and needs the memory no longer. */
void vm_let_go(struct vcpu *vcpu);

/* A device writes guest memory that it has fetched, and says so. */
void vm_write(struct vm *vm, uint64_t address, const void *data, uint64_t bytes);

/* A number made of every byte of memory. The vCPUs must be parked to make sense of it. */
uint64_t vm_digest(const struct vm *vm);

#endif
