/* SPDX-License-Identifier: MIT */
/*
 * The guest. Each vCPU goes round its working set for ever: it checks that a page is as it left it
 * the last time round, and writes it anew. Beside that it has a device fill pages, checks those,
 * and looks after registers that nobody else uses. What it counts stands in registers and in
 * memory, which must agree. A page that was lost, or came over too old, is found by the guest
 * itself, at the latest when the vCPU is there the next time.
 */
#include "../machine.h"
#include "cpu.h"
#include "print.h"

#include <stddef.h>

#define PAGE_WORDS (MACHINE_PAGE / 8)
#define SPREAD 64     /* of the words that are checked */
#define FILLED 32     /* pages for the device to fill, for each vCPU */
#define FILL_EVERY 16 /* pages of work */
#define HIDDEN_EVERY 128
#define LINE_EVERY 1024
#define TICKS_A_LINE 100

#define TIMER_VECTOR 0x40
#define TIMER_COUNT 1000000 /* LAPIC clocks of 1 ns, divided by 16: 16 ms */

struct vcpu {
	uint64_t ticks; /* first: the handler of the timer finds it at %gs:0 */
	uint64_t number;
	uint64_t done;
	struct fill_request request;
	uint8_t filled[FILLED][MACHINE_PAGE] __attribute__((aligned(4096)));
};

static struct vcpu vcpus[MACHINE_VCPUS_MAX];

static struct {
	uint64_t low, high;
} idt[TIMER_VECTOR + 1] __attribute__((aligned(16)));

static const uint64_t gdt[] = { 0, 0x00af9b000000ffff, 0x00cf93000000ffff };

struct table_register {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

void payload_main(uint64_t number);
void timer_handler(void);

/* %rdi is the number of the vCPU, and the stack is there already. */
__asm__(".section .text.start, \"ax\"\n"
	".globl start\n"
	"start:	call payload_main\n"
	"1:	hlt\n"
	"	jmp 1b\n"
	".text\n"
	"timer_handler:\n"
	"	push %rax\n"
	"	push %rcx\n"
	"	push %rdx\n"
	"	incq %gs:0\n"
	"	mov $0x80b, %ecx\n" /* x2APIC end of interrupt */
	"	xor %eax, %eax\n"
	"	xor %edx, %edx\n"
	"	wrmsr\n"
	"	pop %rdx\n"
	"	pop %rcx\n"
	"	pop %rax\n"
	"	iretq\n");

static void interrupts_init(struct vcpu *vcpu)
{
	const struct table_register gdtr = { sizeof(gdt) - 1, (uintptr_t)gdt };
	const struct table_register idtr = { sizeof(idt) - 1, (uintptr_t)idt };
	uint64_t handler = (uintptr_t)timer_handler;

	/* An interrupt gate to code segment 8. Every vCPU writes the same. */
	idt[TIMER_VECTOR].low =
	    (handler & 0xffff) | 8ull << 16 | 0x8eull << 40 | (handler >> 16 & 0xffff) << 48;
	idt[TIMER_VECTOR].high = handler >> 32;
	__asm__ volatile("lgdt %0" : : "m"(gdtr));
	__asm__ volatile("lidt %0" : : "m"(idtr));
	wrmsr(0xc0000101, (uintptr_t)vcpu);   /* GS base */
	wrmsr(0x1b, rdmsr(0x1b) | 1 << 10);   /* x2APIC */
	wrmsr(0x80f, 0x1ff);                  /* the APIC is on, spurious interrupts go to 0xff */
	wrmsr(0x83e, 3);                      /* timer: divide by 16 */
	wrmsr(0x832, TIMER_VECTOR | 1 << 17); /* periodic */
	wrmsr(0x838, TIMER_COUNT);
	__asm__ volatile("sti");
}

static void line_begin(struct line *line, const struct vcpu *vcpu)
{
	line->vcpu = vcpu->number;
	line->length = 0;
	line_text(line, "vcpu ");
	line_number(line, vcpu->number);
	line_text(line, ": ");
}

/* Say what is wrong, and do not go on. */
static void end_corrupt(struct line *line)
{
	line_print_serial(line);
	for (;;)
		out32(PORT_CORRUPT, 1);
}

static void corrupt(const struct vcpu *vcpu, const char *what, uint64_t number, uint64_t is,
		    uint64_t expected)
{
	struct line line;

	line_begin(&line, vcpu);
	line_text(&line, "CORRUPT: ");
	line_text(&line, what);
	line_text(&line, " ");
	line_number(&line, number);
	line_text(&line, " has ");
	line_number(&line, is);
	line_text(&line, ", expected ");
	line_number(&line, expected);
	end_corrupt(&line);
}

static void forgotten(const struct vcpu *vcpu, const char *what)
{
	struct line line;

	line_begin(&line, vcpu);
	line_text(&line, "CORRUPT: ");
	line_text(&line, what);
	line_text(&line, " is not what it was");
	end_corrupt(&line);
}

static void say(const struct vcpu *vcpu, uint64_t done)
{
	struct line line;

	line_begin(&line, vcpu);
	line_number(&line, done);
	line_text(&line, " pages, ");
	line_number(&line, *(const volatile uint64_t *)&vcpu->ticks);
	line_text(&line, " ticks");
	if (!line_print(&line))
		forgotten(vcpu, "console ring");
}

/*
 * A page of the working set: its sequence number, words made of it here and there, and a checksum
 * of them at the end. The page that was never written is all zero, with sequence number 0.
 */
static uint64_t work_word(const volatile uint64_t *page, uint64_t sequence, uint64_t word)
{
	return sequence ? fill_word((uintptr_t)page, ~sequence, word) : 0;
}

static void work(struct vcpu *vcpu, uint64_t index, uint64_t pages, uint64_t sequence)
{
	volatile uint64_t *page =
	    (volatile uint64_t *)MACHINE_WORK + (vcpu->number * pages + index) * PAGE_WORDS;
	uint64_t number = (uintptr_t)page / MACHINE_PAGE;
	uint64_t old_sum = 0, sum = 0;

	if (page[0] != sequence - 1)
		corrupt(vcpu, "sequence number of page", number, page[0], sequence - 1);
	for (uint64_t word = SPREAD; word < PAGE_WORDS; word += SPREAD) {
		if (page[word] != work_word(page, sequence - 1, word))
			corrupt(vcpu, "word of page", number, page[word],
				work_word(page, sequence - 1, word));
		old_sum += page[word];
		page[word] = work_word(page, sequence, word);
		sum += page[word];
	}
	if (page[PAGE_WORDS - 1] != old_sum)
		corrupt(vcpu, "checksum of page", number, page[PAGE_WORDS - 1], old_sum);
	page[PAGE_WORDS - 1] = sum;
	page[0] = sequence;
}

static void check_filled(struct vcpu *vcpu, const volatile uint64_t *page, uint64_t sequence)
{
	for (uint64_t word = 0; word < PAGE_WORDS; word += SPREAD) {
		uint64_t expected = fill_word((uintptr_t)page, sequence, word);

		if (page[word] != expected)
			corrupt(vcpu, "word of filled page", (uintptr_t)page / MACHINE_PAGE,
				page[word], expected);
	}
}

/* The @sequence-th page for the device to fill: it still has what the device wrote last time. */
static void have_filled(struct vcpu *vcpu, uint64_t sequence)
{
	volatile uint64_t *page = (volatile uint64_t *)vcpu->filled[sequence % FILLED];

	if (sequence >= FILLED)
		check_filled(vcpu, page, sequence - FILLED);
	vcpu->request.address = (uintptr_t)page;
	vcpu->request.sequence = sequence;
	out32(PORT_FILL, (uint32_t)(uintptr_t)&vcpu->request);
	check_filled(vcpu, page, sequence);
}

static void look_after(const struct vcpu *vcpu)
{
	const char *name = hidden_check(vcpu->number);

	if (name)
		forgotten(vcpu, name);
}

static void go_round(struct vcpu *vcpu, uint64_t pages)
{
	/* Said, so that a test that forgets a register can choose one that matters. */
	register uint64_t done __asm__("r12") = 0;

	for (uint64_t sequence = 1;; sequence++) {
		for (uint64_t index = 0; index < pages; index++) {
			/* Nobody may conclude that the two are the same. */
			__asm__ volatile("" : "+r"(done), "+r"(sequence), "+r"(index)::"memory");
			if (vcpu->done != done)
				corrupt(vcpu, "count of vcpu", vcpu->number, vcpu->done, done);
			work(vcpu, index, pages, sequence);
			if (done % FILL_EVERY == 0)
				have_filled(vcpu, done / FILL_EVERY);
			if (done % HIDDEN_EVERY == 0)
				look_after(vcpu);
			vcpu->done = ++done;
			if (done % LINE_EVERY == 0)
				say(vcpu, done);
		}
	}
}

static void idle(struct vcpu *vcpu)
{
	for (uint64_t ticks = 0;;) {
		__asm__ volatile("hlt");
		look_after(vcpu);
		if (*(volatile uint64_t *)&vcpu->ticks / TICKS_A_LINE == ticks)
			continue;
		ticks = vcpu->ticks / TICKS_A_LINE;
		say(vcpu, 0);
	}
}

void payload_main(uint64_t number)
{
	const struct machine_params *params = (const struct machine_params *)MACHINE_PARAMS;
	struct vcpu *vcpu = &vcpus[number];

	vcpu->number = number;
	interrupts_init(vcpu);
	hidden_set(number);
	if (params->idle)
		idle(vcpu);
	go_round(vcpu, params->pages);
}
