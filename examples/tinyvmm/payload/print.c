/* SPDX-License-Identifier: MIT */
#include "print.h"
#include "../machine.h"
#include "cpu.h"

static struct console_ring ring;
static uint64_t lock; /* 0, or whose it is */

/* Returns 0 if the vCPU has it already: then the lock is not what it was left. */
static int take(uint64_t vcpu)
{
	uint64_t owner = 0;

	while (!__atomic_compare_exchange_n(&lock, &owner, vcpu + 1, 0, __ATOMIC_ACQUIRE,
					    __ATOMIC_RELAXED)) {
		if (owner == vcpu + 1)
			return 0;
		owner = 0;
		__asm__ volatile("pause");
	}
	return 1;
}

static void give(void)
{
	__atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
}

void line_text(struct line *line, const char *text)
{
	while (*text && line->length < sizeof(line->text) - 1)
		line->text[line->length++] = *text++;
}

void line_number(struct line *line, uint64_t number)
{
	char digits[21];
	unsigned at = sizeof(digits) - 1;

	digits[at] = 0;
	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	line_text(line, digits + at);
}

int line_print(struct line *line)
{
	volatile uint64_t *consumed = &ring.consumed;
	int good;

	line->text[line->length++] = '\n';
	good = take(line->vcpu) && *consumed == ring.produced;
	for (unsigned i = 0; i < line->length; i++)
		ring.text[(ring.produced + i) % CONSOLE_RING] = line->text[i];
	ring.produced += line->length;
	out32(PORT_CONSOLE, (uint32_t)(uintptr_t)&ring);
	give();
	return good;
}

void line_print_serial(struct line *line)
{
	line->text[line->length++] = '\n';
	take(line->vcpu);
	for (unsigned i = 0; i < line->length; i++)
		out8(PORT_SERIAL, (uint8_t)line->text[i]);
	give();
}
