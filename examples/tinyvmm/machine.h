/* SPDX-License-Identifier: MIT */
/*
 * The machine as its guest sees it: what lies where, and what the ports do. tinyvmm and the payload
 * both include this.
 *
 *	0		page tables, parameters, stacks: the VMM's, see boot.c
 *	0xa0000		a hole, as in a PC
 *	0x100000	the payload
 *	0x1000000	the working sets of the vCPUs, one after the other
 */
#ifndef TINYVMM_MACHINE_H
#define TINYVMM_MACHINE_H

#include <stdint.h>

#define MACHINE_VCPUS_MAX 4u
#define MACHINE_PAGE 4096ull

#define MACHINE_PARAMS 0x7000ull
#define MACHINE_STACKS 0x80000ull /* vCPU n's stack ends 16 KiB times n below */
#define MACHINE_STACK 0x4000ull
#define MACHINE_LOW_END 0xa0000ull
#define MACHINE_HIGH 0x100000ull
#define MACHINE_WORK 0x1000000ull
#define MACHINE_MEMORY_MAX (3ull << 30) /* the local APIC is above */

/* A byte for the serial line. */
#define PORT_SERIAL 0x3f8
/* 32 bits: the address of a struct console_ring that has something to say. */
#define PORT_CONSOLE 0x500
/* 32 bits: the address of a struct fill_request. It is done when the instruction is. */
#define PORT_FILL 0x504
/* 32 bits: the guest found itself to be corrupt, and does not go on. */
#define PORT_CORRUPT 0x508

/* What the VMM tells the payload. */
struct machine_params {
	uint32_t vcpus;
	uint32_t idle;  /* wait for the timer instead of working */
	uint64_t pages; /* of working set, for each vCPU */
};

#define CONSOLE_RING 2048u

/*
 * Text on its way out. Both counters only grow. The last one has a page of its own, which only the
 * device writes: to a dirty log that watches vCPUs it is never dirty.
 */
struct console_ring {
	uint64_t produced;
	char text[CONSOLE_RING];
	uint64_t consumed __attribute__((aligned(4096)));
} __attribute__((aligned(4096)));

/* Fill the page at @address with fill_word()s. */
struct fill_request {
	uint64_t address;
	uint64_t sequence;
};

/* What word number @word of a page is that was filled for the @sequence-th time. */
static inline uint64_t fill_word(uint64_t address, uint64_t sequence, uint64_t word)
{
	return (address + word) * 0x9e3779b97f4a7c15ull ^ sequence * 0xc2b2ae3d27d4eb4full;
}

#endif
