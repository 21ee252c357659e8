/* SPDX-License-Identifier: MIT */
/* Lines on the console. */
#ifndef PAYLOAD_PRINT_H
#define PAYLOAD_PRINT_H

#include <stdint.h>

struct line {
	uint64_t vcpu; /* whose it is */
	unsigned length;
	char text[200];
};

void line_text(struct line *line, const char *text);
void line_number(struct line *line, uint64_t number);

/*
 * One line at a time, whichever vCPU it is from. Returns 0 if the ring or its lock is not what it
 * was left.
 */
int line_print(struct line *line);

/* The last words, byte by byte over the serial line: that needs no memory that could be broken. */
void line_print_serial(struct line *line);

#endif
