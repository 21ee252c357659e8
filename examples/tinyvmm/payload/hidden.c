/* SPDX-License-Identifier: MIT */
/*
 * Registers that a VMM may forget: vector registers and what of them there is to save, MSRs, the
 * timer of the APIC, debug registers, CR2. The payload is compiled without vector instructions, so
 * nothing but this file touches those.
 *
 * The time stamp counter is not among them: not every KVM has one for the guest, and between two
 * VMMs on one host, the host's is never wrong.
 */
#include "../machine.h"
#include "cpu.h"

struct msr {
	uint32_t number;
	const char *name;
};

/* Nobody uses these: they get values of ours. */
static const struct msr unused[] = {
	{ 0xc0000081, "MSR STAR" },
	{ 0xc0000082, "MSR LSTAR" },
	{ 0xc0000100, "MSR FS_BASE" },
	{ 0xc0000102, "MSR KERNEL_GS_BASE" },
};

/* These are set up before hidden_set(), and stay as they are. */
static const struct msr settled[] = {
	{ 0xc0000101, "MSR GS_BASE" },         { 0x80f, "the APIC's spurious vector" },
	{ 0x832, "the APIC timer's vector" },  { 0x838, "the APIC timer's count" },
	{ 0x83e, "the APIC timer's divider" },
};

#define UNUSED (sizeof(unused) / sizeof(*unused))
#define SETTLED (sizeof(settled) / sizeof(*settled))

static struct {
	uint64_t msr[SETTLED];
	uint32_t xsave_bytes;
} kept[MACHINE_VCPUS_MAX];

#define LEAF_FEATURES 1
#define FEATURE_XSAVE (1u << 26)
#define LEAF_XSAVE 0xd
#define CR4_OSXSAVE (1u << 18)

#define VECTORS 16

struct vector {
	uint64_t half[2];
} __attribute__((aligned(16)));

/* Canonical as an address, for those that must be. */
static uint64_t value_of(uint64_t vcpu, uint64_t number)
{
	return ((vcpu + 1) * 0x1f123bb5159a55e5ull ^ (number + 1) * 0x9e3779b97f4a7c15ull) >> 18;
}

#define LOAD(n) "movdqu " #n "*16(%0), %%xmm" #n "\n\t"
#define STORE(n) "movdqu %%xmm" #n ", " #n "*16(%1)\n\t"
#define EACH(what)                                                                                 \
	what(0) what(1) what(2) what(3) what(4) what(5) what(6) what(7) what(8) what(9) what(10)   \
	    what(11) what(12) what(13) what(14) what(15)

/*
 * Have XCR0 enable all there is: after a reset it enables next to nothing. It is not read, because
 * KVM cannot emulate that everywhere, but the bytes that XSAVE needs tell of it.
 */
static void enable_vectors(void)
{
	struct cpuid has = cpuid(LEAF_XSAVE);
	uint64_t cr4;

	if (!(cpuid(LEAF_FEATURES).c & FEATURE_XSAVE))
		return;
	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	__asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | CR4_OSXSAVE));
	__asm__ volatile("xsetbv" : : "a"(has.a), "d"(has.d), "c"(0));
}

void hidden_set(uint64_t vcpu)
{
	struct vector vectors[VECTORS];

	for (unsigned i = 0; i < VECTORS; i++) {
		vectors[i].half[0] = value_of(vcpu, 100 + i);
		vectors[i].half[1] = value_of(vcpu, 200 + i);
	}
	__asm__ volatile(EACH(LOAD) : : "r"(vectors), "m"(vectors));
	for (unsigned i = 0; i < UNUSED; i++)
		wrmsr(unused[i].number, value_of(vcpu, i));
	for (unsigned i = 0; i < SETTLED; i++)
		kept[vcpu].msr[i] = rdmsr(settled[i].number);
	enable_vectors();
	kept[vcpu].xsave_bytes = cpuid(LEAF_XSAVE).b;
	__asm__ volatile("mov %0, %%dr0" : : "r"(value_of(vcpu, 300)));
	__asm__ volatile("mov %0, %%dr3" : : "r"(value_of(vcpu, 303)));
	__asm__ volatile("mov %0, %%cr2" : : "r"(value_of(vcpu, 400)));
}

const char *hidden_check(uint64_t vcpu)
{
	struct vector vectors[VECTORS];
	uint64_t dr0, dr3, cr2;

	__asm__ volatile(EACH(STORE) : "=m"(vectors) : "r"(vectors));
	for (unsigned i = 0; i < VECTORS; i++)
		if (vectors[i].half[0] != value_of(vcpu, 100 + i) ||
		    vectors[i].half[1] != value_of(vcpu, 200 + i))
			return "a vector register";
	for (unsigned i = 0; i < UNUSED; i++)
		if (rdmsr(unused[i].number) != value_of(vcpu, i))
			return unused[i].name;
	for (unsigned i = 0; i < SETTLED; i++)
		if (rdmsr(settled[i].number) != kept[vcpu].msr[i])
			return settled[i].name;
	if (cpuid(LEAF_XSAVE).b != kept[vcpu].xsave_bytes)
		return "XCR0";
	__asm__ volatile("mov %%dr0, %0" : "=r"(dr0));
	__asm__ volatile("mov %%dr3, %0" : "=r"(dr3));
	if (dr0 != value_of(vcpu, 300) || dr3 != value_of(vcpu, 303))
		return "a debug register";
	__asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
	return cr2 == value_of(vcpu, 400) ? 0 : "CR2";
}
