/* SPDX-License-Identifier: MIT */
#include "tinyvmm/vm.h"
#include "tinyvmm/vcpu.h"
#include "tinyvmm/vcpu_state.h"
#include "text/fail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Of Linux 6.0. */
#ifndef KVM_CAP_X86_TRIPLE_FAULT_EVENT
#define KVM_CAP_X86_TRIPLE_FAULT_EVENT 218
#endif

#define LOW_SLOT 0u
#define HIGH_SLOT 1u

/* Routes of the I/O APIC, which we do not have: KVM wants a number. */
#define IO_APIC_PINS 24

static int open_kvm(struct vm *vm, struct rs_error *error)
{
	struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { IO_APIC_PINS } };
	struct kvm_enable_cap last_fault = { .cap = KVM_CAP_X86_TRIPLE_FAULT_EVENT, .args = { 1 } };

	vm->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm_fd < 0)
		return fail(error, -errno, "/dev/kvm: %s", strerror(errno));
	vm->fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, 0);
	if (vm->fd < 0)
		return fail(error, -errno, "KVM_CREATE_VM: %s", strerror(errno));
	if (ioctl(vm->fd, KVM_ENABLE_CAP, &split))
		return fail(error, -errno, "KVM_CAP_SPLIT_IRQCHIP: %s", strerror(errno));
	/*
	 * A vCPU whose guest was discarded for want of its memory may be about to tell of that guest's last fault.
	 * The next one must not inherit it: so it is a part of the vCPU's state, where KVM knows that (6.0).
	 */
	ioctl(vm->fd, KVM_ENABLE_CAP, &last_fault);
	return 0;
}

static int map_memory(struct vm *vm, struct rs_error *error)
{
	uint64_t bytes = vm->config.memory_bytes;
	const int access = PROT_READ | PROT_WRITE;

	vm->memory_fd = memfd_create("tinyvmm", MFD_CLOEXEC);
	if (vm->memory_fd < 0 || ftruncate(vm->memory_fd, (off_t)bytes))
		return fail(error, -errno, "memfd: %s", strerror(errno));
	vm->memory = mmap(NULL, bytes, access, MAP_SHARED, vm->memory_fd, 0);
	vm->device_memory = mmap(NULL, bytes, access, MAP_SHARED, vm->memory_fd, 0);
	if (vm->memory == MAP_FAILED || vm->device_memory == MAP_FAILED)
		return fail(error, -errno, "mmap: %s", strerror(errno));
	return 0;
}

static int add_region(struct vm *vm, struct rs_error *error)
{
	const struct rs_region_config config = {
		.size = sizeof(config),
		.name = "ram",
		.host = vm->memory,
		.fd = vm->memory_fd,
		.used_bytes = vm->config.memory_bytes,
		.flags = RS_REGION_FRESH | RS_REGION_HAS_FD | RS_REGION_SHARED,
	};
	int ret = rs_state_create(NULL, &vm->state);

	if (!ret)
		ret = rs_region_add(vm->state, &config, &vm->region);
	return ret ? fail(error, ret, "region \"ram\": %s", strerror(-ret)) : 0;
}

/* KVM's log or userfaultfd's, which sees what vCPUs write as it sees all else. */
static int add_dirty_log(struct vm *vm, struct rs_error *error)
{
	bool userfaultfd = vm->config.userfaultfd;
	const struct rs_kvm_config config = {
		.size = sizeof(config),
		.vm_fd = vm->fd,
		.log = userfaultfd ? RS_KVM_LOG_NONE : RS_KVM_LOG_AUTO,
	};
	int ret = userfaultfd ? rs_dirty_log_userfaultfd_probe(error) : 0;

	if (!ret && userfaultfd)
		ret = rs_region_add_dirty_log(vm->region, &rs_dirty_log_userfaultfd, NULL);
	if (!ret)
		ret = rs_kvm_create(&config, &vm->kvm, error);
	if (!ret)
		ret = rs_kvm_add_region(vm->kvm, vm->region, error);
	return ret ? fail(error, ret, "dirty log: %s", strerror(-ret)) : 0;
}

/* Guest memory from @begin to @end. The library tells KVM, and has it logged when that is wanted. */
static int add_slot(struct vm *vm, uint32_t number, uint64_t begin, uint64_t end,
		    struct rs_error *error)
{
	const struct rs_kvm_slot slot = {
		.size = sizeof(slot),
		.slot = number,
		.guest_address = begin,
		.region_offset = begin,
		.bytes = end - begin,
	};

	return rs_kvm_add_slot(vm->kvm, vm->region, &slot, error);
}

static int init_lock(struct vm *vm, struct rs_error *error)
{
	pthread_mutex_init(&vm->lock, NULL);
	pthread_cond_init(&vm->changed, NULL);
	devices_init(&vm->devices);
	vm->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (vm->end_fd < 0)
		return fail(error, -errno, "eventfd: %s", strerror(errno));
	return 0;
}

int vm_create(struct vm *vm, const struct vm_config *config, struct rs_error *error)
{
	int ret;

	*vm = (struct vm){ .config = *config, .kvm_fd = -1, .fd = -1, .memory_fd = -1 };
	vm->parked = true;
	ret = init_lock(vm, error);
	if (!ret)
		ret = open_kvm(vm, error);
	if (!ret)
		ret = map_memory(vm, error);
	if (!ret)
		ret = add_region(vm, error);
	if (!ret)
		ret = add_dirty_log(vm, error);
	if (!ret)
		ret = add_slot(vm, LOW_SLOT, 0, MACHINE_LOW_END, error);
	if (!ret)
		ret = add_slot(vm, HIGH_SLOT, MACHINE_HIGH, config->memory_bytes, error);
	vcpu_init_signal();
	for (unsigned i = 0; !ret && i < config->vcpus; i++)
		ret = vcpu_create(vm, i, error);
	if (!ret)
		ret = vcpu_state_init(vm, error);
	return ret;
}

/* Have the vCPUs where they are to be, soon. */
static void move_locked(struct vm *vm)
{
	vm->parked = !vm->here || vm->stopped || vm->held || vm->crashed || vm->ending;
	pthread_cond_broadcast(&vm->changed);
	for (unsigned i = 0; vm->parked && i < vm->config.vcpus; i++)
		if (vm->vcpu[i].started)
			vcpu_kick_locked(&vm->vcpu[i]);
}

static bool is_parked_locked(const struct vcpu *vcpu)
{
	return !vcpu->started || vcpu->parked;
}

/* Of a doomed guest: where it waits for a page KVM may not let go of it. */
static bool is_harmless_locked(const struct vcpu *vcpu)
{
	return !vcpu->busy;
}

/* If the vCPUs are to be parked, until they are as they should be. */
static void wait_locked(struct vm *vm, bool (*is_it)(const struct vcpu *vcpu))
{
	for (unsigned i = 0; i < vm->config.vcpus; i++)
		while (vm->parked && !is_it(&vm->vcpu[i]))
			pthread_cond_wait(&vm->changed, &vm->lock);
}

void vm_hold(struct vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	vm->held = true;
	move_locked(vm);
	wait_locked(vm, is_parked_locked);
	pthread_mutex_unlock(&vm->lock);
}

void vm_settle(struct vm *vm, bool here)
{
	pthread_mutex_lock(&vm->lock);
	vm->here = here;
	vm->held = false;
	move_locked(vm);
	wait_locked(vm, is_parked_locked);
	vm->doomed = false;
	pthread_mutex_unlock(&vm->lock);
}

void vm_doom(struct vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	vm->held = true;
	vm->doomed = true;
	move_locked(vm);
	wait_locked(vm, is_harmless_locked);
	pthread_mutex_unlock(&vm->lock);
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void unmap(uint8_t *memory, uint64_t bytes)
{
	if (memory && memory != MAP_FAILED)
		munmap(memory, bytes);
}

void vm_destroy(struct vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	vm->ending = true;
	vm->doomed = true;
	move_locked(vm);
	wait_locked(vm, is_harmless_locked);
	pthread_mutex_unlock(&vm->lock);
	/* Nobody marks what he wrote any more. A migration that runs is cancelled, and waited for. */
	rs_state_destroy(vm->state);
	pthread_mutex_lock(&vm->lock);
	vm->ended = true;
	pthread_cond_broadcast(&vm->changed);
	pthread_mutex_unlock(&vm->lock);
	for (unsigned i = 0; i < vm->config.vcpus; i++)
		vcpu_join(&vm->vcpu[i]);
	rs_kvm_destroy(vm->kvm);
	for (unsigned i = 0; i < vm->config.vcpus; i++)
		vcpu_destroy(&vm->vcpu[i]);
	free(vm->msr);
	close_fd(vm->fd);
	close_fd(vm->kvm_fd);
	unmap(vm->memory, vm->config.memory_bytes);
	unmap(vm->device_memory, vm->config.memory_bytes);
	close_fd(vm->memory_fd);
	close_fd(vm->end_fd);
	devices_fini(&vm->devices);
	pthread_cond_destroy(&vm->changed);
	pthread_mutex_destroy(&vm->lock);
}

void vm_give_away(struct vm *vm)
{
	vm_settle(vm, false);
	/* A guest that comes brings all of its memory. */
	if (fallocate(vm->memory_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		      (off_t)vm->config.memory_bytes))
		perror("tinyvmm: cannot free the guest's memory");
	else
		rs_region_set_fresh(vm->region);
}

static bool are_parked_locked(const struct vm *vm)
{
	for (unsigned i = 0; i < vm->config.vcpus; i++)
		if (!is_parked_locked(&vm->vcpu[i]))
			return false;
	return true;
}

enum guest vm_guest(struct vm *vm)
{
	enum guest guest = GUEST_RUNNING;

	pthread_mutex_lock(&vm->lock);
	if (!vm->here)
		guest = GUEST_NONE;
	else if (vm->stopped)
		guest = are_parked_locked(vm) ? GUEST_STOPPED : GUEST_STOPPING;
	else if (vm->held || vm->crashed)
		guest = GUEST_HELD;
	pthread_mutex_unlock(&vm->lock);
	return guest;
}

void vm_inherit_stopped(struct vm *vm, bool stopped)
{
	pthread_mutex_lock(&vm->lock);
	vm->stopped = stopped;
	pthread_mutex_unlock(&vm->lock);
}

int vm_set_stopped(struct vm *vm, bool stopped, bool wait)
{
	bool here;

	pthread_mutex_lock(&vm->lock);
	here = vm->here;
	if (here) {
		vm->stopped = stopped;
		move_locked(vm);
		if (wait)
			wait_locked(vm, is_parked_locked);
	}
	pthread_mutex_unlock(&vm->lock);
	return here ? 0 : -ENOENT;
}

void vm_end(struct vm *vm, enum exit_code code)
{
	const uint64_t one = 1;

	pthread_mutex_lock(&vm->lock);
	if (!vm->exit_code && code)
		vm->exit_code = (int)code;
	pthread_mutex_unlock(&vm->lock);
	if (write(vm->end_fd, &one, sizeof(one)) < 0)
		return; /* it is readable already */
}

bool vm_has(const struct vm *vm, uint64_t address, uint64_t bytes)
{
	uint64_t end = vm->config.memory_bytes;

	if (address < MACHINE_LOW_END)
		end = MACHINE_LOW_END;
	else if (address < MACHINE_HIGH)
		return false;
	return address <= end && bytes <= end - address;
}

/* False if nothing is to be done for the guest any more. */
static bool set_busy(struct vcpu *vcpu, bool busy)
{
	struct vm *vm = vcpu->vm;
	bool doomed;

	pthread_mutex_lock(&vm->lock);
	doomed = vm->doomed;
	vcpu->busy = busy && !doomed;
	if (doomed)
		pthread_cond_broadcast(&vm->changed);
	pthread_mutex_unlock(&vm->lock);
	return !doomed;
}

bool vm_fetch(struct vcpu *vcpu, uint64_t address, uint64_t bytes)
{
	const volatile uint8_t *memory = vcpu->vm->memory;

	set_busy(vcpu, false);
	for (uint64_t at = address; at < address + bytes; at = (at | (MACHINE_PAGE - 1)) + 1)
		(void)memory[at];
	return set_busy(vcpu, true);
}

void vm_let_go(struct vcpu *vcpu)
{
	set_busy(vcpu, false);
}

void vm_write(struct vm *vm, uint64_t address, const void *data, uint64_t bytes)
{
	memcpy(vm->device_memory + address, data, bytes);
	/* No dirty log sees the write: no vCPU made it, and it went through another mapping. */
	if (!vm->config.forget_marks)
		rs_dirty_mark(vm->region, address, bytes);
}

/* Read as a file: looking at a hole of mapped memory would fill it. */
uint64_t vm_digest(const struct vm *vm)
{
	uint64_t word[8192], digest = 0;
	ssize_t bytes;

	for (off_t at = 0; (bytes = pread(vm->memory_fd, word, sizeof(word), at)) > 0; at += bytes)
		for (size_t i = 0; i < (size_t)bytes / sizeof(*word); i++)
			digest = (digest ^ word[i]) * 0x9e3779b97f4a7c15ull + (digest >> 29);
	return digest;
}
