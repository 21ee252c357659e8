/* SPDX-License-Identifier: MIT */
/*
 * Registers that a VMM may forget: vector registers, MSRs, debug registers, CR2. The payload is
 * compiled without vector instructions, so nothing but this file touches them.
 */
#include "cpu.h"

static const struct {
	uint32_t number;
	const char *name;
} msrs[] = {
	{ 0xc0000081, "MSR STAR" },
	{ 0xc0000082, "MSR LSTAR" },
	{ 0xc0000100, "MSR FS_BASE" },
	{ 0xc0000102, "MSR KERNEL_GS_BASE" },
};

#define MSRS (sizeof(msrs) / sizeof(*msrs))
#define VECTORS 16

struct vector {
	uint64_t half[2];
} __attribute__((aligned(16)));

/* Canonical as an address, for those that must be. */
static uint64_t value_of(uint64_t seed, uint64_t number)
{
	return ((seed + 1) * 0x1f123bb5159a55e5ull ^ (number + 1) * 0x9e3779b97f4a7c15ull) >> 18;
}

#define LOAD(n) "movdqu " #n "*16(%0), %%xmm" #n "\n\t"
#define STORE(n) "movdqu %%xmm" #n ", " #n "*16(%1)\n\t"
#define EACH(what)                                                                                 \
	what(0) what(1) what(2) what(3) what(4) what(5) what(6) what(7) what(8) what(9) what(10)   \
	    what(11) what(12) what(13) what(14) what(15)

void hidden_set(uint64_t seed)
{
	struct vector vectors[VECTORS];

	for (unsigned i = 0; i < VECTORS; i++) {
		vectors[i].half[0] = value_of(seed, 100 + i);
		vectors[i].half[1] = value_of(seed, 200 + i);
	}
	__asm__ volatile(EACH(LOAD) : : "r"(vectors), "m"(vectors));
	for (unsigned i = 0; i < MSRS; i++)
		wrmsr(msrs[i].number, value_of(seed, i));
	__asm__ volatile("mov %0, %%dr0" : : "r"(value_of(seed, 300)));
	__asm__ volatile("mov %0, %%dr3" : : "r"(value_of(seed, 303)));
	__asm__ volatile("mov %0, %%cr2" : : "r"(value_of(seed, 400)));
}

const char *hidden_check(uint64_t seed)
{
	struct vector vectors[VECTORS];
	uint64_t dr0, dr3, cr2;

	__asm__ volatile(EACH(STORE) : "=m"(vectors) : "r"(vectors));
	for (unsigned i = 0; i < VECTORS; i++)
		if (vectors[i].half[0] != value_of(seed, 100 + i) ||
		    vectors[i].half[1] != value_of(seed, 200 + i))
			return "a vector register";
	for (unsigned i = 0; i < MSRS; i++)
		if (rdmsr(msrs[i].number) != value_of(seed, i))
			return msrs[i].name;
	__asm__ volatile("mov %%dr0, %0" : "=r"(dr0));
	__asm__ volatile("mov %%dr3, %0" : "=r"(dr3));
	if (dr0 != value_of(seed, 300) || dr3 != value_of(seed, 303))
		return "a debug register";
	__asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
	return cr2 == value_of(seed, 400) ? 0 : "CR2";
}
