/* SPDX-License-Identifier: MIT */
#include "tinyvmm/boot.h"
#include "text/fail.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

/* Page tables: memory stands where it stands, up to 4 GiB, in pages of 2 MiB. */
#define LEVEL4 0x1000ull
#define LEVEL3 0x2000ull
#define LEVEL2 0x3000ull /* four of them */
#define GIBIBYTES 4u
#define ENTRIES 512u
#define PRESENT_WRITABLE 3u
#define LARGE 0x80u

#define CR0_PROTECTED_PAGED 0x80000011ull
#define CR4_PAE_SSE 0x620ull
#define EFER_LONG_MODE 0x500ull

__asm__(".section .rodata\n"
	".balign 8\n"
	"payload_bytes:	.quad 2f - 1f\n"
	"payload:\n"
	"1:	.incbin \"" PAYLOAD_IMAGE "\"\n"
	"2:	.text\n");
extern const uint64_t payload_bytes;
extern const uint8_t payload[];

static void put_page_tables(struct vm *vm)
{
	uint64_t *level4 = (uint64_t *)(vm->memory + LEVEL4);
	uint64_t *level3 = (uint64_t *)(vm->memory + LEVEL3);
	uint64_t *level2 = (uint64_t *)(vm->memory + LEVEL2);

	level4[0] = LEVEL3 | PRESENT_WRITABLE;
	for (uint64_t i = 0; i < GIBIBYTES; i++)
		level3[i] = (LEVEL2 + i * MACHINE_PAGE) | PRESENT_WRITABLE;
	for (uint64_t i = 0; i < GIBIBYTES * ENTRIES; i++)
		level2[i] = i << 21 | LARGE | PRESENT_WRITABLE;
}

static void put_params(struct vm *vm)
{
	struct machine_params *params = (struct machine_params *)(vm->memory + MACHINE_PARAMS);

	params->vcpus = vm->config.vcpus;
	params->idle = vm->config.idle;
	params->pages = vm->config.working_set_bytes / vm->config.vcpus / MACHINE_PAGE;
}

static void long_mode(struct kvm_sregs *sregs)
{
	const struct kvm_segment code = {
		.limit = ~0u,
		.selector = 8,
		.present = 1,
		.type = 11,
		.s = 1,
		.l = 1,
		.g = 1,
	};
	const struct kvm_segment data = {
		.limit = ~0u,
		.selector = 16,
		.present = 1,
		.type = 3,
		.s = 1,
		.db = 1,
		.g = 1,
	};

	sregs->cs = code;
	sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
	sregs->cr0 = CR0_PROTECTED_PAGED;
	sregs->cr3 = LEVEL4;
	sregs->cr4 = CR4_PAE_SSE;
	sregs->efer = EFER_LONG_MODE;
}

static int put_at_entry(struct vcpu *vcpu)
{
	struct kvm_mp_state runnable = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct kvm_regs regs = {
		.rip = MACHINE_HIGH,
		.rsp = MACHINE_STACKS - vcpu->number * MACHINE_STACK,
		.rdi = vcpu->number,
		.rflags = 2,
	};
	struct kvm_sregs sregs;

	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs))
		return -errno;
	long_mode(&sregs);
	if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) || ioctl(vcpu->fd, KVM_SET_REGS, &regs) ||
	    ioctl(vcpu->fd, KVM_SET_MP_STATE, &runnable))
		return -errno;
	return 0;
}

int boot(struct vm *vm, struct rs_error *error)
{
	memcpy(vm->memory + MACHINE_HIGH, payload, payload_bytes);
	put_page_tables(vm);
	put_params(vm);
	for (unsigned i = 0; i < vm->config.vcpus; i++) {
		int ret = put_at_entry(&vm->vcpu[i]);

		if (ret)
			return fail(error, ret, "registers of vcpu %u: %s", i, strerror(-ret));
	}
	return 0;
}
