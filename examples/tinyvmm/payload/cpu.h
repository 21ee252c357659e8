/* SPDX-License-Identifier: MIT */
/* The instructions that C has no words for. */
#ifndef PAYLOAD_CPU_H
#define PAYLOAD_CPU_H

#include <stdint.h>

static inline void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void out32(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr"
			 :
			 : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (uint64_t)high << 32 | low;
}

struct cpuid {
	uint32_t a, b, c, d;
};

static inline struct cpuid cpuid(uint32_t leaf)
{
	struct cpuid id;

	__asm__ volatile("cpuid"
			 : "=a"(id.a), "=b"(id.b), "=c"(id.c), "=d"(id.d)
			 : "a"(leaf), "c"(0));
	return id;
}

/*
 * The registers of a vCPU that the payload does not work with: those that nobody else uses are
 * given values, the others remembered as they are, and a migration must keep them.
 */
void hidden_set(uint64_t vcpu);

/* Is any of them not what it was at hidden_set()? Returns its name, or NULL. */
const char *hidden_check(uint64_t vcpu);

#endif
