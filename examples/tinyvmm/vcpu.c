/* SPDX-License-Identifier: MIT */
#include "tinyvmm/vcpu.h"
#include "text/fail.h"

#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CPUID_MAX 256u

static void do_nothing(int number)
{
	(void)number;
}

void vcpu_init_signal(void)
{
	const struct sigaction action = { .sa_handler = do_nothing };

	sigaction(SIGUSR1, &action, NULL);
}

void vcpu_kick_locked(struct vcpu *vcpu)
{
	/* The flag is for a thread that is about to enter the guest, the signal for one inside. */
	vcpu->run->immediate_exit = 1;
	pthread_kill(vcpu->thread, SIGUSR1);
}

/* KVM_RUN has returned with EINTR, so nothing of a port's instruction is left half-done. */
static bool park(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	bool ended;

	pthread_mutex_lock(&vm->lock);
	while (vm->parked && !vm->ended) {
		/* Once: others that are parked wait for the same condition, and would wake us. */
		if (!vcpu->parked) {
			vcpu->parked = true;
			pthread_cond_broadcast(&vm->changed);
		}
		pthread_cond_wait(&vm->changed, &vm->lock);
	}
	vcpu->parked = false;
	ended = vm->ended;
	vcpu->run->immediate_exit = 0;
	pthread_mutex_unlock(&vm->lock);
	return !ended;
}

/* Returns -EIO: this vCPU goes nowhere any more. */
static int crash(struct vcpu *vcpu, const char *what, uint64_t detail)
{
	struct kvm_regs regs = { 0 };
	bool doomed;

	pthread_mutex_lock(&vcpu->vm->lock);
	doomed = vcpu->vm->doomed;
	pthread_mutex_unlock(&vcpu->vm->lock);
	/* Without its memory it may be anywhere. */
	if (doomed)
		return -EIO;
	ioctl(vcpu->fd, KVM_GET_REGS, &regs);
	fprintf(stderr, "tinyvmm: vcpu %u: %s %#llx, at %#llx\n", vcpu->number, what,
		(unsigned long long)detail, (unsigned long long)regs.rip);
	pthread_mutex_lock(&vcpu->vm->lock);
	vcpu->vm->crashed = vcpu->vm->parked = true;
	pthread_mutex_unlock(&vcpu->vm->lock);
	vm_end(vcpu->vm, EXIT_CRASHED);
	return -EIO;
}

static int take_exit(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		if (devices_port(vcpu, run))
			return crash(vcpu, "nothing at port", run->io.port);
		return 0;
	case KVM_EXIT_SHUTDOWN:
		return crash(vcpu, "triple fault, exit", run->exit_reason);
	case KVM_EXIT_INTERNAL_ERROR:
		return crash(vcpu, "KVM's internal error", run->internal.suberror);
	default:
		return crash(vcpu, "unexpected exit", run->exit_reason);
	}
}

/* Until it is kicked. */
static void run(struct vcpu *vcpu)
{
	int ret = 0;

	while (!ret) {
		if (!ioctl(vcpu->fd, KVM_RUN, 0))
			ret = take_exit(vcpu);
		else if (errno == EINTR || errno == EAGAIN)
			ret = -errno;
		else
			ret = crash(vcpu, strerror(errno), 0);
	}
}

static void *run_vcpu(void *opaque)
{
	struct vcpu *vcpu = opaque;

	/* What it waits for in postcopy is then counted as this vCPU's. */
	rs_postcopy_register_vcpu(vcpu->vm->state, vcpu->number, (int)syscall(SYS_gettid));
	/* Every vCPU begins parked. */
	while (park(vcpu))
		run(vcpu);
	return NULL;
}

/* What KVM has, with the local APIC in the mode and under the number that it really has. */
static int set_cpuid(struct vm *vm, struct vcpu *vcpu)
{
	struct kvm_cpuid2 *cpuid;
	int ret;

	cpuid = calloc(1, sizeof(*cpuid) + CPUID_MAX * sizeof(*cpuid->entries));
	if (!cpuid)
		return -ENOMEM;
	cpuid->nent = CPUID_MAX;
	ret = ioctl(vm->kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid);
	for (uint32_t i = 0; !ret && i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		if (entry->function == 1) {
			entry->ebx = (entry->ebx & 0xffffff) | vcpu->number << 24;
			entry->ecx |= 1 << 21; /* x2APIC */
		}
		if (entry->function == 0xb)
			entry->edx = vcpu->number;
	}
	if (!ret)
		ret = ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid);
	ret = ret ? -errno : 0;
	free(cpuid);
	return ret;
}

static int map_run(struct vm *vm, struct vcpu *vcpu)
{
	int bytes = ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	void *run;

	if (bytes < 0)
		return -errno;
	run = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (run == MAP_FAILED)
		return -errno;
	vcpu->run = run;
	vcpu->run_bytes = (size_t)bytes;
	return 0;
}

int vcpu_create(struct vm *vm, unsigned number, struct rs_error *error)
{
	struct vcpu *vcpu = &vm->vcpu[number];
	int ret;

	vcpu->vm = vm;
	vcpu->number = number;
	vcpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, number);
	if (vcpu->fd < 0)
		return fail(error, -errno, "KVM_CREATE_VCPU: %s", strerror(errno));
	ret = map_run(vm, vcpu);
	if (ret)
		return fail(error, ret, "cannot map vcpu %u: %s", number, strerror(-ret));
	ret = set_cpuid(vm, vcpu);
	if (ret)
		return fail(error, ret, "KVM_SET_CPUID2: %s", strerror(-ret));
	ret = rs_kvm_add_vcpu(vm->kvm, vcpu->fd, error);
	if (ret)
		return ret;
	ret = -pthread_create(&vcpu->thread, NULL, run_vcpu, vcpu);
	if (ret)
		return fail(error, ret, "thread of vcpu %u: %s", number, strerror(-ret));
	vcpu->started = true;
	return 0;
}

void vcpu_join(struct vcpu *vcpu)
{
	if (vcpu->started)
		pthread_join(vcpu->thread, NULL);
}

void vcpu_destroy(struct vcpu *vcpu)
{
	if (vcpu->run)
		munmap(vcpu->run, vcpu->run_bytes);
	if (vcpu->fd > 0)
		close(vcpu->fd);
}
