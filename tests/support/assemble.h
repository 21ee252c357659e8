/* SPDX-License-Identifier: MIT */
/*
 * Streams written down as text, so that a table of them can be read. Words with blanks between:
 *
 *	8:NN 16:NN 32:NN 64:NN	an integer of so many bits, hexadecimal, big-endian
 *	s:TEXT			a string with its length in a byte before it; s: alone is empty
 *	t:TEXT			the text itself
 *	p:NN			a page of 4096 such bytes
 *	z:NN			so many (hexadecimal) zero bytes
 */
#ifndef RS_TESTS_ASSEMBLE_H
#define RS_TESTS_ASSEMBLE_H

#include <stddef.h>
#include <stdint.h>

/* Returns how many bytes; asserts that the text is good, and that they fit. */
size_t assemble(uint8_t *to, size_t room, const char *text);

#endif
