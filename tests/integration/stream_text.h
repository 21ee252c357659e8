/* SPDX-License-Identifier: MIT */
/*
 * Streams as text, so that a table of odd ones can be read. Words, apart by blanks:
 *
 *	u8:X u16:X u32:X u64:X	a big-endian number, X in hexadecimal
 *	s:TEXT			a string with a length byte; "~" stands for a zero byte
 *	t:TEXT			the same without the length
 *	h:XX...			bytes in hexadecimal
 *	fill:N*X		N (decimal) bytes of the value X
 *	n:N*TEXT		a string with a length byte of N bytes
 *	anything else		a piece with a name, see stream_text.c
 */
#ifndef RS_INTEGRATION_STREAM_TEXT_H
#define RS_INTEGRATION_STREAM_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stream_bytes {
	uint8_t *data;
	size_t bytes;
	bool for_qemu; /* b and the device are what a QEMU has in their place */
};

/* Fails the test for a word that means nothing. */
void stream_text(struct stream_bytes *stream, const char *text);
void stream_add(struct stream_bytes *stream, const void *data, size_t bytes);
void stream_free(struct stream_bytes *stream);

#endif
